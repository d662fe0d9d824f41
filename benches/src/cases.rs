//! The models that are compared, each with its gradient by hand.

use std::path::PathBuf;

use posterity::autodiff::DataMatrix;
use posterity::model::Target;
use posterity::model::zoo::{
    Arma11, EightSchoolsNoncentered, Garch11, GaussianMixture, HmmGaussian, LinearRegression, LogisticRegression, ScalePrior,
};
use posterity::rng::Stream;
use serde_json::Value as Json;

use crate::hand_written as hand;

/// A model, its gradient by hand, and the largest ratio of their times that is allowed.
pub struct Case {
    /// Name in the table.
    pub name: &'static str,
    /// The model.
    pub target: Box<dyn Target>,
    /// The same by hand.
    pub hand_written: Box<dyn hand::HandWritten>,
    /// Gate for time of the model / time by hand, if there is one.
    pub gate: Option<f64>,
    /// Centre of the positions at which they are evaluated.
    pub centre: Vec<f64>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// The data of a posteriordb file under `POSTERITY_DATA`, if it is there.
fn data(file: &str) -> Option<Json> {
    let path = PathBuf::from(std::env::var_os("POSTERITY_DATA")?).join("posteriordb").join(file);
    let json: Json = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    json.get("data").cloned()
}

fn numbers(data: &Json, field: &str) -> Option<Vec<f64>> {
    data.get(field)?.as_array()?.iter().map(Json::as_f64).collect()
}

fn series(file: &str, simulated: impl FnOnce(&mut Stream) -> Vec<f64>) -> Vec<f64> {
    data(file).and_then(|d| numbers(&d, "y")).unwrap_or_else(|| simulated(&mut Stream::new(1)))
}

fn row_by_row(x: &DataMatrix) -> Vec<f64> {
    (0..x.n_rows()).flat_map(|i| x.row(i).to_vec()).collect()
}

/// A regression of the size of nes: ones, seven predictors of small whole numbers, one of two levels.
fn simulated_nes() -> Result<(DataMatrix, Vec<f64>), posterity::Error> {
    let mut rng = Stream::new(2);
    let n = 1330;
    let columns: Vec<Vec<f64>> = (0..9)
        .map(|k| (0..n).map(|_| if k == 0 { 1.0 } else { (rng.uniform() * (2.0 + f64::from(k % 5))).floor() }).collect())
        .collect();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let y = (0..n).map(|_| 3.0 + 2.0 * rng.normal()).collect();
    Ok((DataMatrix::from_columns(&columns)?, y))
}

/// The nes data as the zoo reads them: a regression on nine columns.
fn nes() -> Result<(DataMatrix, Vec<f64>), posterity::Error> {
    let Some(data) = data("nes1972-nes.json") else { return simulated_nes() };
    let field = |name| numbers(&data, name).unwrap_or_default();
    let y = field("partyid7");
    let age = field("age_discrete");
    let level = |l: f64| age.iter().map(|&a| f64::from(u8::from(a == l))).collect::<Vec<f64>>();
    let columns = [
        vec![1.0; y.len()],
        field("real_ideo"),
        field("race_adj"),
        level(2.0),
        level(3.0),
        level(4.0),
        field("educ1"),
        field("gender"),
        field("income"),
    ];
    Ok((DataMatrix::from_columns(&columns.iter().map(Vec::as_slice).collect::<Vec<_>>())?, y))
}

/// All cases, on the collection's data where they are there, else on simulated data of the same size.
///
/// # Errors
/// What the models' constructors report.
pub fn all() -> Result<Vec<Case>, posterity::Error> {
    let logistic = LogisticRegression::simulated(1000, 50, 1)?;
    let by_hand = hand::Logistic { x: row_by_row(logistic.design()), y: logistic.responses().to_vec() };
    let mut cases = vec![Case {
        name: "logistic 1000 x 50",
        target: Box::new(logistic),
        hand_written: Box::new(by_hand),
        gate: Some(2.5),
        centre: vec![0.0; 50],
    }];

    let (x, y) = nes()?;
    cases.push(Case {
        name: "nes",
        hand_written: Box::new(hand::Linear { x: row_by_row(&x), y: y.clone() }),
        target: Box::new(LinearRegression::new(x, y, None, ScalePrior::Flat)?),
        gate: Some(2.5),
        centre: vec![0.0; 10],
    });

    let y = series("garch-garch11.json", |rng| (0..200).map(|_| 5.0 + rng.normal()).collect());
    cases.push(Case {
        name: "garch11",
        hand_written: Box::new(hand::Garch { y: y.clone(), sigma1: 0.5, variances: Vec::new() }),
        target: Box::new(Garch11::new(y, 0.5)?),
        gate: Some(3.0),
        centre: vec![5.0, 0.3, 0.2, 0.0],
    });

    let y = series("arma-arma11.json", |rng| (0..200).map(|_| rng.normal()).collect());
    cases.push(Case {
        name: "arma11",
        hand_written: Box::new(hand::Arma { y: y.clone(), errors: Vec::new() }),
        target: Box::new(Arma11::new(y)?),
        gate: Some(3.0),
        centre: vec![0.0; 4],
    });

    let y = series("hmm_example-hmm_example.json", |rng| {
        (0..100).map(|_| if rng.coin() { 3.0 } else { 9.0 } + rng.normal()).collect()
    });
    cases.push(Case {
        name: "hmm_example",
        hand_written: Box::new(hand::Hmm { y: y.clone(), steps: Vec::new() }),
        target: Box::new(HmmGaussian::new(y)?),
        gate: Some(3.0),
        centre: vec![0.5, -0.5, 1.1, 1.8],
    });

    let (effects, errors) = ([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]);
    cases.push(Case {
        name: "eight_schools_noncentered",
        target: Box::new(EightSchoolsNoncentered::new(effects.to_vec(), errors.to_vec())?),
        hand_written: Box::new(hand::Schools { y: effects, sigma: errors }),
        gate: None,
        centre: vec![0.0; 10],
    });

    let y = series("low_dim_gauss_mix-low_dim_gauss_mix.json", |rng| {
        (0..1000).map(|_| if rng.coin() { -2.7 } else { 2.8 } + rng.normal()).collect()
    });
    cases.push(Case {
        name: "low_dim_gauss_mix",
        hand_written: Box::new(hand::Mixture { y: y.clone() }),
        target: Box::new(GaussianMixture::new(y)?),
        gate: None,
        centre: vec![-2.7, 1.7, 0.0, 0.0, 0.5],
    });
    Ok(cases)
}

impl Case {
    /// Positions around the centre with this standard deviation.
    #[must_use]
    pub fn positions(&self, n: usize, sd: f64) -> Vec<Vec<f64>> {
        let mut rng = Stream::new(9);
        (0..n).map(|_| self.centre.iter().map(|c| c + sd * rng.normal()).collect()).collect()
    }

    /// The largest difference of value and gradient, relative to max(1, largest entry), over positions near the centre and far from it.
    ///
    /// # Errors
    /// What the model reports.
    pub fn discrepancy(&mut self) -> Result<f64, posterity::Error> {
        let mut evaluator = self.target.evaluator()?;
        let mut worst = 0.0_f64;
        for position in [self.positions(5, 0.1), self.positions(5, 1.5)].concat() {
            let (mut ours, mut theirs) = (vec![0.0; position.len()], vec![0.0; position.len()]);
            let value = evaluator.log_density_gradient(&position, &mut ours)?;
            let by_hand = self.hand_written.gradient(&position, &mut theirs);
            worst = worst.max((value - by_hand).abs() / value.abs().max(1.0));
            let scale = ours.iter().fold(1.0_f64, |m, g| m.max(g.abs()));
            worst = ours.iter().zip(&theirs).fold(worst, |w, (a, b)| w.max((a - b).abs() / scale));
        }
        Ok(worst)
    }
}

#[cfg(test)]
mod tests {
    /// Rounding alone: sums of 1000 terms in another order.
    #[test]
    fn gradients_by_hand_are_those_of_the_models() {
        for mut case in super::all().unwrap() {
            let discrepancy = case.discrepancy().unwrap();
            assert!(discrepancy <= 1e-10, "{}: {discrepancy}", case.name);
        }
    }
}
