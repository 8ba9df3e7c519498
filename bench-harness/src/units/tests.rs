use super::*;

#[test]
fn durations_have_units() {
    assert_eq!(duration("200us"), Ok(Duration::from_micros(200)));
    assert_eq!(duration("1.5 m"), Ok(Duration::from_secs(90)));
    assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
    for bad in ["", "ms", "-1s", "3 parsecs", "1e99h"] {
        assert!(duration(bad).is_err(), "{bad:?}");
    }
    assert!(positive_duration("0s").is_err());
    assert_eq!(trials("1s,2s,10s").unwrap().full, Duration::from_secs(10));
    assert!(trials("1s,2s").is_err() && trials("1s,0s,2s").is_err());
    assert_eq!(positive_duration("1ns"), Ok(Duration::from_nanos(1)));
}

#[test]
fn moments_are_absolute_or_from_now() {
    assert_eq!(start_at("1795369500.5"), Ok(StartAt::Unix(1_795_369_500.5)));
    assert_eq!(start_at("+5s"), Ok(StartAt::After(Duration::from_secs(5))));
    for bad in ["soon", "-1", "+soon", "1e300", "NaN"] {
        assert!(start_at(bad).is_err(), "{bad:?}");
    }
    assert_eq!(warmup("auto"), Ok(Warmup::Automatic));
    assert_eq!(warmup("0s"), Ok(Warmup::Fixed(Duration::ZERO)));
    assert!(warmup("automatic").is_err() && positive_count("0").is_err());
}

#[test]
fn columns_are_percentiles_and_the_maximum() {
    let percentile =
        |name: &str, value| Ok(Column::Percentile(Percentile { name: name.to_owned(), value }));
    assert_eq!(column("p99.95"), percentile("99.95", 99.95));
    assert_eq!(column("75"), percentile("75", 75.0));
    assert_eq!(column("max"), Ok(Column::Max));
    for bad in ["0", "100", "p", "min", "-1", "nan"] {
        assert!(column(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn rates_are_exact_or_a_share_of_the_probe() {
    let exact = |per_second| Ok(RatePlan::Exact(Rate::per_second(per_second).unwrap()));
    assert_eq!(rate("50k"), exact(50_000.0));
    assert_eq!(rate("1.2M"), exact(1_200_000.0));
    assert_eq!(rate("0.5/s"), exact(0.5));
    assert_eq!(rate("60%"), Ok(RatePlan::OfProbe(60.0)));
    for bad in ["0", "fast", "-5", "0%", "1x", "5G"] {
        assert!(rate(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn counts_mixes_stalls_and_distributions_are_read() {
    assert_eq!(count("100k"), Ok(100_000));
    assert!(count("1.5").is_err());
    assert_eq!(mix("get=9,set=1"), Ok((9, 1)));
    assert!(mix("get=0").is_err() && mix("del=1").is_err());
    let freeze = Stall { length_ns: 100_000_000, every_ns: 1_000_000_000 };
    assert_eq!(stall("100ms/1s"), Ok(freeze));
    assert!(stall("1s/1s").is_err());
    assert_eq!(key_distribution("zipf:0.99"), Ok(KeyDistribution::Zipf(0.99)));
    assert!(key_distribution("zipf:x").is_err());
    let hotspot = KeyDistribution::Hotspot { keys: 0.2, requests: 0.8 };
    assert_eq!(key_distribution("hotspot:20%/0.8"), Ok(hotspot));
    assert!(key_distribution("hotspot:0/1").is_err());
    let gauss = KeyDistribution::Gauss { mean: 0.5, deviation: 0.1 };
    assert_eq!(key_distribution("gauss:0.5/0.1"), Ok(gauss));
    assert_eq!(key_distribution("seq"), Ok(KeyDistribution::Sequence));
    assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
}

#[test]
fn arrivals_have_a_name_and_perhaps_a_number() {
    assert_eq!(arrival("constant"), Ok(Arrival::Constant));
    assert_eq!(arrival("poisson"), Ok(Arrival::Poisson));
    assert_eq!(arrival("uniform:0.25"), Ok(Arrival::Uniform(25)));
    assert_eq!(arrival("burst:1k"), Ok(Arrival::Burst(1_000)));
    for text in ["constant", "uniform:0.25", "burst:1000"] {
        assert_eq!(arrival(text).unwrap().to_string(), text);
    }
    for bad in ["", "uniform", "uniform:2", "burst:0", "poisson:3", "constant:1"] {
        assert!(arrival(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn sizes_are_fixed_drawn_listed_or_read() {
    assert_eq!(sizes("64"), Ok(SizeDistribution::Fixed(64)));
    assert_eq!(sizes("uniform:16-1k"), Ok(SizeDistribution::Uniform(16, 1_000)));
    let normal = SizeDistribution::LogNormal { median: 256, sigma: 1.0 };
    assert_eq!(sizes("lognormal:256/1.0"), Ok(normal));
    let entries = |text: &str| match sizes(text) {
        Ok(SizeDistribution::Weighted { entries, .. }) => entries,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(entries("list:32=80,1024=20"), [(32, 80), (1_024, 20)]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# bytes parts\n10 3\n\n20\n").unwrap();
    assert_eq!(entries(&format!("file:{}", file.path().display())), [(10, 3), (20, 1)]);
    std::fs::write(file.path(), "10\ntwenty\n").unwrap();
    let error = sizes(&format!("file:{}", file.path().display())).unwrap_err();
    assert!(error.contains("line 2"), "{error}");
    for bad in ["", "2M", "uniform:9-3", "lognormal:5", "list:1", "list:1=0", "file:/none"] {
        assert!(sizes(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_verification_is_one_in_so_many() {
    assert_eq!((verify("1/1024"), verify("1"), verify("off")), (Ok(1_024), Ok(1), Ok(0)));
    assert!(verify("1/0").is_err() && verify("7").is_err() && verify("all").is_err());
}

#[test]
fn a_service_time_is_the_same_for_all_drawn_or_one_of_two() {
    assert_eq!(service("200us"), Ok(Service::Fixed(200_000)));
    assert_eq!(service("fixed:2ms"), Ok(Service::Fixed(2_000_000)));
    assert_eq!(service("exp:1ms"), Ok(Service::Exponential(1_000_000)));
    let bimodal = Service::Bimodal { short_ns: 100_000, long_ns: 10_000_000, long_ppm: 10_000 };
    assert_eq!(service("bimodal:100us/10ms/1%"), Ok(bimodal));
    assert_eq!(service("bimodal:100us/10ms/0.01"), Ok(bimodal));
    for bad in
        ["", "soon", "gauss:1ms", "bimodal:1ms/2ms", "bimodal:1ms/2ms/3", "bimodal:1ms/2ms/1%/4"]
    {
        assert!(service(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn there_are_two_words_for_one_driver() {
    assert_eq!((driver("auto"), driver("epoll")), (Ok(Driver::Auto), Ok(Driver::Epoll)));
    assert!(driver("io_uring").is_err() && driver("kqueue").is_err());
}

#[test]
fn every_unit_is_what_it_says() {
    let lengths =
        [("7ns", 7), ("7us", 7_000), ("7µs", 7_000), ("7ms", 7_000_000), ("7s", 7_000_000_000)];
    for (text, length_ns) in lengths {
        assert_eq!(duration(text), Ok(Duration::from_nanos(length_ns)), "{text}");
    }
    for (text, minutes) in [("7m", 7), ("7min", 7), ("7h", 420)] {
        assert_eq!(duration(text), Ok(Duration::from_secs(60 * minutes)), "{text}");
    }
    assert_eq!(
        ["7", "7k", "7K", "7M", "7G"].map(|text| count(text).unwrap()),
        [7, 7_000, 7_000, 7_000_000, 7_000_000_000]
    );
}

#[test]
fn shares_are_what_they_say_and_lie_in_their_range() {
    assert_eq!((percent("5%"), percent("100 %")), (Ok(0.05), Ok(1.0)));
    assert_eq!(
        (whole_percent("50%"), whole_percent("100"), whole_percent("0%")),
        (Ok(50), Ok(100), Ok(0))
    );
    for bad in ["0%", "101%", "5", "x%"] {
        assert!(percent(bad).is_err(), "{bad}");
    }
    assert!(whole_percent("101%").is_err() && whole_percent("-1").is_err());
    for bad in ["hotspot:1.5/0.5", "hotspot:0.5/150%", "gauss:2/0.1"] {
        assert!(key_distribution(bad).is_err(), "{bad}");
    }
}
