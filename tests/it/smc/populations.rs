//! Populations: one model on each kind of storage, counted clones and allocations, long chains.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use posterity::parallel::Threads;
use posterity::smc::populations::{Columns, Owned, PrefixTree};
use posterity::smc::{Ahead, Slots};
use posterity::smc::{FeynmanKac, Keep, Move, Moved, Plan, Population, Smc, SmcConfig, SmcError, Streams, View};
use posterity::weights::{Resample, Status};

/// What the walk needs of its storage.
trait Store: Population {
    fn start(&mut self, slot: usize, x: f64);
    /// Fills the slots of a step with `f(slot, parent)`.
    fn advance(&mut self, from: Move<'_, Self>, f: impl FnMut(usize, f64) -> f64);
    fn value(&self, slot: usize) -> f64;
}

/// A random walk weighed by a slope; it fails at a step if told to.
#[derive(Debug)]
struct Walk<P> {
    n_steps: usize,
    copies: usize,
    fails_at: Option<usize>,
    storage: std::marker::PhantomData<fn() -> P>,
}

fn walk<P>(n_steps: usize, copies: usize) -> Walk<P> {
    Walk { n_steps, copies, fails_at: None, storage: std::marker::PhantomData }
}

#[derive(Debug, thiserror::Error)]
#[error("out of order")]
struct OutOfOrder;

impl<P: Store> FeynmanKac for Walk<P> {
    type Population = P;
    type Error = OutOfOrder;

    fn init(&mut self, to: Moved<'_, P>, streams: Streams, _threads: &Threads) -> Result<(), OutOfOrder> {
        for slot in 0..to.children.len() {
            let x = streams.slot(slot).normal();
            to.children.start(slot, x);
            to.log_increments[slot] = -0.7 * x;
        }
        Ok(())
    }

    fn plan(&mut self, t: usize, view: View<'_, P>, _ahead: Ahead<'_>) -> Result<Plan, OutOfOrder> {
        let n_resample = Some(view.population.len() / self.copies);
        let resample = if self.copies > 1 { Resample::Always } else { Resample::Auto };
        Ok(Plan { stop: t >= self.n_steps, copies: self.copies, n_resample, resample })
    }

    fn step(&mut self, from: Move<'_, P>, to: Moved<'_, P>) -> Result<(), OutOfOrder> {
        let (t, streams, slots) = (from.t, from.streams, from.slots);
        to.children.advance(from, |slot, x| x + 0.3 * streams.slot(slot).normal());
        for slot in slots.iter() {
            to.log_increments[slot] = -0.7 * to.children.value(slot);
        }
        if self.fails_at == Some(t) { Err(OutOfOrder) } else { Ok(()) }
    }
}

impl Store for Vec<f64> {
    fn start(&mut self, slot: usize, x: f64) {
        self[slot] = x;
    }

    fn advance(&mut self, from: Move<'_, Self>, mut f: impl FnMut(usize, f64) -> f64) {
        for slot in from.slots.iter() {
            self[slot] = f(slot, from.parents[from.ancestors[slot / from.copies] as usize]);
        }
    }

    fn value(&self, slot: usize) -> f64 {
        self[slot]
    }
}

/// The walk in column 1; column 0 counts the steps.
impl Store for Columns<2> {
    fn start(&mut self, slot: usize, x: f64) {
        self.set_row(slot, [0.0, x]);
    }

    fn advance(&mut self, from: Move<'_, Self>, mut f: impl FnMut(usize, f64) -> f64) {
        self.gather(from.parents, from.ancestors, from.copies);
        let [steps, x] = self.columns_mut();
        for slot in from.slots.iter() {
            steps[slot] += 1.0;
            x[slot] = f(slot, x[slot]);
        }
    }

    fn value(&self, slot: usize) -> f64 {
        self.row(slot)[1]
    }
}

/// A particle that counts its clones.
#[derive(Debug)]
struct Dear {
    x: f64,
    n_clones: Arc<AtomicUsize>,
}

impl Clone for Dear {
    fn clone(&self) -> Self {
        self.n_clones.fetch_add(1, Ordering::Relaxed);
        Self { x: self.x, n_clones: Arc::clone(&self.n_clones) }
    }
}

impl Store for Owned<Dear> {
    fn start(&mut self, slot: usize, x: f64) {
        // All count together: the first particle's counter serves the others.
        let n_clones = self.get(0).map_or_else(Arc::default, |first| Arc::clone(&first.n_clones));
        self.set(slot, Dear { x, n_clones });
    }

    fn advance(&mut self, from: Move<'_, Self>, mut f: impl FnMut(usize, f64) -> f64) {
        self.hand_on(from.parents, from.ancestors, from.copies, from.slots);
        for slot in from.slots.iter() {
            self[slot].x = f(slot, self[slot].x);
        }
    }

    fn value(&self, slot: usize) -> f64 {
        self[slot].x
    }
}

impl Store for PrefixTree<f64> {
    fn start(&mut self, slot: usize, x: f64) {
        self.start(slot, x);
    }

    fn advance(&mut self, from: Move<'_, Self>, mut f: impl FnMut(usize, f64) -> f64) {
        for slot in from.slots.iter() {
            let parent = from.ancestors[slot / from.copies] as usize;
            let x = f(slot, from.parents.value(parent));
            self.extend(slot, from.parents, parent, x);
        }
    }

    fn value(&self, slot: usize) -> f64 {
        *self.last(slot).unwrap()
    }
}

const N: usize = 60;
const T: usize = 25;

fn run<P: Store>(copies: usize, keep: Keep) -> Smc<Walk<P>> {
    let mut smc = Smc::new(walk::<P>(T, copies), SmcConfig::new(N, 3).keep(keep)).unwrap();
    smc.run().unwrap();
    smc
}

#[test]
fn every_storage_gives_the_same_run() {
    for copies in [1, 3] {
        let expected = run::<Vec<f64>>(copies, Keep::All);
        let summary = expected.summary();
        assert!(summary.n_resampled > 4 && summary.n_families < N / 4);
        fn values<P: Store>(smc: &Smc<Walk<P>>) -> Vec<f64> {
            (0..N).map(|slot| smc.view().population.value(slot)).collect()
        }
        let (columns, owned, tree) = (
            run::<Columns<2>>(copies, Keep::All),
            run::<Owned<Dear>>(copies, Keep::All),
            run::<PrefixTree<f64>>(copies, Keep::All),
        );
        assert_eq!([columns.summary(), owned.summary(), tree.summary()], [summary; 3]);
        for found in [values(&columns), values(&owned), values(&tree)] {
            assert_eq!(found, *expected.view().population);
        }
        assert!(columns.view().population.column(0).iter().all(|steps| *steps == T as f64 - 1.0));
        // The tree knows the paths that the history has.
        let history = expected.history();
        for slot in 0..N {
            let lineage = history.lineage(slot).into_iter().enumerate();
            let path: Vec<f64> = lineage.map(|(t, slot)| history.generation(t).unwrap().population[slot]).collect();
            assert_eq!(tree.view().population.path(slot), path.iter().collect::<Vec<_>>());
        }
        let distinct = (0..T).map(|t| history.n_distinct_ancestors(t).unwrap()).sum::<usize>();
        assert_eq!(tree.view().population.n_nodes(), distinct);
        assert!(distinct < N * T / 2);
    }
}

#[test]
fn owned_particles_are_cloned_only_where_a_parent_has_several_children() {
    for copies in [1, 3] {
        let mut smc = Smc::new(walk::<Owned<Dear>>(T, copies), SmcConfig::new(N, 3)).unwrap();
        smc.step().unwrap();
        let counter = Arc::clone(&smc.view().population[0].n_clones);
        let (mut counted, mut expected) = (0, 0);
        while let Some(info) = smc.step().unwrap() {
            let mut ancestors = smc.snapshot(info).ancestors.to_vec();
            ancestors.sort_unstable();
            ancestors.dedup();
            expected += N - ancestors.len();
            counted = counter.load(Ordering::Relaxed);
            assert_eq!(counted, expected, "step {}", info.t);
        }
        assert!(counted > N);
    }
}

#[test]
fn a_failure_after_particles_were_handed_on_loses_the_cloud_and_says_so() {
    let mut smc = Smc::new(walk::<Owned<Dear>>(T, 1), SmcConfig::new(N, 3)).unwrap();
    smc.model_mut().fails_at = Some(7);
    assert!(matches!(smc.run(), Err(SmcError::Model { step: 7, source: OutOfOrder, .. })));
    smc.model_mut().fails_at = None;
    for _ in 0..2 {
        assert!(matches!(smc.run(), Err(SmcError::Consumed { step: 7 })));
    }
    // A new run is possible, and the same as one that never failed.
    smc.restart(3);
    assert_eq!(smc.run().unwrap(), run::<Vec<f64>>(1, Keep::Nothing).summary());

    // The other storages are as before the step, and go on.
    fn recovers<P: Store>() {
        let mut smc = Smc::new(walk::<P>(T, 1), SmcConfig::new(N, 3)).unwrap();
        smc.model_mut().fails_at = Some(7);
        assert!(smc.run().is_err());
        smc.model_mut().fails_at = None;
        assert_eq!(smc.run().unwrap(), run::<Vec<f64>>(1, Keep::Nothing).summary());
    }
    recovers::<Vec<f64>>();
    recovers::<Columns<2>>();
    recovers::<PrefixTree<f64>>();
}

/// Owned particles of which one waits, and one freezes.
#[derive(Debug)]
struct Waiting {
    attempts: Vec<(usize, u32)>,
}

impl FeynmanKac for Waiting {
    type Population = Owned<String>;
    type Error = Infallible;

    fn init(&mut self, to: Moved<'_, Owned<String>>, _streams: Streams, _threads: &Threads) -> Result<(), Infallible> {
        for slot in 0..to.children.len() {
            to.children.set(slot, slot.to_string());
        }
        Ok(())
    }

    fn plan(&mut self, t: usize, _view: View<'_, Owned<String>>, _ahead: Ahead<'_>) -> Result<Plan, Infallible> {
        Ok(Plan { stop: t > 3, resample: Resample::Never, ..Plan::default() })
    }

    fn step(&mut self, from: Move<'_, Owned<String>>, to: Moved<'_, Owned<String>>) -> Result<(), Infallible> {
        self.attempts.push((from.t, from.attempt));
        to.children.hand_on(from.parents, from.ancestors, from.copies, from.slots);
        for slot in from.slots.iter() {
            to.log_increments[slot] = 0.0;
            if slot == 1 && from.attempt == 0 {
                to.status[slot] = Status::Pending;
                continue;
            }
            to.children[slot].push('.');
            to.status[slot] = if slot == 2 && from.t == 2 { Status::Frozen } else { Status::Live };
        }
        Ok(())
    }
}

#[test]
fn owned_particles_wait_and_freeze() {
    let mut smc = Smc::new(Waiting { attempts: Vec::new() }, SmcConfig::new(4, 1)).unwrap();
    smc.run().unwrap();
    assert_eq!(smc.view().population.iter().collect::<Vec<_>>(), ["0...", "1...", "2..", "3..."]);
    assert_eq!(smc.model().attempts, [(1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]);
}

#[test]
fn columns_allocate_nothing_after_the_first_steps() {
    for keep in [Keep::Nothing, Keep::Last(3)] {
        let mut smc = Smc::new(walk::<Columns<2>>(60, 1), SmcConfig::new(500, 3).keep(keep).threads(Threads::serial())).unwrap();
        for _ in 0..30 {
            smc.step().unwrap();
        }
        assert!(smc.machine().genealogy().n_resampled() > 3);
        let info = allocation_counter::measure(|| {
            for _ in 0..25 {
                smc.step().unwrap();
            }
        });
        assert_eq!(info.count_total, 0, "{info:?}");
    }
}

#[test]
fn a_chain_of_a_million_nodes_is_freed_without_recursion() {
    let mut tree = PrefixTree::default();
    tree.resize(2);
    tree.start(0, 0_u32);
    for item in 1..1_000_000 {
        let parents = tree.clone();
        tree.extend(0, &parents, 0, item);
    }
    assert_eq!((tree.n_items(0), tree.n_nodes(), tree.n_items(1)), (1_000_000, 1_000_000, 0));
    // A branch keeps its prefix alive when the long one goes.
    let stem = tree.backwards(0).nth(10).copied();
    assert_eq!(stem, Some(999_989));
    let mut copy = PrefixTree::default();
    copy.resize(1);
    copy.copy_slot(0, &tree, 0);
    assert_eq!(copy.n_nodes(), 1_000_000);
    // On a small stack, as a recursive drop of even a few thousand nodes would not fit it.
    let dropped = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        drop(tree);
        drop(copy);
    });
    dropped.unwrap().join().unwrap();
}

#[test]
fn handing_on_moves_the_last_child_and_clones_the_others() {
    let n_clones: Arc<AtomicUsize> = Arc::default();
    let mut parents: Owned<Dear> = (0..4).map(|i| Dear { x: f64::from(i), n_clones: Arc::clone(&n_clones) }).collect();
    let mut children = Owned::default();
    children.resize(5);
    // Slot 1 is left out: the parent of slot 0 has one child among the others.
    children.hand_on(&mut parents, &[3, 3, 0, 0, 0], 1, Slots::AllBut(5, 1));
    assert_eq!(children.iter().map(|p| p.x).collect::<Vec<_>>(), [3.0, 0.0, 0.0, 0.0]);
    assert!(children.get(1).is_none() && parents.get(3).is_none() && parents.get(0).is_none() && parents.get(1).is_some());
    assert_eq!(n_clones.load(Ordering::Relaxed), 2);
    assert!(parents.is_consumed() && !children.is_consumed());
    parents.resize(2);
    assert!(!parents.is_consumed() && parents.get(1).is_none());
}
