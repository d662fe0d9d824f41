//! Backward sampling against loops written by hand for the same model, in the same run.
//!
//! `cargo bench -p posterity-benches --bench smoothing`; a word filters rows by name. The model is a Gaussian autoregression over 200 steps;
//! as many paths are drawn as there are particles. Times are milliseconds for the whole backward pass. The floors know the model: they
//! compute only what differs between particles of its log density, check nothing, and draw with the same generator.

use posterity::math::vectorised::exp_in_place;
use posterity::model::Simulate;
use posterity::model::zoo::Ar1;
use posterity::parallel::Threads;
use posterity::rng::Stream;
use posterity::smc::smoothing::{BackwardSampling, backward_sample, genealogy};
use posterity::smc::{Bootstrap, Keep, Smc, SmcConfig};
use posterity_benches::filter;
use posterity_benches::stopwatch::compare_within;

const BUDGET: f64 = 1.0;
const N_STEPS: usize = 200;

type Filter = Smc<Bootstrap<Ar1>>;

fn filtered(n: usize) -> Filter {
    let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y: Vec::new() };
    let (_, y) = model.simulate(N_STEPS, &mut Stream::new(1));
    let config = SmcConfig::new(n, 1).keep(Keep::All).threads(Threads::serial());
    let mut smc = Smc::new(Bootstrap(Ar1 { y, ..model }), config).expect("valid settings");
    smc.run().expect("no error");
    smc
}

/// Cumulative weights of a cloud.
fn cumulate(log_weights: &[f64], cumulative: &mut Vec<f64>) {
    cumulative.clear();
    cumulative.extend_from_slice(log_weights);
    exp_in_place(cumulative);
    let mut sum = 0.0;
    for w in cumulative {
        sum += *w;
        *w = sum;
    }
}

fn search(cumulative: &[f64], u: f64) -> usize {
    let target = u * cumulative[cumulative.len() - 1];
    cumulative.partition_point(|c| *c <= target).min(cumulative.len() - 1)
}

/// Runs `parent(t, child state, slot of its parent in the genealogy)` backwards over all paths; the sum of all states.
fn backwards(
    smc: &Filter,
    seed: u64,
    mut prepare: impl FnMut(&[f64]),
    mut parent: impl FnMut(&[f64], f64, usize, &mut Stream) -> usize,
) -> f64 {
    let mut rng = Stream::new(seed);
    let generations: Vec<_> = smc.history().generations().collect();
    let n = generations[0].population.len();
    let mut cumulative = Vec::new();
    cumulate(&generations[N_STEPS - 1].log_weights, &mut cumulative);
    let mut slots: Vec<usize> = (0..n).map(|_| search(&cumulative, rng.uniform())).collect();
    let mut states = vec![0.0; n * N_STEPS];
    for t in (0..N_STEPS).rev() {
        let now = generations[t];
        if t + 1 < N_STEPS {
            let next = generations[t + 1];
            prepare(&now.log_weights);
            for slot in &mut slots {
                *slot = parent(&now.population, next.population[*slot], next.ancestors[*slot] as usize, &mut rng);
            }
        }
        for (x, &slot) in states[t * n..][..n].iter_mut().zip(&slots) {
            *x = now.population[slot];
        }
    }
    states.iter().sum()
}

fn floor_exact(smc: &Filter, seed: u64) -> f64 {
    let log_weights = std::cell::RefCell::new(Vec::new());
    let mut weights = Vec::new();
    let prepare = |w: &[f64]| w.clone_into(&mut log_weights.borrow_mut());
    backwards(smc, seed, prepare, |x, child, _, rng| {
        weights.clear();
        weights.extend(x.iter().zip(log_weights.borrow().iter()).map(|(x, w): (&f64, &f64)| {
            let r = child - 0.9 * x;
            w - 0.5 * r * r
        }));
        exp_in_place(&mut weights);
        let mut rest = rng.uniform() * weights.iter().sum::<f64>();
        weights
            .iter()
            .position(|w| {
                rest -= w;
                rest < 0.0
            })
            .unwrap_or(0)
    })
}

fn floor_mcmc(smc: &Filter, seed: u64) -> f64 {
    let cumulative = std::cell::RefCell::new(Vec::new());
    let prepare = |w: &[f64]| cumulate(w, &mut cumulative.borrow_mut());
    backwards(smc, seed, prepare, |x, child, start, rng| {
        let proposal = search(&cumulative.borrow(), rng.uniform());
        let (r, s) = (child - 0.9 * x[start], child - 0.9 * x[proposal]);
        let log_ratio = 0.5 * (r * r - s * s);
        if log_ratio >= 0.0 || rng.uniform() < log_ratio.exp() { proposal } else { start }
    })
}

fn floor_rejection(smc: &Filter, seed: u64) -> f64 {
    let cumulative = std::cell::RefCell::new(Vec::new());
    let prepare = |w: &[f64]| cumulate(w, &mut cumulative.borrow_mut());
    backwards(smc, seed, prepare, |x, child, _, rng| {
        // Without the exact way out: a child that no particle explains well would take long.
        for _ in 0..100_000 {
            let proposal = search(&cumulative.borrow(), rng.uniform());
            let r = child - 0.9 * x[proposal];
            if rng.uniform() < (-0.5 * r * r).exp() {
                return proposal;
            }
        }
        0
    })
}

fn floor_genealogy(smc: &Filter, seed: u64) -> f64 {
    backwards(smc, seed, |_| (), |_, _, start, _| start)
}

fn row(name: &str, n: usize, run: impl Fn(&Filter, u64) -> f64, floor: impl Fn(&Filter, u64) -> f64) {
    if !format!("{name} {n}").contains(&filter()) {
        return;
    }
    let smc = filtered(n);
    let (mut a, mut b) = (0, 0);
    let (mut sum_a, mut sum_b) = (0.0, 0.0);
    let result = compare_within(
        BUDGET,
        || {
            a += 1;
            sum_a += run(&smc, a);
            sum_a
        },
        || {
            b += 1;
            sum_b += floor(&smc, b);
            sum_b
        },
    );
    let states = (n * N_STEPS) as f64;
    println!(
        "{name:<14} {n:>6} {:>9.3} {:>9.3} {:>6.2}   (mean state {:.4}, {:.4})",
        result.first * 1e-3,
        result.second * 1e-3,
        result.ratio,
        sum_a / a as f64 / states,
        sum_b / b as f64 / states,
    );
}

fn sum(smc: &Filter, method: BackwardSampling, seed: u64) -> f64 {
    backward_sample(smc, smc.view().population.len(), method, seed).expect("a complete history").steps().flatten().sum()
}

fn main() {
    println!("{:<14} {:>6} {:>9} {:>9} {:>6}", "method", "N", "ms", "floor", "ratio");
    for n in [1000, 10_000] {
        let all = |smc: &Filter, seed| {
            genealogy(smc, smc.view().population.len(), seed).expect("a complete history").steps().flatten().sum()
        };
        row("genealogy", n, all, floor_genealogy);
        row("mcmc", n, |smc, seed| sum(smc, BackwardSampling::Mcmc { n_steps: 1 }, seed), floor_mcmc);
        row("rejection", n, |smc, seed| sum(smc, BackwardSampling::Rejection { max_tries: n / 10 }, seed), floor_rejection);
    }
    row("exact", 1000, |smc, seed| sum(smc, BackwardSampling::Exact, seed), floor_exact);
}
