use super::*;

fn watched(cores: &[usize]) -> Watched {
    let (id, thread) = (ShardId::at(1), rustix::thread::gettid());
    Watched { id, thread, at_start: cores.to_vec(), last: cores.to_vec() }
}

#[test]
fn a_mask_that_has_changed_is_told_once_and_so_is_its_return() {
    let mut shard = watched(&[3]);
    assert_eq!(shard.compare(Ok(vec![3])), None);
    let text = "shard 1 was started on cores 3 and may now run on 0-1: \
                somebody has changed an affinity mask or a cpuset";
    assert_eq!(shard.compare(Ok(vec![0, 1])), Some(Drift::Away(text.to_owned())));
    assert_eq!(shard.compare(Ok(vec![0, 1])), None);
    let text = "shard 1 may run on cores 3 again, as at its start";
    assert_eq!(shard.compare(Ok(vec![3])), Some(Drift::Back(text.to_owned())));
}

#[test]
fn a_thread_that_has_ended_is_no_change() {
    let gone = Err(io::ErrorKind::NotFound.into());
    assert_eq!(watched(&[0]).compare(gone), None);
}

#[test]
fn looks_are_a_period_apart() {
    #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
    let start = Instant::now();
    let period = Duration::from_secs(30);
    let mut watch = DriftWatch::new(Some(period));
    assert_eq!(watch.next(start), None, "there is nothing to look at");
    watch.threads.push(watched(&[0]));
    assert_eq!(watch.next(start), Some(start + period));
    watch.look(start + period / 2);
    assert_eq!(watch.next(start + period / 2), Some(start + period), "it was not time");
    watch.look(start + period);
    assert_eq!(watch.next(start + period), Some(start + period * 2));
    assert_eq!(DriftWatch::new(None).next(start), None);
}
