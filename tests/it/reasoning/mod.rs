//! Decoding of texts: against enumeration, and on bad input.

mod exact;
mod presets;
mod search;
mod selectors;
mod table;
