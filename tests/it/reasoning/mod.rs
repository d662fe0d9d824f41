//! Decoding of texts: against enumeration, and on bad input.

mod exact;
mod table;
