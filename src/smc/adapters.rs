//! State-space models as Feynman-Kac models: bootstrap, guided and auxiliary filters.

use std::convert::Infallible;

use super::conditional_model::Pin;
use super::feynman_kac::{Ahead, FeynmanKac, Move, Moved, Plan, Streams, View};
use crate::error::Error;
use crate::model::{LookAhead, Proposal, StateSpaceModel, TransitionDensity};
use crate::parallel::Threads;
use crate::weights::Status;

/// Slots per random stream: part of what a seed means.
const BLOCK: usize = 256;

/// Clouds smaller than this are moved on one thread.
const LEAST_TO_SHARE: usize = 4096;

/// The bootstrap filter: particles move by the model's own transition, and are weighed by the observation.
///
/// Source: N. J. Gordon, D. J. Salmond and A. F. M. Smith 1993, doi:10.1049/ip-f-2.1993.0015.
#[derive(Debug, Clone, Copy)]
pub struct Bootstrap<M>(pub M);

/// The guided filter: particles move by the model's [`Proposal`].
///
/// Source: A. Doucet, S. Godsill and C. Andrieu 2000, doi:10.1023/A:1008935410038.
#[derive(Debug, Clone, Copy)]
pub struct Guided<M>(pub M);

/// The auxiliary filter over [`Bootstrap`] or [`Guided`]: particles that promise to explain the next observation are chosen first.
///
/// Source: M. K. Pitt and N. Shephard 1999, doi:10.1080/01621459.1999.10474153.
#[derive(Debug, Clone, Copy)]
pub struct Auxiliary<A>(pub A);

/// An adapter of a state-space model, seen by what sits on top of it: smoothers, forecasts and particle MCMC.
pub trait StateSpaceAdapter: FeynmanKac<Population = Vec<<Self::Model as StateSpaceModel>::State>, Error = Infallible> {
    /// The state-space model.
    type Model: StateSpaceModel;

    /// The state-space model.
    fn state_space(&self) -> &Self::Model;

    /// log G_t of a state, given the one before (`None` at step 0).
    fn log_potential(
        &self,
        t: usize,
        from: Option<&<Self::Model as StateSpaceModel>::State>,
        to: &<Self::Model as StateSpaceModel>::State,
    ) -> f64;
}

type State<M> = <M as StateSpaceModel>::State;

/// Runs `f` over blocks of slots, each with its random stream.
fn init_blocks<X: Copy + Send>(
    to: Moved<'_, Vec<X>>,
    streams: Streams,
    threads: &Threads,
    f: impl Fn(&mut crate::rng::Stream, &mut [X], &mut [f64]) + Sync,
) {
    let threads = threads.for_at_least(LEAST_TO_SHARE, to.children.len());
    let data = (to.children.as_mut_slice(), to.log_increments);
    threads.for_each_block(data, BLOCK, |block, (states, increments)| {
        f(&mut streams.block(block), states, increments);
    });
}

fn move_blocks<X: Copy + Send + Sync>(
    from: Move<'_, Vec<X>>,
    to: Moved<'_, Vec<X>>,
    f: impl Fn(&[X], &[u32], &mut crate::rng::Stream, &mut [X], &mut [f64]) + Sync,
) {
    let threads = from.threads.for_at_least(LEAST_TO_SHARE, to.children.len());
    let (parents, streams) = (from.parents.as_slice(), from.streams);
    let data = (to.children.as_mut_slice(), from.ancestors, to.log_increments);
    threads.for_each_block(data, BLOCK, |block, (children, ancestors, increments)| {
        f(parents, ancestors, &mut streams.block(block), children, increments);
    });
}

fn plan_of<M: StateSpaceModel>(model: &M, t: usize) -> Plan {
    Plan { stop: t >= model.n_steps(), ..Plan::default() }
}

impl<M: StateSpaceModel> FeynmanKac for Bootstrap<M> {
    type Population = Vec<M::State>;
    type Error = Infallible;

    fn init(&mut self, to: Moved<'_, Vec<M::State>>, streams: Streams, threads: &Threads) -> Result<(), Infallible> {
        let model = &self.0;
        init_blocks(to, streams, threads, |rng, states, increments| model.initial_block(rng, states, increments));
        Ok(())
    }

    fn plan(&mut self, t: usize, _view: View<'_, Vec<M::State>>, _ahead: Ahead<'_>) -> Result<Plan, Infallible> {
        Ok(plan_of(&self.0, t))
    }

    fn step(&mut self, from: Move<'_, Vec<M::State>>, to: Moved<'_, Vec<M::State>>) -> Result<(), Infallible> {
        let (model, t) = (&self.0, from.t);
        move_blocks(from, to, |parents, ancestors, rng, children, increments| {
            model.step_block(t, parents, ancestors, rng, children, increments);
        });
        Ok(())
    }
}

impl<M: StateSpaceModel> StateSpaceAdapter for Bootstrap<M> {
    type Model = M;

    fn state_space(&self) -> &M {
        &self.0
    }

    fn log_potential(&self, t: usize, _from: Option<&M::State>, to: &M::State) -> f64 {
        self.0.log_observation(t, to)
    }
}

impl<M: Proposal> FeynmanKac for Guided<M> {
    type Population = Vec<M::State>;
    type Error = Infallible;

    fn init(&mut self, to: Moved<'_, Vec<M::State>>, streams: Streams, threads: &Threads) -> Result<(), Infallible> {
        let model = &self.0;
        init_blocks(to, streams, threads, |rng, states, increments| {
            for (x, w) in states.iter_mut().zip(increments) {
                *x = model.propose_initial(rng);
                *w = model.log_weight_initial(x);
            }
        });
        Ok(())
    }

    fn plan(&mut self, t: usize, _view: View<'_, Vec<M::State>>, _ahead: Ahead<'_>) -> Result<Plan, Infallible> {
        Ok(plan_of(&self.0, t))
    }

    fn step(&mut self, from: Move<'_, Vec<M::State>>, to: Moved<'_, Vec<M::State>>) -> Result<(), Infallible> {
        let (model, t) = (&self.0, from.t);
        move_blocks(from, to, |parents, ancestors, rng, children, increments| {
            model.propose_block(t, parents, ancestors, rng, children, increments);
        });
        Ok(())
    }
}

impl<M: Proposal> StateSpaceAdapter for Guided<M> {
    type Model = M;

    fn state_space(&self) -> &M {
        &self.0
    }

    fn log_potential(&self, t: usize, from: Option<&M::State>, to: &M::State) -> f64 {
        match from {
            None => self.0.log_weight_initial(to),
            Some(from) => self.0.log_weight(t, from, to),
        }
    }
}

impl<A> FeynmanKac for Auxiliary<A>
where
    A: StateSpaceAdapter<Population = Vec<State<<A as StateSpaceAdapter>::Model>>>,
    A::Model: LookAhead,
{
    type Population = A::Population;
    type Error = Infallible;

    fn init(&mut self, to: Moved<'_, A::Population>, streams: Streams, threads: &Threads) -> Result<(), Infallible> {
        self.0.init(to, streams, threads)
    }

    fn plan(&mut self, t: usize, view: View<'_, A::Population>, mut ahead: Ahead<'_>) -> Result<Plan, Infallible> {
        let model = self.0.state_space();
        let plan = plan_of(model, t);
        if !plan.stop {
            for (eta, x) in ahead.log_eta().iter_mut().zip(view.population) {
                *eta = model.log_look_ahead(t, x);
            }
        }
        Ok(plan)
    }

    fn step(&mut self, from: Move<'_, A::Population>, to: Moved<'_, A::Population>) -> Result<(), Infallible> {
        self.0.step(from, to)
    }
}

impl<A> StateSpaceAdapter for Auxiliary<A>
where
    A: StateSpaceAdapter<Population = Vec<State<<A as StateSpaceAdapter>::Model>>>,
    A::Model: LookAhead,
{
    type Model = A::Model;

    fn state_space(&self) -> &A::Model {
        self.0.state_space()
    }

    fn log_potential(&self, t: usize, from: Option<&State<A::Model>>, to: &State<A::Model>) -> f64 {
        self.0.log_potential(t, from, to)
    }
}

impl<A> Pin for A
where
    A: StateSpaceAdapter,
    A::Model: TransitionDensity,
{
    type Path = Vec<State<A::Model>>;

    fn check_path(&self, path: &Self::Path) -> Result<(), Error> {
        let (expected, found) = (self.state_space().n_steps(), path.len());
        if expected == 0 {
            return Err(Error::Empty { what: "the data of the state-space model" });
        }
        if expected == found { Ok(()) } else { Err(Error::Dimension { what: "steps of a reference path", expected, found }) }
    }

    fn copy_state(&self, t: usize, population: &Self::Population, slot: usize, path: &mut Self::Path) {
        if path.len() <= t {
            path.resize(t + 1, State::<A::Model>::default());
        }
        path[t] = population[slot];
    }

    fn pin(
        &mut self,
        t: usize,
        parents: Option<(&Self::Population, u32)>,
        children: &mut Self::Population,
        slot: usize,
        reference: &Self::Path,
    ) -> Result<(f64, Status), Infallible> {
        let from = parents.map(|(parents, ancestor)| &parents[ancestor as usize]);
        let log_g = self.log_potential(t, from, &reference[t]);
        children[slot] = reference[t];
        Ok((log_g, Status::Live))
    }

    /// log p_t(x_t* | x_{t-1}) for every adapter: the ratio of full path densities does not depend on how particles were proposed.
    fn log_connection(
        &mut self,
        t: usize,
        parents: &Self::Population,
        reference: &Self::Path,
        out: &mut [f64],
    ) -> Result<bool, Infallible> {
        self.state_space().log_transition_block(t, parents, &reference[t], out);
        Ok(true)
    }
}
