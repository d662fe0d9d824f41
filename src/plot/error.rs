//! What can be wrong with what is to be drawn.

use std::path::PathBuf;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// There is nothing to draw.
    #[error("there are no {what} to draw")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// Lists that belong together have different lengths.
    #[error("generation {generation}: {what}: expected {expected}, found {found}")]
    Length {
        /// The generation, from 0.
        generation: usize,
        /// The list.
        what: &'static str,
        /// The length that fits.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A particle came from a slot that the generation before does not have.
    #[error("generation {generation}, slot {slot}: ancestor {ancestor}, but there were only {n_before} particles before")]
    Ancestor {
        /// The generation, from 0.
        generation: usize,
        /// The particle.
        slot: usize,
        /// Its ancestor.
        ancestor: u32,
        /// Number of particles of the generation before.
        n_before: usize,
    },
    /// A weight is negative, NaN or infinite.
    #[error("generation {generation}, slot {slot}: {weight} is no weight")]
    Weight {
        /// The generation, from 0.
        generation: usize,
        /// The particle.
        slot: usize,
        /// Its weight.
        weight: f64,
    },
    /// A point has no place in the picture.
    #[error("curve `{curve}`, point {point}: {what} is {value}, but must be {rule}")]
    Point {
        /// The curve.
        curve: String,
        /// The point's index.
        point: usize,
        /// Which number.
        what: &'static str,
        /// The number.
        value: f64,
        /// What holds for numbers that have a place.
        rule: &'static str,
    },
    /// The picture is too small or too large for what is in it.
    #[error("{width} x {height} pixels, but both must be from {least} to {most}")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The least of either.
        least: u32,
        /// The most of either.
        most: u32,
    },
    /// The drawing itself failed.
    #[error("drawing: {source}")]
    Drawing {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl PlotError {
    pub(super) fn drawing(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Drawing { source: Box::new(source) }
    }
}
