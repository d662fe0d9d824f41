//! The reverse tape: what was computed, in order, and the backward sweep over it.

use std::cell::RefCell;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::block::{BlockOp, Pullback};
use super::element::Element;
use super::real::{Real, Sink};
use crate::error::DensityError;

/// Index of the node that stands for every constant; edges to it are followed and ignored.
const CONSTANT: u32 = 0;
/// In `Node::first`: the node has any number of parents, found in the wide edges.
const WIDE: u32 = u32::MAX;
/// In `Node::first`: the node is the first output of a block operation.
const BLOCK: u32 = u32::MAX - 1;

/// A node with at most two parents, or a reference to one with more.
#[derive(Debug, Clone, Copy)]
struct Node<E> {
    first: u32,
    second: u32,
    first_partial: E,
    second_partial: E,
}

struct Block<E> {
    operation: Box<dyn Pullback<E>>,
    inputs: Vec<u32>,
    input_values: Vec<E>,
    output_values: Vec<E>,
    first_output: u32,
}

impl<E> std::fmt::Debug for Block<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block").field("inputs", &self.inputs.len()).field("outputs", &self.output_values.len()).finish()
    }
}

/// Parents and partial derivatives of one node with many parents.
type Edges<E> = (Vec<u32>, Vec<E>);

#[derive(Debug)]
struct Record<E> {
    nodes: Vec<Node<E>>,
    /// Edges of wide node k: `wide_ends[k-1]..wide_ends[k]`.
    wide_ends: Vec<u32>,
    wide_parents: Vec<u32>,
    wide_partials: Vec<E>,
    blocks: Vec<Block<E>>,
    adjoints: Vec<E>,
    /// Buffers of fused nodes under construction.
    scratch: Vec<Edges<E>>,
}

/// A record of operations for reverse-mode differentiation, reused from one evaluation to the next without allocating.
///
/// Variables ([`Var`]) borrow the tape and are `Copy`. The element is `f64`, or [`Dual`](super::Dual) for Hessian-vector products.
///
/// ```
/// use posterity::autodiff::{Real, Tape};
/// let mut tape = Tape::new();
/// let mut gradient = [0.0; 2];
/// let value = tape.gradient(&[2.0, 3.0], &mut gradient, |x| x[0] * x[1] + x[0].ln());
/// assert_eq!(value, 6.0 + 2.0_f64.ln());
/// assert_eq!(gradient, [3.5, 2.0]);
/// ```
#[derive(Debug)]
pub struct Tape<E = f64> {
    record: RefCell<Record<E>>,
}

impl<E: Element> Default for Tape<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Element> Tape<E> {
    /// An empty tape.
    #[must_use]
    pub fn new() -> Self {
        let record = Record {
            nodes: Vec::new(),
            wide_ends: Vec::new(),
            wide_parents: Vec::new(),
            wide_partials: Vec::new(),
            blocks: Vec::new(),
            adjoints: Vec::new(),
            scratch: Vec::new(),
        };
        Self { record: RefCell::new(record) }
    }

    /// Number of nodes recorded since the last [`Tape::variables`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.record.borrow().nodes.len()
    }

    /// True if nothing is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything and starts with these independent variables; gives the tape back, shared.
    pub fn variables<'t>(&'t mut self, values: &[E], out: &mut Vec<Var<'t, E>>) -> &'t Self {
        self.start(values.len());
        let tape = &*self;
        out.clear();
        out.extend(values.iter().enumerate().map(|(i, &value)| Var { tape: Some(tape), index: i as u32 + 1, value }));
        tape
    }

    fn start(&mut self, n_variables: usize) {
        let record = self.record.get_mut();
        record.nodes.clear();
        record.wide_ends.clear();
        record.wide_parents.clear();
        record.wide_partials.clear();
        record.blocks.clear();
        let zero = E::constant(0.0);
        let leaf = Node { first: CONSTANT, second: CONSTANT, first_partial: zero, second_partial: zero };
        record.nodes.resize(n_variables + 1, leaf);
    }

    /// Value and gradient of a function of the position; `gradient` has the position's length.
    ///
    /// # Panics
    /// If the gradient's length is not the position's.
    pub fn gradient(&mut self, position: &[E], gradient: &mut [E], f: impl for<'t> FnOnce(&[Var<'t, E>]) -> Var<'t, E>) -> E {
        assert_eq!(position.len(), gradient.len(), "the gradient has the length of the position");
        let mut variables = Vec::with_capacity(position.len());
        let tape = self.variables(position, &mut variables);
        let output = f(&variables);
        tape.backward(output.index, gradient);
        output.value
    }

    /// Derivatives of a node by the independent variables.
    fn backward(&self, node: u32, gradient: &mut [E]) {
        let mut record = self.record.borrow_mut();
        record.clear_adjoints();
        record.adjoints[node as usize] = E::constant(1.0);
        record.sweep(gradient);
    }

    /// Derivatives by the independent variables of Σ weight · accumulated node, for nodes that were never put on the tape.
    pub(crate) fn backward_sinks(&self, sinks: &[(&VarSink<'_, E>, f64)], gradient: &mut [E]) {
        let mut record = self.record.borrow_mut();
        record.clear_adjoints();
        for &(sink, weight) in sinks {
            if weight == 1.0 {
                for (&parent, &partial) in sink.parents.iter().zip(&sink.partials) {
                    record.adjoints[parent as usize] += partial;
                }
            } else {
                for (&parent, &partial) in sink.parents.iter().zip(&sink.partials) {
                    record.adjoints[parent as usize] += partial * weight;
                }
            }
        }
        record.sweep(gradient);
    }

    #[inline(always)]
    fn push(&self, first: u32, second: u32, first_partial: E, second_partial: E) -> u32 {
        let mut record = self.record.borrow_mut();
        let index = record.nodes.len() as u32;
        record.nodes.push(Node { first, second, first_partial, second_partial });
        index
    }

    fn push_wide(&self, parents: &[u32], partials: &[E]) -> u32 {
        let mut record = self.record.borrow_mut();
        record.wide_parents.extend_from_slice(parents);
        record.wide_partials.extend_from_slice(partials);
        let end = record.wide_parents.len() as u32;
        record.wide_ends.push(end);
        let zero = E::constant(0.0);
        let node = Node { first: WIDE, second: record.wide_ends.len() as u32 - 1, first_partial: zero, second_partial: zero };
        record.nodes.push(node);
        record.nodes.len() as u32 - 1
    }

    fn take_scratch(&self) -> Edges<E> {
        self.record.borrow_mut().scratch.pop().unwrap_or_default()
    }

    fn return_scratch(&self, mut edges: Edges<E>) {
        edges.0.clear();
        edges.1.clear();
        if let Ok(mut record) = self.record.try_borrow_mut() {
            record.scratch.push(edges);
        }
    }
}

impl<E: Element> Record<E> {
    fn clear_adjoints(&mut self) {
        self.adjoints.clear();
        self.adjoints.resize(self.nodes.len(), E::constant(0.0));
    }

    fn sweep(&mut self, gradient: &mut [E]) {
        let n_leaves = gradient.len() + 1;
        for index in (n_leaves..self.nodes.len()).rev() {
            let Node { first, second, first_partial, second_partial } = self.nodes[index];
            if first == BLOCK {
                self.sweep_block(second as usize);
                continue;
            }
            let adjoint = self.adjoints[index];
            if adjoint.is_zero() {
                continue;
            }
            if first == WIDE {
                let wide = second as usize;
                let start = if wide == 0 { 0 } else { self.wide_ends[wide - 1] as usize };
                let end = self.wide_ends[wide] as usize;
                for (&parent, &partial) in self.wide_parents[start..end].iter().zip(&self.wide_partials[start..end]) {
                    self.adjoints[parent as usize] += adjoint * partial;
                }
            } else {
                self.adjoints[first as usize] += adjoint * first_partial;
                self.adjoints[second as usize] += adjoint * second_partial;
            }
        }
        gradient.copy_from_slice(&self.adjoints[1..n_leaves]);
    }

    fn sweep_block(&mut self, block: usize) {
        let block = &self.blocks[block];
        let first = block.first_output as usize;
        let outputs = first..first + block.output_values.len();
        if self.adjoints[outputs.clone()].iter().all(|a| a.is_zero()) {
            return;
        }
        let mut input_adjoints = vec![E::constant(0.0); block.inputs.len()];
        block.operation.pull_back(&block.input_values, &block.output_values, &self.adjoints[outputs], &mut input_adjoints);
        for (&input, &adjoint) in block.inputs.iter().zip(&input_adjoints) {
            self.adjoints[input as usize] += adjoint;
        }
    }
}

/// A variable on a [`Tape`], or a constant that any tape accepts.
#[derive(Debug, Clone, Copy)]
pub struct Var<'t, E = f64> {
    tape: Option<&'t Tape<E>>,
    index: u32,
    value: E,
}

impl<'t, E: Element> Var<'t, E> {
    #[inline(always)]
    fn binary(self, other: Self, value: E, first: E, second: E) -> Self {
        match self.tape.or(other.tape) {
            Some(tape) => Var { tape: Some(tape), index: tape.push(self.index, other.index, first, second), value },
            None => Var { tape: None, index: CONSTANT, value },
        }
    }
}

impl<E: Element> From<f64> for Var<'_, E> {
    #[inline(always)]
    fn from(value: f64) -> Self {
        Self { tape: None, index: CONSTANT, value: E::constant(value) }
    }
}

macro_rules! operator {
    ($trait:ident $method:ident |$a:ident, $b:ident| $value:expr, $first:expr, $second:expr; |$x:ident, $c:ident| $with_constant:expr, $by:expr) => {
        impl<E: Element> $trait for Var<'_, E> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                let ($a, $b) = (self.value, other.value);
                self.binary(other, $value, $first, $second)
            }
        }
        impl<E: Element> $trait<f64> for Var<'_, E> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, $c: f64) -> Self {
                let $x = self.value;
                self.unary($with_constant, $by)
            }
        }
    };
}
operator!(Add add |a, b| a + b, E::constant(1.0), E::constant(1.0); |x, c| x + c, E::constant(1.0));
operator!(Sub sub |a, b| a - b, E::constant(1.0), E::constant(-1.0); |x, c| x - c, E::constant(1.0));
operator!(Mul mul |a, b| a * b, b, a; |x, c| x * c, E::constant(c));
operator!(Div div |a, b| a / b, b.recip(), -(a / (b * b)); |x, c| x / c, E::constant(1.0 / c));
super::real::assign_operators!(['t, E: Element] Var<'t, E>, |x| x.index == CONSTANT && x.value.is_zero());

impl<E: Element> Neg for Var<'_, E> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.unary(-self.value, E::constant(-1.0))
    }
}

impl<'t, E: Element> Real for Var<'t, E> {
    type Element = E;
    type Sink = VarSink<'t, E>;
    const TRACKED: bool = true;

    #[inline(always)]
    fn element(self) -> E {
        self.value
    }

    #[inline(always)]
    fn unary(self, value: E, derivative: E) -> Self {
        match self.tape {
            Some(tape) => {
                let index = tape.push(self.index, CONSTANT, derivative, E::constant(0.0));
                Var { tape: Some(tape), index, value }
            }
            None => Var { tape: None, index: CONSTANT, value },
        }
    }

    fn block<B: BlockOp>(op: B, inputs: &[Self]) -> Result<Vec<Self>, DensityError> {
        let input_values: Vec<E> = inputs.iter().map(|x| x.value).collect();
        let mut output_values = Vec::new();
        op.forward(&input_values, &mut output_values)?;
        let Some(tape) = inputs.iter().find_map(|x| x.tape) else {
            return Ok(output_values.into_iter().map(|value| Var { tape: None, index: CONSTANT, value }).collect());
        };
        let mut record = tape.record.borrow_mut();
        let first_output = record.nodes.len() as u32;
        let outputs = output_values
            .iter()
            .enumerate()
            .map(|(i, &value)| Var { tape: Some(tape), index: first_output + i as u32, value })
            .collect();
        let zero = E::constant(0.0);
        for i in 0..output_values.len() {
            let (first, second) = if i == 0 { (BLOCK, record.blocks.len() as u32) } else { (CONSTANT, CONSTANT) };
            record.nodes.push(Node { first, second, first_partial: zero, second_partial: zero });
        }
        let inputs = inputs.iter().map(|x| x.index).collect();
        record.blocks.push(Block { operation: Box::new(op), inputs, input_values, output_values, first_output });
        Ok(outputs)
    }
}

/// Collects the edges of a fused node in buffers that the tape keeps.
#[derive(Debug)]
pub struct VarSink<'t, E: Element> {
    tape: Option<&'t Tape<E>>,
    parents: Vec<u32>,
    partials: Vec<E>,
}

impl<E: Element> Default for VarSink<'_, E> {
    fn default() -> Self {
        Self { tape: None, parents: Vec::new(), partials: Vec::new() }
    }
}

impl<E: Element> Drop for VarSink<'_, E> {
    fn drop(&mut self) {
        if let Some(tape) = self.tape {
            tape.return_scratch((std::mem::take(&mut self.parents), std::mem::take(&mut self.partials)));
        }
    }
}

impl<'t, E: Element> Sink<Var<'t, E>> for VarSink<'t, E> {
    #[inline(always)]
    fn push(&mut self, parent: Var<'t, E>, partial: E) {
        let Some(tape) = parent.tape else { return };
        if self.tape.is_none() {
            self.tape = Some(tape);
            (self.parents, self.partials) = tape.take_scratch();
        }
        self.parents.push(parent.index);
        self.partials.push(partial);
    }

    #[inline]
    fn finish(self, value: E) -> Var<'t, E> {
        let Some(tape) = self.tape else { return Var { tape: None, index: CONSTANT, value } };
        let index = match (self.parents.as_slice(), self.partials.as_slice()) {
            (&[parent], &[partial]) => tape.push(parent, CONSTANT, partial, E::constant(0.0)),
            (&[first, second], &[first_partial, second_partial]) => tape.push(first, second, first_partial, second_partial),
            (parents, partials) => tape.push_wide(parents, partials),
        };
        Var { tape: Some(tape), index, value }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dual, Jet, forward, log_sum_exp};
    use super::*;

    fn rosenbrock<T: Real>(x: &[T]) -> T {
        (x[0] - 1.0).square() + (x[1] - x[0].square()).square() * 100.0
    }

    #[test]
    fn a_gradient_matches_the_formula() {
        let (a, b) = (0.7, -0.3);
        let mut tape = Tape::new();
        let mut gradient = [0.0; 2];
        let value = tape.gradient(&[a, b], &mut gradient, |x| rosenbrock(x));
        approx::assert_relative_eq!(value, (a - 1.0) * (a - 1.0) + 100.0 * (b - a * a) * (b - a * a), max_relative = 1e-14);
        let expected = [2.0 * (a - 1.0) - 400.0 * a * (b - a * a), 200.0 * (b - a * a)];
        approx::assert_relative_eq!(gradient[0], expected[0], max_relative = 1e-14);
        approx::assert_relative_eq!(gradient[1], expected[1], max_relative = 1e-14);
    }

    #[test]
    fn a_tape_over_duals_gives_hessian_vector_products() {
        let (a, b) = (0.7, -0.3);
        let direction = [0.4, -1.1];
        let position = [Dual { value: a, tangents: [direction[0]] }, Dual { value: b, tangents: [direction[1]] }];
        let mut tape: Tape<Dual> = Tape::new();
        let mut gradient = [Dual::from(0.0); 2];
        tape.gradient(&position, &mut gradient, |x| rosenbrock(x));
        let hessian = [[2.0 - 400.0 * b + 1200.0 * a * a, -400.0 * a], [-400.0 * a, 200.0]];
        for i in 0..2 {
            let expected = hessian[i][0] * direction[0] + hessian[i][1] * direction[1];
            approx::assert_relative_eq!(gradient[i].tangents[0], expected, max_relative = 1e-13);
        }
    }

    #[test]
    fn forward_blocks_and_the_plain_tape_agree() {
        fn garch<T: Real>(p: [T; 3]) -> T {
            let mut variance = T::constant(0.25);
            let mut total = T::constant(0.0);
            for t in 0..30 {
                variance = p[0] + p[1] * f64::from(t % 5) + p[2] * variance;
                total += variance.ln();
            }
            total
        }
        let at = [0.3, 0.2, 0.4];
        let mut tape = Tape::new();
        let (mut plain, mut fused) = ([0.0; 3], [0.0; 3]);
        let v = tape.gradient(&at, &mut plain, |x| garch([x[0], x[1], x[2]]));
        let n_plain = tape.len();
        let w = tape.gradient(&at, &mut fused, |x| forward([x[0], x[1], x[2]], garch));
        assert_eq!(v, w);
        assert!(tape.len() < n_plain / 10);
        for k in 0..3 {
            approx::assert_relative_eq!(plain[k], fused[k], max_relative = 1e-13);
        }
        let jets: [Jet<f64, 3>; 3] = std::array::from_fn(|k| Jet::variable(at[k], k));
        assert_eq!(garch(jets).tangents, fused);
    }

    #[test]
    fn constants_leave_no_edges_and_unused_variables_have_zero_gradient() {
        let mut tape = Tape::new();
        let mut gradient = [7.0; 2];
        let value = tape.gradient(&[1.0, 2.0], &mut gradient, |_| Var::from(3.0) * Var::from(2.0));
        assert_eq!((value, gradient), (6.0, [0.0, 0.0]));
    }

    #[test]
    fn log_sum_exp_has_softmax_gradient_and_survives_extremes() {
        let mut tape = Tape::new();
        let mut gradient = [0.0; 3];
        let value = tape.gradient(&[1000.0, 1001.0, f64::NEG_INFINITY], &mut gradient, |x| log_sum_exp(x));
        approx::assert_relative_eq!(value, 1001.0 + (-1.0_f64).exp().ln_1p(), max_relative = 1e-14);
        approx::assert_relative_eq!(gradient[0], (-1.0_f64).exp() / (1.0 + (-1.0_f64).exp()), max_relative = 1e-13);
        assert_eq!(gradient[2], 0.0);
        assert_eq!(log_sum_exp::<super::super::Value>(&[]).value(), f64::NEG_INFINITY);
    }

    #[test]
    fn every_function_has_the_derivative_of_its_difference_quotient() {
        type Function = for<'t> fn(Var<'t>) -> Var<'t>;
        let functions: [(&str, f64, Function); 22] = [
            ("exp", 0.3, |x| x.exp()),
            ("exp_m1", 0.3, |x| x.exp_m1()),
            ("ln", 1.3, |x| x.ln()),
            ("ln_1p", 0.3, |x| x.ln_1p()),
            ("sqrt", 1.3, |x| x.sqrt()),
            ("square", 1.3, |x| x.square()),
            ("recip", 1.3, |x| x.recip()),
            ("powi", 1.3, |x| x.powi(-3)),
            ("powf", 1.3, |x| x.powf(2.5)),
            ("pow", 1.3, |x| x.pow(x)),
            ("sin", 0.3, |x| x.sin()),
            ("cos", 0.3, |x| x.cos()),
            ("tanh", 0.3, |x| x.tanh()),
            ("atan", 0.3, |x| x.atan()),
            ("abs", -0.3, |x| x.abs()),
            ("inv_logit", 0.3, |x| x.inv_logit()),
            ("logit", 0.3, |x| x.logit()),
            ("log1p_exp", -0.3, |x| x.log1p_exp()),
            ("ln_gamma", 1.3, |x| x.ln_gamma()),
            ("digamma", 1.3, |x| x.digamma()),
            ("normal_cdf", 0.3, |x| x.normal_cdf()),
            ("division", 0.3, |x| (x * 2.0 - 1.0) / (x + 3.0)),
        ];
        for (name, at, f) in functions {
            let mut tape = Tape::new();
            let mut gradient = [0.0];
            let mut value = |x: f64, g: &mut [f64]| tape.gradient(&[x], g, |v| f(v[0]));
            value(at, &mut gradient);
            let h = 1e-5;
            let mut unused = [0.0];
            let slope = (value(at + h, &mut unused) - value(at - h, &mut unused)) / (2.0 * h);
            // Truncation h²/6 · f''' and rounding 1e-16/h: 1e-9 covers both.
            assert!((gradient[0] - slope).abs() < 1e-8 * slope.abs().max(1.0), "{name}: {} against {slope}", gradient[0]);
        }
    }
}
