//! The committed inputs of the fuzz targets, replayed on whatever toolchain runs the tests: seeds, and what fuzzing has found.

use oneport_fuzz::TARGETS;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn every_committed_input_keeps_the_laws() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut broken = Vec::new();
    for (target, body) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(target)).expect("each target has a folder of inputs") {
            let path = entry.expect("readable").path();
            let input = fs::read(&path).expect("readable");
            inputs += 1;
            if catch_unwind(|| body(&input)).is_err() {
                broken.push(path);
            }
        }
        assert!(inputs >= 5, "{target} has {inputs} inputs: the corpus is missing");
    }
    assert!(broken.is_empty(), "laws are broken by {broken:#?}");
}

#[test]
fn every_folder_has_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let targets: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = |folder: &str, suffix: &str| {
        let mut names: Vec<String> = fs::read_dir(root.join(folder))
            .expect("the folder is in the repository")
            .filter_map(|entry| entry.expect("readable").file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(suffix).map(str::to_owned))
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("fuzz/fuzz_targets", ".rs"), targets);
    assert_eq!(names("fuzz/corpus", ""), targets);
}
