//! Decoding of texts: against enumeration, and on bad input.

mod exact;
mod faults;
mod robustness;
mod table;
