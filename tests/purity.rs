//! The core as text: what each stage may name. Clippy and a build without a world (`.ci/run`) look deeper; this runs everywhere.

use std::fs;
use std::path::{Path, PathBuf};

/// What a stage must not name: it stands behind the stage in the way of a byte.
const BEHIND: &[(&str, &[&str])] = &[
    ("wire", &["facts", "ledger", "matchers", "mux", "routes"]),
    ("facts", &["ledger", "matchers", "mux", "routes"]),
    ("matchers", &["ledger", "mux", "routes"]),
    ("routes", &["ledger", "mux"]),
];

/// What no stage may name.
const WORLD: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "UNIX_EPOCH",
    ".elapsed(",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "thread_local!",
    "println!",
    "unsafe",
];

/// The files of a folder and below.
fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the core is in the repository") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

/// The code of a file: comments go, and so does the module of tests, which is the last item.
fn code(text: &str) -> Vec<(usize, &str)> {
    let is_test = |line: &str| line.trim_start() == "#[cfg(test)]";
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !is_test(line))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or_default()))
        .collect()
}

/// Whether a line names this module of the crate, by a path or in a list of a `use`.
fn names(line: &str, module: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = line;
    while let Some(at) = rest.find(module) {
        let (before, behind) = (&rest[..at], &rest[at + module.len()..]);
        let is_whole = !before.ends_with(is_word) && !behind.starts_with(is_word);
        let is_path = before.ends_with("crate::") || before.ends_with("super::");
        let in_list = line.trim_start().starts_with("use crate::{") && behind.starts_with([':', ',', '}']);
        if is_whole && (is_path || in_list) {
            return true;
        }
        rest = behind;
    }
    false
}

#[test]
fn the_core_names_nothing_of_the_world_and_no_stage_behind() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/src");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    assert!(paths.len() > 30, "the core is somewhere else");
    let mut faults = Vec::new();
    for path in paths {
        let place = path.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
        let stage = place.split(['/', '.']).next().unwrap_or_default();
        let behind = BEHIND.iter().find(|(name, _)| *name == stage).map_or(&[][..], |(_, behind)| behind);
        let text = fs::read_to_string(&path).expect("readable");
        for (number, line) in code(&text) {
            let is_attribute = line.trim_start().starts_with("#!");
            // A list of slices for one write is no input or output.
            let line = &*line.replace("std::io::IoSlice", "IoSlice");
            for word in WORLD.iter().filter(|word| line.contains(**word) && !is_attribute) {
                faults.push(format!("{place}:{number} names {word}"));
            }
            for module in behind.iter().filter(|module| names(line, module)) {
                faults.push(format!("{place}:{number}: {stage} names {module}, which stands behind it"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_stage_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/src");
    for (stage, _) in BEHIND {
        assert!(root.join(format!("{stage}.rs")).is_file(), "no stage {stage}: nothing is looked at");
    }
}

#[test]
fn modules_are_found_by_name() {
    assert!(names("use crate::mux::Config;", "mux"));
    assert!(names("use crate::{facts::Facts, mux};", "mux"));
    assert!(names("    let x = crate::mux::Greeting::default();", "mux"));
    assert!(!names("use crate::wire::mux_frame;", "mux"));
    assert!(!names("let mux = 1;", "mux"));
    assert_eq!(code("a // b\n#[cfg(test)]\nmod tests {}"), [(1, "a ")]);
}
