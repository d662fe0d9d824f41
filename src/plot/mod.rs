//! Pictures as SVG: genealogies of particles, accuracy over a budget.
//!
//! What is drawn comes in as plain data, so that pictures can be made of runs of this crate, of files, or of anything else. What goes out is
//! the text of an SVG file, which [`save`] writes and browsers show.

mod curves;
mod error;
mod genealogy;
mod style;

pub use curves::{Curve, CurvePoint, CurvesPlot};
pub use error::PlotError;
pub use genealogy::{GenealogyPlot, Generation};

use std::path::Path;

/// Writes a picture to a file, which is replaced if there is one.
///
/// # Errors
/// [`PlotError::Io`].
pub fn save(svg: &str, path: impl AsRef<Path>) -> Result<(), PlotError> {
    let path = path.as_ref();
    std::fs::write(path, svg).map_err(|source| PlotError::Io { path: path.to_owned(), source })
}
