//! Variational inference.

mod coin;
mod estimators;
mod families;
mod fit;
mod fitted_families;
mod flows;
mod gamma;
mod gaussian_fits;
mod gaussian_tables;
mod handover;
mod large;
mod natural_gradient;
mod quadrature;
mod robustness;
mod stopping;
