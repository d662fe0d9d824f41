//! Where tests find reference data: the folder named by the environment variable `POSTERITY_DATA`.
//!
//! Without the variable a test that needs data says so and passes. With it, a missing file is a failure. What is read is printed, so that
//! a run with `--show-output` shows which data tests ran.

use std::env;
use std::path::{Path, PathBuf};

/// The path of a data file, or `None` (the test is then to return) if `POSTERITY_DATA` is not set.
///
/// # Panics
/// If the folder is given but has no such file.
pub(crate) fn path(file: &str) -> Option<PathBuf> {
    find(env::var_os("POSTERITY_DATA").as_ref().map(Path::new), file)
}

fn find(folder: Option<&Path>, file: &str) -> Option<PathBuf> {
    let Some(folder) = folder else {
        println!("data test: skipped, POSTERITY_DATA is not set ({file})");
        return None;
    };
    let path = folder.join(file);
    assert!(path.exists(), "POSTERITY_DATA is set, but {} is missing", path.display());
    println!("data test: read {file}");
    Some(path)
}

#[test]
fn the_folder_in_the_environment_is_the_one_searched() {
    assert_eq!(path("."), env::var_os("POSTERITY_DATA").map(|folder| Path::new(&folder).join(".")));
}

#[test]
fn without_a_folder_there_is_no_path() {
    assert_eq!(find(None, "posteriordb"), None);
}

#[test]
#[should_panic(expected = "no-such-file.json is missing")]
fn a_missing_file_in_a_given_folder_fails() {
    find(Some(Path::new(env!("CARGO_MANIFEST_DIR"))), "no-such-file.json");
}
