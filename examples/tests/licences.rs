//! The licences of everything that we depend on, on this platform with the usual features: each lets a user of ours
//! pass it on under MIT or Apache-2.0, with no more than a notice.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "another process is the subject: its time is the system's"
)]

use std::process::Command;

use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

/// Those that ask for a notice at most.
const ALLOWED: [&str; 10] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

fn is_allowed(requirement: &LicenseReq) -> bool {
    requirement.license.id().is_some_and(|id| ALLOWED.contains(&id.name))
}

/// What is wrong with a licence, if anything is.
fn complaint(licence: &str) -> Option<String> {
    // `MIT/Apache-2.0` is how it was written once.
    let expression = match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(error.to_string()),
    };
    let failures = expression.evaluate_with_failures(is_allowed).err()?;
    let failures: Vec<String> = failures.iter().map(|failed| failed.req.to_string()).collect();
    Some(format!("{} is not among those allowed", failures.join(", ")))
}

#[test]
fn every_dependency_may_be_passed_on() {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--offline", "--locked", "--format-version", "1"]);
    command.args(["--filter-platform", &platform]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return println!("licences skipped: the packages are not all here: {said}");
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "{} packages", packages.len());
    let complaints: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let why = package["license"].as_str().map_or(Some("none".into()), complaint)?;
            Some(format!("{} {}: {why}", package["name"], package["license"]))
        })
        .collect();
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn every_package_has_both_licences_and_a_readme() {
    for package in ["corelane", "corelane-shards", "corelane-examples", "bench-harness"] {
        let mut command = Command::new(env!("CARGO"));
        command.args(["package", "--list", "--offline", "--allow-dirty", "--package", package]);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let files = String::from_utf8(output.stdout).unwrap();
        for name in ["LICENSE-APACHE", "LICENSE-MIT", "README.md"] {
            assert!(files.lines().any(|file| file == name), "{package} has no {name}");
        }
    }
}

#[test]
fn a_licence_that_asks_for_more_is_told_of() {
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "Apache-2.0 AND ISC"] {
        assert_eq!(complaint(good), None, "{good}");
    }
    for bad in ["GPL-3.0-only", "MIT AND MPL-2.0", "Something-Else"] {
        assert!(complaint(bad).is_some(), "{bad}");
    }
}
