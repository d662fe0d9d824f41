//! Colours, fonts and sizes that all pictures share.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::error::PlotError;

pub(super) const INK: RGBColor = RGBColor(38, 43, 51);
pub(super) const FAINT_INK: RGBColor = RGBColor(110, 118, 129);
pub(super) const GRID: RGBColor = RGBColor(230, 233, 237);
/// Lines of what is not the point of the picture.
pub(super) const PALE: RGBColor = RGBColor(205, 210, 217);

/// Colours that readers with any colour vision tell apart (M. Okabe and K. Ito 2008).
pub(super) const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(110, 110, 110),
];

const FONT: &str = "Helvetica, Arial, sans-serif";

pub(super) const LEAST_SIZE: u32 = 160;
pub(super) const MOST_SIZE: u32 = 10_000;

pub(super) fn check_size((width, height): (u32, u32)) -> Result<(), PlotError> {
    let fits = |size| (LEAST_SIZE..=MOST_SIZE).contains(&size);
    if fits(width) && fits(height) { Ok(()) } else { Err(PlotError::Size { width, height, least: LEAST_SIZE, most: MOST_SIZE }) }
}

pub(super) fn anchored(size: u32, colour: RGBColor, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    TextStyle { font: (FONT, size).into_font(), color: colour.to_backend_color(), pos: Pos::new(horizontal, vertical) }
}

/// A colour between two others, for `share` from 0 to 1.
pub(super) fn between(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share.clamp(0.0, 1.0)).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// About `n` round numbers from `low` to `high`.
pub(super) fn ticks(low: f64, high: f64, n: f64) -> Vec<f64> {
    let raw = (high - low) / n;
    let magnitude = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * magnitude).find(|step| *step >= raw * 0.999).unwrap_or(raw);
    let first = (low / step - 1e-9).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|tick| *tick <= high + 1e-9 * step).collect()
}
