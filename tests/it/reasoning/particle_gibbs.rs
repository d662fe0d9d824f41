//! Conditional sweeps over texts: the kernel, entry by entry, against a kernel multiplied out by hand; wrong kernels are told apart.

use std::sync::Arc;

use posterity::parallel::Threads;
use posterity::reasoning::{
    Base, Budget, DecoderConfig, ExactTarget, Finish, ForcedEnd, GibbsConfig, GibbsDecoded, GibbsDecoder, Models, Particle,
    Potential, PowerConfig, PowerSampler, Prefix, ReasoningError, RewardModel, Severity, Step, Stopped, TableModel,
    TemperedDecoder, TemperingConfig, TextModel, Texts, WithoutReplacement,
};
use posterity::smc::{Ahead, ConditionalConfig, ConditionalSmc, FeynmanKac, Move, Moved, PathSampling, Pin, Plan, Streams, View};
use posterity::weights::{Scheme, Status};

use super::exact::markov;
use super::faults::Generator;
use super::flaky::Flaky;

/// AA, AB, BA, BB.
type Law = [f64; 4];
const TEXTS: [&str; 4] = ["AA", "AB", "BA", "BB"];
const FIRST: [f64; 2] = [0.5, 0.5];
const NEXT: [[f64; 2]; 2] = [[0.7, 0.3], [0.4, 0.6]];
const PSI: [f64; 2] = [0.8, 0.3];
const INCREMENT: [[f64; 2]; 2] = [[0.9, 0.2], [0.6, 0.5]];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Genealogy,
    FullPath,
    /// Ancestors drawn with w p(x*_t | x_{t-1}).
    NaiveAncestors,
    /// The reference's weight at step 1 is the score of its step 2.
    LookAhead,
    /// That, and the free particle is drawn once more after the last step, before a text is drawn by the same weights.
    LookAheadTwice,
}

fn target() -> Law {
    target_of(PSI, INCREMENT)
}

fn target_of(psi: [f64; 2], increment: [[f64; 2]; 2]) -> Law {
    let mut law = [0.0; 4];
    for (i, p) in law.iter_mut().enumerate() {
        *p = FIRST[i / 2] * NEXT[i / 2][i % 2] * psi[i / 2] * increment[i / 2][i % 2];
    }
    let z: f64 = law.iter().sum();
    law.map(|p| p / z)
}

/// The kernel of a sweep of two particles under multinomial resampling: row by reference, column by new text.
fn kernel(kind: Kind) -> [Law; 4] {
    kernel_of(kind, PSI, INCREMENT)
}

fn kernel_of(kind: Kind, psi: [f64; 2], increment: [[f64; 2]; 2]) -> [Law; 4] {
    let mut rows = [[0.0; 4]; 4];
    for (reference, row) in rows.iter_mut().enumerate() {
        let (r1, r2) = (reference / 2, reference % 2);
        for f1 in 0..2 {
            let looks_ahead = matches!(kind, Kind::LookAhead | Kind::LookAheadTwice);
            let w_reference = if looks_ahead { increment[r1][r2] } else { psi[r1] };
            let w_free = psi[f1];
            let connected = |x1: usize, w: f64| match kind {
                Kind::FullPath => w * NEXT[x1][r2] * increment[x1][r2],
                _ => w * NEXT[x1][r2],
            };
            let (c_reference, c_free) = (connected(r1, w_reference), connected(f1, w_free));
            let pasts = match kind {
                Kind::Genealogy | Kind::LookAhead | Kind::LookAheadTwice => [(r1, 1.0), (f1, 0.0)],
                _ => [(r1, c_reference / (c_reference + c_free)), (f1, c_free / (c_reference + c_free))],
            };
            for (past, p_past) in pasts {
                for (parent, w) in [(r1, w_reference), (f1, w_free)] {
                    for f2 in 0..2 {
                        let p = FIRST[f1] * p_past * w / (w_reference + w_free) * NEXT[parent][f2];
                        let last = [increment[past][r2], increment[parent][f2]];
                        // Drawn once more, the free particle is the reference in this share of cases, and the draw between them idle.
                        let p_same = if kind == Kind::LookAheadTwice { last[0] / (last[0] + last[1]) } else { 0.0 };
                        let p_reference = p_same + (1.0 - p_same) * last[0] / (last[0] + last[1]);
                        row[2 * past + r2] += p * p_reference;
                        row[2 * parent + f2] += p * (1.0 - p_reference);
                    }
                }
            }
        }
    }
    rows
}

fn after(law: &Law, kernel: &[Law; 4]) -> Law {
    let mut out = [0.0; 4];
    for (p, row) in law.iter().zip(kernel) {
        for (out, k) in out.iter_mut().zip(row) {
            *out += p * k;
        }
    }
    out
}

fn total_variation(a: &Law, b: &Law) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

#[test]
fn kernels_by_hand_have_the_laws_that_were_computed_before() {
    let pi = target();
    for (p, expected) in pi.iter().zip([0.7058823529, 0.0672268908, 0.1008403361, 0.1260504202]) {
        assert!((p - expected).abs() < 1e-10);
    }
    for kind in [Kind::Genealogy, Kind::FullPath] {
        let change = total_variation(&after(&pi, &kernel(kind)), &pi);
        assert!(change < 1e-15, "{kind:?} {change}");
    }
    for (kind, expected) in [(Kind::NaiveAncestors, 0.024262), (Kind::LookAhead, 0.058088), (Kind::LookAheadTwice, 0.087175)] {
        let stationary = (0..1000).fold(pi, |law, _| after(&law, &kernel(kind)));
        assert!((total_variation(&stationary, &pi) - expected).abs() < 1e-6, "{kind:?} {stationary:?}");
    }
}

#[test]
fn kernels_with_odds_have_the_laws_that_were_computed_before() {
    let odds = |r: f64| r / (1.0 - r);
    let (psi, increment) = (PSI.map(odds), INCREMENT.map(|row| row.map(odds)));
    let pi = target_of(psi, increment);
    for (p, expected) in pi.iter().zip([0.96869852, 0.01153213, 0.00988468, 0.00988468]) {
        assert!((p - expected).abs() < 1e-8, "{pi:?}");
    }
    for kind in [Kind::Genealogy, Kind::FullPath] {
        let change = total_variation(&after(&pi, &kernel_of(kind, psi, increment)), &pi);
        assert!(change < 1e-15, "{kind:?} {change}");
    }
    for (kind, expected) in [(Kind::NaiveAncestors, 0.020074), (Kind::LookAhead, 0.001659), (Kind::LookAheadTwice, 0.029075)] {
        let stationary = (0..1000).fold(pi, |law, _| after(&law, &kernel_of(kind, psi, increment)));
        assert!((total_variation(&stationary, &pi) - expected).abs() < 1e-6, "{kind:?} {stationary:?}");
    }
}

/// The model of texts, or a wrong one.
struct Model<'m, 'a> {
    texts: TextModel<'m, 'a>,
    kind: Kind,
}

impl FeynmanKac for Model<'_, '_> {
    type Population = Texts;
    type Error = ReasoningError;

    fn init(&mut self, to: Moved<'_, Texts>, streams: Streams, threads: &Threads) -> Result<(), ReasoningError> {
        self.texts.init(to, streams, threads)
    }

    fn plan(&mut self, t: usize, view: View<'_, Texts>, ahead: Ahead<'_>) -> Result<Plan, ReasoningError> {
        self.texts.plan(t, view, ahead)
    }

    fn step(&mut self, from: Move<'_, Texts>, to: Moved<'_, Texts>) -> Result<(), ReasoningError> {
        self.texts.step(from, to)
    }
}

/// 0 or 1 of a step.
fn symbol(prefix: &Prefix, step: usize) -> usize {
    usize::from(prefix.steps()[step].text == "B")
}

impl Pin for Model<'_, '_> {
    type Path = Option<Particle>;

    fn check_path(&self, path: &Option<Particle>) -> Result<(), posterity::Error> {
        self.texts.check_path(path)
    }

    fn copy_state(&self, t: usize, population: &Texts, slot: usize, path: &mut Option<Particle>) {
        self.texts.copy_state(t, population, slot, path);
    }

    fn pin(
        &mut self,
        t: usize,
        parents: Option<(&Texts, u32)>,
        children: &mut Texts,
        slot: usize,
        reference: &Option<Particle>,
    ) -> Result<(f64, Status), ReasoningError> {
        let (log_increment, status) = self.texts.pin(t, parents, children, slot, reference)?;
        let text = &reference.as_ref().unwrap().prefix;
        if (self.kind, t) == (Kind::LookAhead, 1) {
            return Ok((INCREMENT[symbol(text, 0)][symbol(text, 1)].ln(), status));
        }
        Ok((log_increment, status))
    }

    fn log_connection(
        &mut self,
        t: usize,
        parents: &Texts,
        reference: &Option<Particle>,
        out: &mut [f64],
    ) -> Result<bool, ReasoningError> {
        if (self.kind, t) == (Kind::NaiveAncestors, 2) {
            let r2 = symbol(&reference.as_ref().unwrap().prefix, 1);
            for (out, parent) in out.iter_mut().zip(parents.iter()) {
                *out = NEXT[symbol(&parent.prefix, 0)][r2].ln();
            }
            return Ok(true);
        }
        self.texts.log_connection(t, parents, reference, out)
    }
}

fn text(symbols: &str) -> Prefix {
    let last = symbols.len() - 1;
    let steps = symbols.char_indices().map(|(i, c)| Step::new(c, if i == last { Finish::Eos } else { Finish::Step }));
    steps.fold(Prefix::prompt(""), |prefix, step| prefix.extended(step))
}

/// How often the engine's sweep goes from each text to each.
fn count_moves(kind: Kind, n_sweeps: u64) -> [Law; 4] {
    let table = TableModel::two_step_example();
    let (mut generator, mut rewards) = (table.clone(), table);
    let mut models = Models::new(&mut generator, &mut rewards);
    let config = DecoderConfig::new(2, 0).potential(Potential::product());
    let texts = TextModel::new(&mut models, config, Prefix::prompt(""));
    let is_ancestor = matches!(kind, Kind::FullPath | Kind::NaiveAncestors);
    let path_sampling = if is_ancestor { PathSampling::Ancestor } else { PathSampling::Genealogy };
    let config = ConditionalConfig::new(2).scheme(Scheme::Multinomial).path_sampling(path_sampling);
    let mut kernel = ConditionalSmc::new(Model { texts, kind }, config).unwrap();
    let mut counts = [[0.0; 4]; 4];
    for (i, row) in counts.iter_mut().enumerate() {
        for sweep in 0..n_sweeps {
            let mut path = Some(Particle { prefix: text(TEXTS[i]), scores: Arc::new([]), log_psi: 0.0 });
            kernel.sweep(&mut path, sweep * 4 + i as u64).unwrap();
            let written = path.unwrap().prefix.written();
            row[TEXTS.iter().position(|text| *text == written).unwrap()] += 1.0;
        }
    }
    counts
}

/// χ² of counts against a law.
fn chi_squared(counts: &[f64], law: &[f64]) -> f64 {
    let n: f64 = counts.iter().sum();
    counts.iter().zip(law).map(|(count, p)| (count - n * p).powi(2) / (n * p)).sum()
}

fn chi_squared_of_rows(counts: &[Law; 4], kernel: &[Law; 4]) -> f64 {
    counts.iter().zip(kernel).map(|(counts, row)| chi_squared(counts, row)).sum()
}

/// 12 degrees of freedom: exceeded with probability 1e-6.
const MOST: f64 = 50.4;

#[test]
fn a_sweep_is_the_kernel_multiplied_out_and_wrong_sweeps_are_rejected() {
    for kind in [Kind::Genealogy, Kind::FullPath] {
        let found = chi_squared_of_rows(&count_moves(kind, 5000), &kernel(kind));
        println!("{kind:?} {found}");
        assert!(found < MOST, "{kind:?} {found}");
    }
    for (kind, right) in [(Kind::NaiveAncestors, Kind::FullPath), (Kind::LookAhead, Kind::Genealogy)] {
        let counts = count_moves(kind, 5000);
        let (against_right, against_itself) =
            (chi_squared_of_rows(&counts, &kernel(right)), chi_squared_of_rows(&counts, &kernel(kind)));
        println!("{kind:?} {against_right} {against_itself}");
        assert!(against_right > 2.0 * MOST, "{kind:?} {against_right}");
        assert!(against_itself < MOST, "{kind:?} {against_itself}");
    }
}

fn run(table: &TableModel, config: GibbsConfig) -> GibbsDecoded {
    let (mut generator, mut rewards) = (table.clone(), table.clone());
    GibbsDecoder::new(config).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt("")).unwrap()
}

#[test]
fn a_long_chain_has_the_target_as_its_law() {
    for (ancestor_sampling, second_eigenvalue) in [(false, 0.758859), (true, 0.620482)] {
        let decoder = DecoderConfig::new(2, 5).potential(Potential::product()).scheme(Scheme::Multinomial);
        let config = GibbsConfig::new(decoder, 20_000).burn_in(50).ancestor_sampling(ancestor_sampling);
        let gibbs = run(&TableModel::two_step_example(), config);
        let mut counts = [0.0; 4];
        for state in &gibbs.chain {
            counts[TEXTS.iter().position(|text| *text == state.prefix.written()).unwrap()] += 1.0;
        }
        // No function of the chain has a variance inflated by more than this.
        let inflation = (1.0 + second_eigenvalue) / (1.0 - second_eigenvalue);
        let found = chi_squared(&counts, &target()) / inflation;
        println!("{ancestor_sampling} {found} {:?} {:?}", gibbs.change_rates, counts);
        // 3 degrees of freedom: exceeded with probability 1e-6.
        assert!(found < 30.7, "{found}");
        for (text, p) in TEXTS.iter().zip(target()) {
            let weight = gibbs.decoded.mean(|found| f64::from(found.written() == *text));
            assert!((weight - p).abs() < 5.0 * (inflation * p / 20_000.0).sqrt(), "{text} {weight} {p}");
        }
    }
}

/// Means over a chain and their standard errors by batches of 100.
fn mean_of(chain: &[Particle], f: impl Fn(&Prefix) -> f64) -> (f64, f64) {
    let batches: Vec<f64> = chain.chunks(100).map(|b| b.iter().map(|x| f(&x.prefix)).sum::<f64>() / b.len() as f64).collect();
    let n = batches.len() as f64;
    let mean = batches.iter().sum::<f64>() / n;
    (mean, (batches.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt())
}

fn check_markov(table: &TableModel, exact: &ExactTarget, name: &str, config: GibbsConfig) {
    let gibbs = run(table, config);
    let cases: [(&str, f64, (f64, f64)); 3] = [
        (
            "answer",
            exact.mean(|text| f64::from(text.text().ends_with('G'))),
            mean_of(&gibbs.chain, |x| f64::from(x.written().ends_with('G'))),
        ),
        ("length", exact.mean(|text| text.text().len() as f64), mean_of(&gibbs.chain, |x| x.written().len() as f64)),
        (
            "short",
            exact.mean(|text| f64::from(text.text().len() == 1)),
            mean_of(&gibbs.chain, |x| f64::from(x.written().len() == 1)),
        ),
    ];
    for (what, exact, (found, error)) in cases {
        println!("{name} {what}: {exact} {found} +- {error}");
        // Nine cases times three: a false alarm in 1e4.
        assert!((found - exact).abs() < 4.5 * error, "{name} {what}: {exact} {found} +- {error}");
    }
}

#[test]
fn texts_of_different_lengths_keep_their_law() {
    let table = markov();
    for (name, potential, scheme, threshold) in [
        ("product", Potential::product(), Scheme::Systematic, 2.0),
        ("last", Potential::last(), Scheme::Systematic, 0.6),
        ("min", Potential::min(), Scheme::Multinomial, 2.0),
    ] {
        for ancestor_sampling in [false, true] {
            let decoder = DecoderConfig::new(3, 9).potential(potential.clone()).scheme(scheme).ess_threshold(threshold);
            let config = GibbsConfig::new(decoder, 4000).burn_in(20).ancestor_sampling(ancestor_sampling);
            check_markov(&table, &table.enumerate(&potential), name, config);
        }
    }
}

#[test]
fn another_base_and_texts_that_are_cut_off_keep_their_law() {
    // Drawn at temperature 2, weighed as at temperature 1; cut off at three steps by the decoder, where the table would go on.
    let hot = markov().at_temperature(2.0);
    let exact = TableModel { max_steps: 3, ..markov() }.enumerate(&Potential::product());
    for ancestor_sampling in [false, true] {
        let decoder = DecoderConfig::new(3, 2).potential(Potential::product()).base(Base::Power(1.0)).max_steps(3);
        let config = GibbsConfig::new(decoder, 4000).burn_in(20).ancestor_sampling(ancestor_sampling);
        check_markov(&hot, &exact, "cut", config);
        // Cut texts are worth nothing: those that end by themselves in three steps are left.
        let exact = markov().enumerate(&Potential::product()).reweighted(|text| {
            let log_psi: f64 = text.scores.iter().map(|score| score.ln()).sum();
            if text.steps.len() <= 3 { text.log_model + log_psi } else { f64::NEG_INFINITY }
        });
        let decoder = DecoderConfig::new(3, 2).potential(Potential::product()).max_steps(3).forced_end(ForcedEnd::Reject);
        let config = GibbsConfig::new(decoder, 4000).burn_in(20).ancestor_sampling(ancestor_sampling);
        check_markov(&markov(), &exact, "rejected", config);
    }
}

#[test]
fn ancestor_sampling_costs_one_batch_of_each_model_per_step_at_most() {
    let decoder = DecoderConfig::new(8, 3).potential(Potential::product());
    let gibbs = run(&markov(), GibbsConfig::new(decoder, 50).ancestor_sampling(true));
    let ledger = &gibbs.decoded.ledger;
    // 51 decoders of at most 5 steps: generation; scoring before each but the first step; rewards of new texts and of attached ones.
    assert!(ledger.generate_batches <= 51 * 5 && ledger.score_batches <= 50 * 4 && ledger.reward_batches <= 50 * 9 + 5);
    assert_eq!(gibbs.chain.len(), 50);
    assert!(gibbs.change_rates.len() <= 5 && gibbs.change_rates.iter().all(|rate| (0.0..=1.0).contains(rate)));
    assert!((gibbs.decoded.texts.iter().map(|text| text.weight).sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn a_budget_ends_the_chain_between_sweeps() {
    let table = markov();
    for limit in [0, 7, 40, 333] {
        for ancestor_sampling in [false, true] {
            let (mut generator, mut rewards) = (table.clone(), table.clone());
            let mut models = Models::new(&mut generator, &mut rewards).with_budget(Budget::generations(limit));
            let decoder = DecoderConfig::new(8, 3).potential(Potential::product());
            let config = GibbsConfig::new(decoder, 1000).ancestor_sampling(ancestor_sampling);
            let gibbs = GibbsDecoder::new(config).decode(&mut models, &Prefix::prompt("")).unwrap();
            assert_eq!(gibbs.decoded.stopped, Stopped::Budget);
            assert!(gibbs.decoded.ledger.generations <= limit);
            assert!(!gibbs.decoded.texts.is_empty());
            assert!(gibbs.chain.iter().all(|text| text.prefix.is_finished()));
            assert_eq!(gibbs.chain.is_empty(), limit < 300, "{limit}: {}", gibbs.chain.len());
        }
    }
    // Enough to enter each of the first steps, whatever it covers there.
    for limit in 0..40 {
        for start in [None, Some(text("GG"))] {
            let (mut generator, mut rewards) = (table.clone(), table.clone());
            let budget = Budget { reward_calls: Some(limit), ..Budget::default() };
            let mut models = Models::new(&mut generator, &mut rewards).with_budget(budget);
            let config = GibbsConfig::new(DecoderConfig::new(8, 3).potential(Potential::product()), 1000).ancestor_sampling(true);
            let (gibbs, prompt) = (GibbsDecoder::new(config), Prefix::prompt(""));
            let gibbs = match start {
                None => gibbs.decode(&mut models, &prompt),
                Some(start) => gibbs.decode_from(&mut models, &prompt, &start),
            };
            let gibbs = gibbs.unwrap();
            assert!(gibbs.decoded.ledger.reward_calls <= limit);
        }
    }
}

#[test]
fn outages_of_the_reward_model_change_nothing() {
    for ancestor_sampling in [false, true] {
        let chain = |rewards: &mut dyn RewardModel| {
            let mut generator = Generator::sound(markov());
            let mut models = Models::new(&mut generator, rewards);
            let decoder = DecoderConfig::new(8, 3).potential(Potential::product());
            let config = GibbsConfig::new(decoder, 20).ancestor_sampling(ancestor_sampling);
            let gibbs = GibbsDecoder::new(config).decode_from(&mut models, &Prefix::prompt(""), &text("GG")).unwrap();
            let texts: Vec<_> = gibbs.chain.into_iter().map(|text| text.prefix).collect();
            (texts, models.ledger().failed)
        };
        let (calm, flaky) = (chain(&mut markov()), chain(&mut Flaky::new(&markov(), Severity::Transient)));
        assert_eq!(calm.0, flaky.0);
        assert!(calm.1 == 0 && flaky.1 > 5, "{}", flaky.1);
    }
}

#[test]
fn headers_name_the_method_and_its_target() {
    let (mut generator, mut rewards) = (markov(), markov());
    let models = Models::new(&mut generator, &mut rewards);
    let prompt = Prefix::prompt("?");
    let decoder = || DecoderConfig::new(4, 9).potential(Potential::product());
    let gibbs = || GibbsConfig::new(decoder(), 7).burn_in(3);
    let headers = [
        GibbsDecoder::new(gibbs()).header(&models, &prompt),
        TemperedDecoder::new(TemperingConfig::new(gibbs(), [1.0, 0.5])).header(&models, &prompt),
        PowerSampler::new(PowerConfig::new(2.0, 7, 9).potential(Potential::product())).header(&models, &prompt),
        WithoutReplacement::new(decoder()).header(&models, &prompt),
    ];
    let methods: std::collections::BTreeSet<_> = headers.iter().map(|header| header.method.as_str()).collect();
    assert_eq!(methods.len(), 4);
    for header in &headers {
        assert!(header.target.ends_with("prod_t r_t") && header.seed == 9 && header.prompt == "?", "{header:?}");
    }
    assert_eq!(headers[1].settings["betas"].to_string(), "[1.0,0.5]");
    assert_eq!(headers[1].settings["n_burn_in"], 3);
}

#[test]
fn bad_settings_and_references_are_typed_errors() {
    let table = markov();
    let decode = |decoder: DecoderConfig, start: Option<Prefix>| {
        let (mut generator, mut rewards) = (table.clone(), table.clone());
        let mut models = Models::new(&mut generator, &mut rewards);
        let gibbs = GibbsDecoder::new(GibbsConfig::new(decoder, 3));
        let prompt = Prefix::prompt("");
        match start {
            None => gibbs.decode(&mut models, &prompt),
            Some(start) => gibbs.decode_from(&mut models, &prompt, &start),
        }
    };
    let is_setting = |result: Result<GibbsDecoded, ReasoningError>| {
        assert!(matches!(result, Err(ReasoningError::Setting(_))), "{result:?}");
    };
    is_setting(decode(DecoderConfig::new(1, 0), None));
    is_setting(decode(DecoderConfig::new(4, 0).scheme(Scheme::Ssp), None));
    is_setting(decode(DecoderConfig::new(4, 0).n_candidates(2), None));
    is_setting(decode(DecoderConfig::new(4, 0), Some(Prefix::prompt("").extended(Step::new("G", Finish::Step)))));
    is_setting(decode(DecoderConfig::new(4, 0), Some(Prefix::prompt("q").extended(Step::new("G", Finish::Eos)))));
    is_setting(decode(DecoderConfig::new(4, 0).max_steps(1), Some(text("GG"))));
    is_setting(decode(DecoderConfig::new(4, 0).potential(Potential::custom("0", |_, _| f64::NEG_INFINITY)), Some(text("GG"))));
    assert!(decode(DecoderConfig::new(4, 0), Some(text("GG"))).is_ok());
}
