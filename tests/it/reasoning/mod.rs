//! Decoding of texts: against enumeration, and on bad input.

mod calibration;
mod exact;
mod metrics;
mod presets;
mod search;
mod selectors;
