//! The model zoo: against Stan's densities, against exact computations, and every model against itself.

mod consistency;
mod exact;
mod fixtures;
