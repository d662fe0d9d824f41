//! Where a density in one dimension has its mass.

use crate::error::{Error, check};

/// By how much the log density has fallen at the bounds.
const DROP: f64 = 20.0;

/// Most steps of the climb; by doubling and halving their length they reach any place in far fewer.
const CLIMB: usize = 5000;

/// What a search for the mass finds.
pub(super) struct Found {
    pub(super) bounds: (f64, f64),
    /// The largest log density.
    pub(super) highest: f64,
}

/// The bounds between which the log density is at most [`DROP`] below its largest value; `None` if the density is 0 at 0.
pub(super) fn search(log_density: &mut impl FnMut(f64) -> Result<f64, Error>) -> Result<Option<Found>, Error> {
    let mut best = (0.0, log_density(0.0)?);
    if best.1 == f64::NEG_INFINITY {
        return Ok(None);
    }
    climb(log_density, &mut best)?;
    let mode = best.0;
    // The walk to one side may find a better mode, which the bound of the other must know.
    outermost(log_density, mode, -1.0, &mut best)?;
    let mut upper = outermost(log_density, mode, 1.0, &mut best)?;
    let mut lower = outermost(log_density, mode, -1.0, &mut best)?;
    for bound in [&mut lower, &mut upper] {
        let (mut inside, mut outside) = *bound;
        for _ in 0..30 {
            let middle = 0.5 * (inside + outside);
            if log_density(middle)? > best.1 - DROP { inside = middle } else { outside = middle }
        }
        *bound = (inside, outside);
    }
    Ok(Some(Found { bounds: (lower.0, upper.0), highest: best.1 }))
}

/// Uphill with steps that grow on success.
fn climb(log_density: &mut impl FnMut(f64) -> Result<f64, Error>, best: &mut (f64, f64)) -> Result<(), Error> {
    let mut step = 1.0;
    for _ in 0..CLIMB {
        let mut moved = false;
        for x in [best.0 + step, best.0 - step] {
            let value = log_density(x)?;
            if value > best.1 {
                *best = (x, value);
                moved = true;
                break;
            }
        }
        step *= if moved { 2.0 } else { 0.5 };
        if step < 1e-9 * (1.0 + best.0.abs()) {
            break;
        }
    }
    Ok(())
}

/// From a mode outward by growing steps: the last point above the threshold, and one below it.
fn outermost(
    log_density: &mut impl FnMut(f64) -> Result<f64, Error>,
    mode: f64,
    side: f64,
    best: &mut (f64, f64),
) -> Result<(f64, f64), Error> {
    let (mut inside, mut step) = (mode, 1e-9 * (1.0 + mode.abs()));
    loop {
        let x = mode + side * step;
        check::in_range("bounds of the grid", x, x.abs() < 1e12, "given: the log density does not fall off within 1e12")?;
        let value = log_density(x)?;
        if value > best.1 {
            *best = (x, value);
        }
        if !(value > best.1 - DROP) {
            return Ok((inside, x));
        }
        inside = x;
        step *= 1.5;
    }
}
