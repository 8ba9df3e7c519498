use super::*;

/// How many of `count` sockets get how much of what many ports send.
fn shares(count: usize, place: impl Fn(SocketAddr, SocketAddr) -> usize) -> Vec<usize> {
    let to = "10.0.0.1:80".parse().unwrap();
    let mut shares = vec![0; count];
    for port in 32_768..36_768 {
        shares[place(SocketAddr::from(([10, 0, 0, 2], port)), to)] += 1;
    }
    shares
}

#[test]
fn many_ports_are_spread_evenly_and_few_are_not() {
    let shares = shares(4, |from, to| place(7, from, to, 4));
    assert!(shares.iter().all(|share| (900..1_100).contains(share)), "{shares:?}");
    let to = "10.0.0.1:80".parse().unwrap();
    // In most worlds eight connections leave one of four without any, or give one of them half.
    let few = |salt| {
        let mut few = [0; 4];
        (0..8_u16).for_each(|n| few[place(salt, ([10, 0, 0, 2], 32_768 + n).into(), to, 4)] += 1);
        few
    };
    let uneven = (0..100).map(few).filter(|few| few.contains(&0) || few.iter().any(|&n| n > 3));
    assert!((40..95).contains(&uneven.count()));
}

#[test]
fn one_pair_of_addresses_has_one_place_in_each_world() {
    let (from, to) = ("[::1]:9".parse().unwrap(), "[::1]:80".parse().unwrap());
    assert_eq!(place(1, from, to, 64), place(1, from, to, 64));
    assert!((0..20).any(|salt| place(salt, from, to, 64) != place(1, from, to, 64)));
    assert!((0..100).all(|salt| place(salt, from, to, 3) < 3));
}

#[test]
fn steering_decides_by_cpu_and_leaves_the_rest_to_the_hash() {
    let by = |steering: CpuSteering, count| {
        shares(count, |from, to| steered_place(7, from, to, count, &steering))
    };
    // Two of four CPUs go to the third listener, and the first one gets none.
    let some = by(CpuSteering::new().cpu(0, 2).cpu(1, 1).cpu(2, 2).cpu(3, 1), 3);
    assert_eq!(some[0], 0);
    assert!((1_800..2_200).contains(&some[1]), "{some:?}");
    let without = by(CpuSteering::new(), 3);
    assert_eq!(without, shares(3, |from, to| place(7, from, to, 3)));
    let not_there = by(CpuSteering::new().cpu(0, 9), 3);
    assert_eq!(not_there, without);
}
