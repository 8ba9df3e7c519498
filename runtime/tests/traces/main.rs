//! Ports of the golden traces: what each prints must equal, to the byte, what CPython 3.13 printed for the
//! program of the same name in `golden/`. `scripts/traces.sh` runs those programs again.
//!
//! All runs on the virtual clock, but for what is about sockets, threads or signals.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

#[macro_use]
mod support;

mod aggregates;
mod cancel;
mod errors;
mod groups;
mod locks;
mod order;
mod order_hops;
mod order_waits;
mod processes;
mod queues;
mod run;
mod servers;
mod streams;
mod sync;
mod tasks;
mod threads;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;

/// A scenario that came without a port would say nothing about corelane.
#[test]
fn every_golden_trace_has_a_port() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let named = |folder: &std::path::Path, extension: &str| -> Vec<_> {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    };
    let ports: String =
        named(&folder, "rs").iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let golden = named(&folder.join("golden"), "trace");
    assert!(golden.len() >= 80, "the golden files are where this test looks for them");
    for path in golden {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(ports.contains(&format!("\"{name}\"")), "{name} has no port");
    }
}
