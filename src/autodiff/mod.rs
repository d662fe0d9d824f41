//! Automatic differentiation for log densities.
//!
//! Model code is generic over [`Real`]. It runs on a [`Value`] (plain numbers), on a [`Var`] (a reverse [`Tape`], for gradients) and on a
//! [`Jet`] (forward). A tape over [`Dual`] numbers gives Hessian-vector products.
//!
//! What makes it fast is that a tape records few nodes: sums, dot products, matrix products and whole log densities over slices are one
//! *fused* node each ([`Accumulator`]), operations with many outputs are a *block* node ([`BlockOp`]), and a recursion of few parameters
//! over long data is differentiated forward into one node ([`forward`]).

mod accumulator;
mod block;
mod element;
mod jet;
mod matrix;
mod operands;
mod real;
mod tape;
mod value;

pub use accumulator::Accumulator;
pub use block::BlockOp;
pub use element::Element;
pub use jet::{Dual, Jet, JetSink};
pub(crate) use matrix::dot_row;
pub use matrix::{DataMatrix, Lower, cholesky, solve_lower};
pub use operands::{Counts, Operands};
pub use real::{Real, Sink, dot, dot_data, forward, forward_many, log_sum_exp, sum};
pub use tape::{Tape, Var, VarSink};
pub use value::{NoSink, Value};
