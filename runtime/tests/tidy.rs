//! The house keeps its plan: which room may import which, where `unsafe` and `mio` may stand, and how long
//! a file may be. It reads the sources of the whole workspace.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of `runtime/src` and what each may import. Rows below may be imported, rows above never; rooms of
/// one row know each other only where it says so.
const ROOMS: &[(&str, &[&str])] = &[
    ("util", &[]),
    ("error", &["util"]),
    ("sync", &["util", "error"]),
    ("task", &["util", "error"]),
    ("driver", &["util"]),
    ("stats", &[]),
    ("executor", &["util", "error", "task", "driver", "stats"]),
    ("time", &["util", "error", "sync", "task", "executor"]),
    ("group", &["util", "error", "sync", "task", "executor", "time"]),
    ("io", &["util", "error", "sync", "task", "executor", "driver", "time"]),
    ("blocking", &["util", "error", "sync", "task", "executor", "time"]),
    ("signal", &["util", "executor", "driver"]),
    ("remote", &["util", "error", "task", "executor"]),
    ("fs", &["error", "executor", "io", "blocking"]),
    ("stdio", &["executor", "driver", "io"]),
    ("process", &["util", "error", "sync", "executor", "driver", "io"]),
    ("bridge", &["util", "error", "task", "executor", "time", "io", "net"]),
    (
        "net",
        &["util", "error", "sync", "task", "executor", "driver", "time", "group", "io", "blocking"],
    ),
];

/// The front door, which may import everything.
const FRONT: &[&str] = &["lib", "asyncio", "rules", "runner", "lowlevel", "sim"];

/// Files that may hold `unsafe`, each with the reason in its head.
const UNSAFE_ROOMS: &[&str] = &[
    "runtime/src/task/waker.rs",
    "runtime/src/task/cell.rs",
    "runtime/src/task/pulse.rs",
    "runtime/src/driver/mio/calls.rs",
    "runtime/src/process/before_exec.rs",
];

const MAX_LINES: usize = 500;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn sources_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            sources_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Path below the workspace, and text, of every source file in the given folders.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let root = workspace();
    let mut found = Vec::new();
    for folder in folders {
        sources_below(&root.join(folder), &mut found);
    }
    found.sort();
    let named = found.into_iter().map(|path| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    });
    let named: Vec<_> = named.collect();
    assert!(named.len() > 20, "the sources are where this test looks for them");
    named
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || path.ends_with("conformance.rs")
}

/// The code of a file without comments and strings' worth of prose: lines that are comments are left out.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Names of the rooms that a file names by `crate::`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for line in code_lines(text) {
        for part in line.split("crate::").skip(1) {
            let room: String =
                part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !room.is_empty() {
                rooms.insert(room);
            }
        }
    }
    rooms
}

fn room_of(path: &str) -> &str {
    let below = path.strip_prefix("runtime/src/").unwrap();
    let first = below.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// What a file may not import but does.
fn trespasses(path: &str, text: &str) -> Vec<String> {
    let room = room_of(path);
    if FRONT.contains(&room) || is_test(path) {
        return Vec::new();
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{path}: the room `{room}` is not in the plan")];
    };
    let strangers = imports(text)
        .into_iter()
        .filter(|import| import != room && !allowed.contains(&import.as_str()));
    strangers.map(|import| format!("{path}: `{room}` must not know `{import}`")).collect()
}

#[test]
fn rooms_import_only_what_lies_below_them() {
    let found: Vec<_> =
        sources(&["runtime/src"]).iter().flat_map(|(path, text)| trespasses(path, text)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_trespass_is_seen() {
    let text = "use crate::executor::LoopCore;\n// crate::net is only a comment\n";
    let found = trespasses("runtime/src/task/mod.rs", text);
    assert_eq!(found, ["runtime/src/task/mod.rs: `task` must not know `executor`"]);
    assert!(trespasses("runtime/src/cellar/mod.rs", "").len() == 1);
}

#[test]
fn unsafe_code_stands_only_in_its_rooms() {
    let all = sources(&["runtime/src", "shards/src", "examples", "bench-harness/src"]);
    for (path, text) in all {
        let mut code = code_lines(&text);
        let holds = code.any(|line| {
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe trait"]
                .iter()
                .any(|form| line.contains(form))
        });
        let allowed = UNSAFE_ROOMS.contains(&path.as_str());
        assert!(!holds || allowed || is_test(&path), "{path} holds unsafe code");
    }
}

#[test]
fn mio_is_named_in_one_folder() {
    for (path, text) in sources(&["runtime/src", "shards/src"]) {
        let names =
            code_lines(&text).any(|line| line.contains("mio::") && !line.contains("mod mio"));
        let allowed = path.starts_with("runtime/src/driver/");
        assert!(!names || allowed, "{path} names mio");
    }
}

#[test]
fn reports_go_through_one_place() {
    for (path, text) in sources(&["runtime/src", "shards/src"]) {
        let by_itself =
            |line: &str| line.contains("tracing::warn!") || line.contains("tracing::error!");
        let found = code_lines(&text).find(|line| by_itself(line));
        assert_eq!(
            found, None,
            "{path} reports what nobody sees without a subscriber: use __report!"
        );
    }
}

#[test]
fn no_file_is_longer_than_a_few_screens_and_each_says_what_it_is_for() {
    let all = sources(&["runtime", "shards", "examples", "bench-harness"]);
    for (path, text) in all {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{path} has {lines} lines, {MAX_LINES} are enough");
        let tests = path.ends_with("tests.rs") || path.contains("/tests/");
        assert!(tests || text.starts_with("//!"), "{path} begins without saying what it is for");
    }
}
