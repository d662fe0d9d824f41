//! The model zoo: against Stan's densities, against exact computations, and every model against itself.

mod consistency;
mod exact;
mod fixtures;

use std::path::PathBuf;

/// The folder of reference data, or `None` after saying that the test is skipped.
fn data_folder(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("POSTERITY_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("{test}: skipped, POSTERITY_DATA is not set");
    }
    folder
}
