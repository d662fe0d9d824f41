//! The same seed gives the same bits on any number of threads, and the same draws from version to version.

use ndarray::Array2;
use posterity::draws::{Attributes, Draws, Group, SampleStats, StatValues};
use posterity::mcmc::{Hmc, Mala, Nuts, RandomWalk, Run, Sampler};
use posterity::model::zoo::EightSchoolsNoncentered;

use super::harness::{Hand, first_difference, skewed};

fn same_bits_on_any_number_of_threads(sampler: impl Sampler) {
    let model = EightSchoolsNoncentered::rubin();
    let run = |seed| Run::new(seed).chains(4).warmup(60).draws(40).keep_log_likelihood();
    let one = sampler.sample(&model, run(1).threads(1)).unwrap();
    for threads in [2, 4] {
        assert_eq!(first_difference(&one, &sampler.sample(&model, run(1).threads(threads)).unwrap()), None, "{threads} threads");
    }
    assert_eq!(first_difference(&one, &sampler.sample(&model, run(1)).unwrap()), None, "threads unsaid");
    assert!(first_difference(&one, &sampler.sample(&model, run(2).threads(1)).unwrap()).is_some(), "another seed");
}

#[test]
fn nuts_has_the_same_bits_on_any_number_of_threads() {
    same_bits_on_any_number_of_threads(Nuts::default());
}

#[test]
fn hmc_has_the_same_bits_on_any_number_of_threads() {
    same_bits_on_any_number_of_threads(Hmc::default());
}

#[test]
fn mala_has_the_same_bits_on_any_number_of_threads() {
    same_bits_on_any_number_of_threads(Mala::default());
}

#[test]
fn random_walk_has_the_same_bits_on_any_number_of_threads() {
    same_bits_on_any_number_of_threads(RandomWalk::default());
}

/// Chains do not depend on how many there are, and draws not on how many follow.
#[test]
fn a_chain_does_not_know_its_neighbours() {
    let target = Hand::target(3, skewed);
    let few = Nuts::default().sample(&target, Run::new(3).chains(2).warmup(50).draws(20)).unwrap();
    let many = Nuts::default().sample(&target, Run::new(3).chains(4).warmup(50).draws(30)).unwrap();
    let part = many.posterior().values().slice(ndarray::s![..2, ..20, ..]).to_owned();
    assert_eq!(*few.posterior().values(), part);
    // Chains differ from each other.
    assert_ne!(part.index_axis(ndarray::Axis(0), 0), part.index_axis(ndarray::Axis(0), 1));
}

/// A run of which one bit of one number is changed.
fn with_one_bit_changed(draws: &Draws, stat: Option<&str>) -> Draws {
    let mut values = draws.posterior().values().clone();
    if stat.is_none() {
        let last = values.last_mut().unwrap();
        *last = f64::from_bits(last.to_bits() ^ 1);
    }
    let change = |old: &StatValues| match old {
        StatValues::Float(x) => {
            let mut x = x.clone();
            x[[0, 1]] = f64::from_bits(x[[0, 1]].to_bits() ^ 1);
            StatValues::Float(x)
        }
        StatValues::Integer(x) => StatValues::Integer(Array2::from_shape_fn(x.dim(), |at| x[at] ^ i64::from(at == (0, 1)))),
        StatValues::Flag(x) => StatValues::Flag(Array2::from_shape_fn(x.dim(), |at| x[at] ^ (at == (0, 1)))),
    };
    let mut stats = SampleStats::new(draws.n_chains(), draws.n_draws());
    for old in draws.sample_stats().iter() {
        let values = if stat == Some(old.name.as_str()) { change(&old.values) } else { old.values.clone() };
        stats.push(&old.name, values).unwrap();
    }
    let group = Group::new(draws.posterior().variables().to_vec(), values).unwrap();
    Draws::new(group, stats, Attributes::new("nuts", 1)).unwrap()
}

#[test]
fn the_comparison_sees_one_bit() {
    let draws = Nuts::default().sample(&Hand::target(2, skewed), Run::new(1).chains(2).warmup(20).draws(5)).unwrap();
    let copy = with_one_bit_changed(&draws, Some("none of them"));
    assert_eq!(first_difference(&copy, &copy), None);
    assert_eq!(first_difference(&copy, &with_one_bit_changed(&draws, None)).unwrap(), "posterior, number 19");
    let names: Vec<String> = draws.sample_stats().iter().map(|s| s.name.clone()).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    for name in names {
        let difference = first_difference(&copy, &with_one_bit_changed(&draws, Some(&name)));
        assert_eq!(difference.unwrap(), format!("sampling {name}, number 1"));
    }
}

/// `mu` of chain 0 at the first and eighth draw after a short warm-up on the eight schools.
///
/// A change of any of these is a change of every user's results: of the start search, the adaptation, a kernel or the random streams. If
/// it is meant, say so in the change log, and copy the numbers that the failing test prints.
#[test]
fn golden_first_draws() {
    fn first(sampler: impl Sampler, n_warmup: usize) -> [f64; 2] {
        let draws = sampler.sample(&EightSchoolsNoncentered::rubin(), Run::new(42).chains(1).warmup(n_warmup).draws(8)).unwrap();
        let mu = draws.element("mu").unwrap();
        [mu[[0, 0]], mu[[0, 7]]]
    }
    let found =
        [first(Nuts::default(), 20), first(Hmc::default(), 20), first(Mala::default(), 20), first(RandomWalk::default(), 150)];
    // 1e-9 relative: exp and ln may differ in the last bit between C libraries.
    let close = |found: f64, golden: f64| (found - golden).abs() <= 1e-9 * golden.abs();
    let all = found.as_flattened().iter().zip(GOLDEN.as_flattened()).all(|(&found, &golden)| close(found, golden));
    assert!(all, "found {found:?}");
}

const GOLDEN: [[f64; 2]; 4] = [
    [5.844898732962046, 8.196169439147575],
    [8.223237306749638, 8.06962827690818],
    [5.215276801137311, 11.265333293503875],
    [0.8703232160129587, 1.0632046409727076],
];
