use super::*;

#[test]
fn the_figure_is_one_when_even_and_the_number_of_shards_when_one_has_all() {
    let figure = |shares: &[f64]| Balance::new(shares.to_vec()).max_over_mean();
    assert_eq!(figure(&[2.0, 2.0]), 1.0);
    assert_eq!(figure(&[0.0, 8.0, 0.0, 0.0]), 4.0);
    assert_eq!(figure(&[3.0, 1.0]), 1.5);
    assert_eq!(figure(&[0.0, 0.0]), 1.0);
    assert_eq!(figure(&[]), 1.0);
}

#[test]
fn it_is_shown_with_its_figure() {
    assert_eq!(Balance::new(vec![3.0, 1.0]).to_string(), "3.00, 1.00 (max/mean 1.50)");
}

#[test]
fn a_share_is_used_time_in_terms_of_time_that_has_passed() {
    let reading = |used, moment| Reading {
        used: Duration::from_millis(used),
        moment: Duration::from_millis(moment),
    };
    assert_eq!(reading(150, 300).share_since(&reading(100, 200)), 0.5);
    assert_eq!(reading(150, 200).share_since(&reading(100, 200)), 0.0, "no time has passed");
}
