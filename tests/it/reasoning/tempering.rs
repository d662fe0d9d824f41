//! Chains that exchange texts, against enumeration.

use posterity::reasoning::{
    Budget, DecoderConfig, GibbsConfig, Models, Particle, Potential, Prefix, ReasoningError, Stopped, TableModel,
    TemperedDecoded, TemperedDecoder, TemperingConfig,
};
use posterity::weights::Scheme;

const TEXTS: [&str; 4] = ["AA", "AB", "BA", "BB"];

fn run(n_rounds: usize, betas: &[f64], budget: Budget) -> Result<TemperedDecoded, ReasoningError> {
    let table = TableModel::two_step_example();
    let (mut generator, mut rewards) = (table.clone(), table);
    let mut models = Models::new(&mut generator, &mut rewards).with_budget(budget);
    let decoder = DecoderConfig::new(2, 7).potential(Potential::product()).scheme(Scheme::Multinomial);
    TemperedDecoder::new(TemperingConfig::new(GibbsConfig::new(decoder, n_rounds).burn_in(10), betas))
        .decode(&mut models, &Prefix::prompt(""))
}

fn law(potential: &Potential) -> Vec<f64> {
    let exact = TableModel::two_step_example().enumerate(potential);
    TEXTS.iter().map(|text| exact.mean(|found| f64::from(found.text() == *text))).collect()
}

fn chi_squared(chain: &[Particle], law: &[f64]) -> f64 {
    let n = chain.len() as f64;
    let terms = TEXTS.iter().zip(law).map(|(text, p)| {
        let count = chain.iter().filter(|state| state.prefix.written() == *text).count() as f64;
        (count - n * p).powi(2) / (n * p)
    });
    terms.sum()
}

/// Variances of means over a chain are not larger than this, relative to independent draws: that of a single chain's slowest function,
/// whose eigenvalue is .758859, and exchanges can only help.
const INFLATION: f64 = 7.294;

#[test]
fn targets_of_both_chains_by_enumeration() {
    let half = TableModel::two_step_example().enumerate(&Potential::product().inverse_temperature(0.5));
    assert!((half.evidence - 0.558027162227).abs() < 1e-12);
    for (p, expected) in
        law(&Potential::product().inverse_temperature(0.5)).iter().zip([0.53220500, 0.10752165, 0.15205857, 0.20821478])
    {
        assert!((p - expected).abs() < 1e-8);
    }
    // The mean acceptance of an exchange, and that it leaves the product of both laws as it is.
    let (cold, hot) = (law(&Potential::product()), law(&Potential::product().inverse_temperature(0.5)));
    let psi = [0.72_f64, 0.16, 0.18, 0.15];
    let accepted = |i: usize, j: usize| (psi[j] / psi[i]).sqrt().min(1.0);
    let mut mean = 0.0;
    for i in 0..4 {
        for j in 0..4 {
            mean += cold[i] * hot[j] * accepted(i, j);
            assert!((cold[i] * hot[j] * accepted(i, j) - cold[j] * hot[i] * accepted(j, i)).abs() < 1e-16);
        }
    }
    assert!((mean - 0.8234286729).abs() < 1e-10, "{mean}");
}

#[test]
fn every_chain_keeps_its_own_law_and_exchanges_are_accepted_as_often_as_they_must_be() {
    let n_rounds = 10_000;
    let tempered = run(n_rounds, &[1.0, 0.5], Budget::default()).unwrap();
    let (cold, hot) = (law(&Potential::product()), law(&Potential::product().inverse_temperature(0.5)));
    let found = [chi_squared(&tempered.chains[0], &cold), chi_squared(&tempered.chains[1], &hot)].map(|x| x / INFLATION);
    println!("{found:?} {:?} {:?}", tempered.swap_rates, tempered.change_rates);
    // 3 degrees of freedom: exceeded with probability 1e-6.
    assert!(found.iter().all(|x| *x < 30.7), "{found:?}");
    // The chains are told apart: one with the other's law fails the same test.
    assert!(chi_squared(&tempered.chains[0], &hot) / INFLATION > 60.0);
    assert!(chi_squared(&tempered.chains[1], &cold) / INFLATION > 60.0);
    // The acceptance probability has a standard deviation of at most .5, exact 0.8234286729.
    let error = 0.5 * (INFLATION / n_rounds as f64).sqrt();
    assert!((tempered.swap_rates[0] - 0.8234286729).abs() < 4.0 * error, "{:?}", tempered.swap_rates);
    for (text, p) in TEXTS.iter().zip(cold) {
        let weight = tempered.decoded.mean(|found| f64::from(found.written() == *text));
        assert!((weight - p).abs() < 5.0 * (INFLATION * p / n_rounds as f64).sqrt(), "{text} {weight} {p}");
    }
}

#[test]
fn a_ladder_down_to_the_prior_reaches_it() {
    let tempered = run(4000, &[1.0, 0.4, 0.0], Budget::default()).unwrap();
    assert_eq!((tempered.chains.len(), tempered.swap_rates.len()), (3, 2));
    assert!(tempered.swap_rates.iter().all(|rate| *rate > 0.5));
    let prior = chi_squared(&tempered.chains[2], &law(&Potential::none())) / INFLATION;
    assert!(prior < 30.7, "{prior}");
    assert!(tempered.chains[2].iter().all(|text| text.log_psi == 0.0));
}

#[test]
fn budgets_and_bad_ladders() {
    for limit in [0, 3, 12, 100] {
        let tempered = run(1000, &[1.0, 0.5], Budget::generations(limit)).unwrap();
        assert_eq!(tempered.decoded.stopped, Stopped::Budget);
        assert!(tempered.decoded.ledger.generations <= limit && !tempered.decoded.texts.is_empty());
        assert_eq!(tempered.chains[0].len(), tempered.chains[1].len());
        assert!(tempered.swap_rates.iter().all(|rate| (0.0..=1.0).contains(rate)));
    }
    for betas in [vec![], vec![0.5], vec![1.0, 1.0], vec![1.0, -0.1], vec![1.0, f64::NAN], vec![f64::NAN]] {
        assert!(matches!(run(10, &betas, Budget::default()), Err(ReasoningError::Setting(_))), "{betas:?}");
    }
    assert_eq!(run(10, &[1.0], Budget::default()).unwrap().swap_rates, Vec::<f64>::new());
}
