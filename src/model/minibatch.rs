//! Choice of the observations that an iteration sees.

use super::target::Evaluator;
use crate::error::Error;
use crate::rng::{Purpose, Stream};

/// Some of a target's observations, drawn anew without replacement for every iteration.
#[derive(Debug, Clone)]
pub(crate) struct Minibatch {
    /// All observations, the first ones of which are this iteration's.
    order: Vec<usize>,
    size: usize,
}

impl Minibatch {
    /// `None` if all observations are asked for: the full likelihood is then the same, to the bit.
    pub(crate) fn new(evaluator: &dyn Evaluator, size: usize) -> Result<Option<Self>, Error> {
        let n = evaluator.n_observations().ok_or(Error::NoObservations)?;
        if !(1..=n).contains(&size) {
            let rule = "at least 1 and at most the number of observations";
            return Err(Error::InvalidSetting { setting: "minibatch", value: size as f64, rule });
        }
        Ok((size < n).then(|| Self { order: (0..n).collect(), size }))
    }

    /// Draws the observations of an iteration.
    pub(crate) fn draw(&mut self, seed: u64, iteration: usize) {
        let mut stream = Stream::keyed(seed, Purpose::Minibatch, iteration as u64, 0);
        for i in 0..self.size {
            let rest = (self.order.len() - i) as f64;
            self.order.swap(i, i + (stream.uniform() * rest) as usize);
        }
    }

    /// The observations drawn last.
    pub(crate) fn rows(&self) -> &[usize] {
        &self.order[..self.size]
    }

    /// Number of all observations.
    pub(crate) fn n_observations(&self) -> usize {
        self.order.len()
    }
}
