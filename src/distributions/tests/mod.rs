//! Tests of all distributions.
