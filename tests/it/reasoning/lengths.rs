//! Conditional sweeps over texts of different lengths, which end while others go on: the kernel of two particles, multiplied out.

use std::sync::Arc;

use posterity::reasoning::{DecoderConfig, Finish, Models, Particle, Potential, Prefix, Step, TableModel, TextModel};
use posterity::smc::{ConditionalConfig, ConditionalSmc, PathSampling};
use posterity::weights::Scheme;

use super::chi_squared::{chi_squared, limit};
use super::exact::markov;

const MAX_STEPS: usize = 3;
const NEXT: [[f64; 2]; 2] = [[0.6 / 0.8, 0.2 / 0.8], [0.2 / 0.7, 0.5 / 0.7]];
const END: [f64; 2] = [0.2, 0.3];
const UNFINISHED: [f64; 2] = [0.8, 0.3];
const FINISHED: [f64; 2] = [0.9, 0.2];

/// Steps: symbol (G is 0), and whether the text ends there.
type Text = Vec<(usize, bool)>;

fn is_finished(text: &Text) -> bool {
    text.last().is_some_and(|step| step.1)
}

fn options(text: &Text) -> Vec<((usize, bool), f64)> {
    let next = text.last().map_or([0.5, 0.5], |&(symbol, _)| NEXT[symbol]);
    let mut options = Vec::new();
    for (symbol, p) in next.into_iter().enumerate() {
        if text.len() + 1 == MAX_STEPS {
            options.push(((symbol, true), p));
        } else {
            options.extend([((symbol, true), p * END[symbol]), ((symbol, false), p * (1.0 - END[symbol]))]);
        }
    }
    options
}

/// The last step's score.
fn last_psi(text: &Text) -> f64 {
    text.last().map_or(1.0, |&(symbol, is_end)| if is_end { FINISHED[symbol] } else { UNFINISHED[symbol] })
}

/// The product of all scores.
fn product_psi(text: &Text) -> f64 {
    (1..=text.len()).map(|n| last_psi(&text[..n].to_vec())).product()
}

struct Sweep<'a> {
    reference: &'a Text,
    psi: fn(&Text) -> f64,
    ancestor_sampling: bool,
    ess_threshold: f64,
    texts: &'a [Text],
    row: Vec<f64>,
}

impl Sweep<'_> {
    /// The density of a text continued by the reference from step t on, by its own; a text that has ended goes on with nothing.
    fn connection(&self, t: usize, text: &Text) -> f64 {
        let rest = self.reference.get(t - 1..).unwrap_or_default();
        if rest.is_empty() || is_finished(text) {
            return f64::from(rest.is_empty() && is_finished(text));
        }
        let mut whole = text.clone();
        let mut density = 1.0 / (self.psi)(text);
        for step in rest {
            density *= options(&whole).into_iter().find(|(option, _)| option == step).map_or(0.0, |(_, p)| p);
            whole.push(*step);
        }
        density * (self.psi)(&whole)
    }

    /// All that can happen from step t on to the two texts with their weights, with probability p until here.
    fn go(&mut self, t: usize, cloud: [(Text, f64); 2], pinned: usize, p: f64) {
        let total = cloud[0].1 + cloud[1].1;
        if cloud.iter().all(|(text, _)| is_finished(text)) {
            for (text, w) in &cloud {
                let place = self.texts.iter().position(|other| other == text).unwrap();
                self.row[place] += p * w / total;
            }
            return;
        }
        let ess = total * total / (cloud[0].1.powi(2) + cloud[1].1.powi(2));
        let mut pasts = [0.0; 2];
        pasts[pinned] = 1.0;
        if self.ancestor_sampling {
            pasts = [0, 1].map(|k| cloud[k].1 * self.connection(t, &cloud[k].0));
        }
        let sum = pasts[0] + pasts[1];
        for past in 0..2 {
            if pasts[past] == 0.0 {
                continue;
            }
            let p = p * pasts[past] / sum;
            if t > 1 && ess < 2.0 * self.ess_threshold {
                for (parent, w) in &cloud {
                    self.make_step(t, (cloud[past].0.clone(), 1.0), (parent.clone(), 1.0), p * w / total);
                }
            } else {
                self.make_step(t, cloud[past].clone(), cloud[1 - past].clone(), p);
            }
        }
    }

    fn make_step(&mut self, t: usize, pinned: (Text, f64), free: (Text, f64), p: f64) {
        let psi = self.psi;
        let moved = |(text, w): &(Text, f64), step: (usize, bool)| {
            let mut next = text.clone();
            next.push(step);
            let w = w * psi(&next) / psi(text);
            (next, w)
        };
        let pinned = if is_finished(&pinned.0) { pinned } else { moved(&pinned, self.reference[t - 1]) };
        if is_finished(&free.0) {
            return self.go(t + 1, [pinned, free], 0, p);
        }
        for (step, q) in options(&free.0) {
            self.go(t + 1, [pinned.clone(), moved(&free, step)], 0, p * q);
        }
    }
}

fn all_texts() -> Vec<(Text, f64)> {
    let mut open = vec![(Vec::new(), 1.0)];
    let mut finished = Vec::new();
    while let Some((text, p)) = open.pop() {
        for (step, q) in options(&text) {
            let mut next = text.clone();
            next.push(step);
            if is_finished(&next) { finished.push((next, p * q)) } else { open.push((next, p * q)) }
        }
    }
    finished
}

fn prefix(text: &Text) -> Prefix {
    let step = |&(symbol, is_end): &(usize, bool)| Step::new(["G", "B"][symbol], if is_end { Finish::Eos } else { Finish::Step });
    text.iter().map(step).fold(Prefix::prompt(""), |prefix, step| prefix.extended(step))
}

#[test]
fn a_sweep_over_texts_of_different_lengths_is_the_kernel_multiplied_out() {
    let (texts, prior): (Vec<Text>, Vec<f64>) = all_texts().into_iter().unzip();
    assert_eq!(texts.len(), 14);
    let n_sweeps = 800;
    for (name, psi, potential, ess_threshold) in
        [("product", product_psi as fn(&Text) -> f64, Potential::product(), 2.0), ("last", last_psi, Potential::last(), 0.85)]
    {
        for ancestor_sampling in [false, true] {
            let weights: Vec<f64> = texts.iter().zip(&prior).map(|(text, p)| p * psi(text)).collect();
            let law: Vec<f64> = weights.iter().map(|w| w / weights.iter().sum::<f64>()).collect();
            let rows: Vec<Vec<f64>> = texts
                .iter()
                .map(|reference| {
                    let row = vec![0.0; texts.len()];
                    let mut sweep = Sweep { reference, psi, ancestor_sampling, ess_threshold, texts: &texts, row };
                    sweep.go(1, [(Vec::new(), 1.0), (Vec::new(), 1.0)], 0, 1.0);
                    sweep.row
                })
                .collect();
            for j in 0..texts.len() {
                let after: f64 = law.iter().zip(&rows).map(|(p, row)| p * row[j]).sum();
                assert!((after - law[j]).abs() < 1e-15, "{name} {ancestor_sampling}: {after} {}", law[j]);
            }
            let table = TableModel { max_steps: MAX_STEPS, ..markov() };
            let (mut generator, mut rewards) = (table.clone(), table);
            let mut models = Models::new(&mut generator, &mut rewards);
            let model = TextModel::new(&mut models, DecoderConfig::new(2, 0).potential(potential.clone()), Prefix::prompt(""));
            let path_sampling = if ancestor_sampling { PathSampling::Ancestor } else { PathSampling::Genealogy };
            let config = ConditionalConfig::new(2).scheme(Scheme::Multinomial).ess_threshold(ess_threshold);
            let mut kernel = ConditionalSmc::new(model, config.path_sampling(path_sampling)).unwrap();
            let (mut found, mut df) = (0.0, 0.0);
            for (i, reference) in texts.iter().enumerate() {
                let mut counts = vec![0.0; texts.len()];
                for sweep in 0..n_sweeps {
                    let mut path = Some(Particle { prefix: prefix(reference), scores: Arc::new([]), log_psi: 0.0 });
                    kernel.sweep(&mut path, (sweep * texts.len() + i) as u64).unwrap();
                    let new = path.unwrap().prefix;
                    counts[texts.iter().position(|text| prefix(text) == new).unwrap()] += 1.0;
                }
                let (chi, cells) = chi_squared(&counts, &rows[i]);
                (found, df) = (found + chi, df + cells);
            }
            println!("{name} {ancestor_sampling}: {found} of {df}, limit {}", limit(df));
            assert!(found < limit(df), "{name} {ancestor_sampling}: {found} of {df}");
        }
    }
}
