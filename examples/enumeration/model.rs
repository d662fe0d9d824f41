//! A finite hidden Markov model.

/// States 0 to S - 1, steps 0 to T - 1, as numbers: nothing is checked here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hmm {
    /// p_0(x).
    pub(crate) initial: Vec<f64>,
    /// p_t(to | from) at `[t - 1][from][to]`.
    pub(crate) transition: Vec<Vec<Vec<f64>>>,
    /// g_t(x) at `[t][x]`.
    pub(crate) potentials: Vec<Vec<f64>>,
    /// q_0(x); empty if particles start from p_0.
    pub(crate) first_proposal: Vec<f64>,
    /// q_t(to | from) at `[t - 1][from][to]`; empty if particles move by the transition.
    pub(crate) proposal: Vec<Vec<Vec<f64>>>,
    /// The look-ahead at `[t - 1][x_{t-1}]`; empty if there is none.
    pub(crate) look_ahead: Vec<Vec<f64>>,
}

impl Hmm {
    /// The model of the acceptance check on conditional kernels: two states, two steps.
    pub(crate) fn two_states() -> Self {
        Self {
            initial: vec![0.6, 0.4],
            transition: vec![vec![vec![0.7, 0.3], vec![0.2, 0.8]]],
            potentials: vec![vec![0.9, 0.1], vec![0.3, 0.8]],
            ..Self::default()
        }
    }

    pub(crate) fn n_states(&self) -> usize {
        self.initial.len()
    }

    pub(crate) fn n_steps(&self) -> usize {
        self.potentials.len()
    }

    pub(crate) fn n_paths(&self) -> usize {
        self.n_states().pow(self.n_steps() as u32)
    }

    /// The states of a path, x_0 being the most significant digit of its number.
    pub(crate) fn path(&self, mut code: usize) -> Vec<usize> {
        let mut path = vec![0; self.n_steps()];
        for x in path.iter_mut().rev() {
            *x = code % self.n_states();
            code /= self.n_states();
        }
        path
    }

    /// The number of a path.
    pub(crate) fn code(&self, path: &[usize]) -> usize {
        path.iter().fold(0, |code, x| code * self.n_states() + x)
    }

    /// Density of a path and the data.
    pub(crate) fn joint(&self, code: usize) -> f64 {
        let path = self.path(code);
        let mut p = self.initial[path[0]] * self.potentials[0][path[0]];
        for t in 1..path.len() {
            p *= self.transition(t, path[t - 1], path[t]) * self.potentials[t][path[t]];
        }
        p
    }

    /// Probabilities of all paths given the data.
    pub(crate) fn posterior(&self) -> Vec<f64> {
        let joint: Vec<f64> = (0..self.n_paths()).map(|code| self.joint(code)).collect();
        let total: f64 = joint.iter().sum();
        joint.iter().map(|p| p / total).collect()
    }

    pub(crate) fn transition(&self, t: usize, from: usize, to: usize) -> f64 {
        self.transition[t - 1][from][to]
    }

    pub(crate) fn first_law(&self) -> Vec<f64> {
        if self.first_proposal.is_empty() { self.initial.clone() } else { self.first_proposal.clone() }
    }

    pub(crate) fn first_weight(&self, x: usize) -> f64 {
        let ratio = self.first_proposal.get(x).map_or(1.0, |q| self.initial[x] / q);
        ratio * self.potentials[0][x]
    }

    pub(crate) fn move_law(&self, t: usize, from: usize) -> Vec<f64> {
        let law = self.proposal.get(t - 1).unwrap_or(&self.transition[t - 1]);
        law[from].clone()
    }

    pub(crate) fn weight(&self, t: usize, from: usize, to: usize) -> f64 {
        let ratio = self.proposal.get(t - 1).map_or(1.0, |q| self.transition(t, from, to) / q[from][to]);
        ratio * self.potentials[t][to]
    }

    /// Look-ahead (not its logarithm) before step t.
    pub(crate) fn look_ahead(&self, t: usize, x: usize) -> f64 {
        self.look_ahead.get(t - 1).map_or(1.0, |eta| eta[x])
    }
}
