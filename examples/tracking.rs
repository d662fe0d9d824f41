//! Tracking a target in the plane: by its noisy position, beside the Kalman filter, and by two bearings, beside the true path.
//!
//! ```text
//! cargo run --release --example tracking
//! ```
//! What to look at:
//!
//! - the target is hidden for ten steps: a missing observation has a log density of 0, and the cloud spreads until it is seen again;
//! - the auxiliary filter chooses particles by what they promise for the next observation, and its evidence varies less;
//! - bearings are not linear in the position: no Kalman filter, but the same five lines.
//!
//! The series are simulated (`examples/data`).

use ndarray::{Array1, Array2, array};
use posterity::model::zoo::{Bearings, Track2d};
use posterity::smc::exact::{KalmanFilter, LinearGaussian};
use posterity::smc::{Auxiliary, Bootstrap, FeynmanKac, Smc, SmcConfig, Snapshot};

type State = [f64; 4];
type AnyError = Box<dyn std::error::Error>;

/// Means and standard deviations of the position.
type Position = ([f64; 2], [f64; 2]);

/// Rows of four numbers.
fn read(text: &str) -> Result<Vec<[f64; 4]>, AnyError> {
    let mut rows = Vec::new();
    for record in csv::Reader::from_reader(text.as_bytes()).records() {
        let record = record?;
        let mut row = [0.0; 4];
        for (value, field) in row.iter_mut().zip(&record) {
            *value = field.parse()?;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Mean and standard deviation of the first two coordinates.
fn moments(snapshot: &Snapshot<'_, Vec<State>>) -> Position {
    let (mut mean, mut square) = ([0.0; 2], [0.0; 2]);
    for (x, w) in snapshot.view.population.iter().zip(snapshot.view.weights.normalised()) {
        for i in 0..2 {
            mean[i] += w * x[i];
            square[i] += w * x[i] * x[i];
        }
    }
    (mean, [0, 1].map(|i| (square[i] - mean[i] * mean[i]).sqrt()))
}

/// Filtered positions of every step, and the log-evidence.
fn filter<M>(model: M, seed: u64) -> Result<(Vec<Position>, f64), AnyError>
where
    M: FeynmanKac<Population = Vec<State>, Error = std::convert::Infallible>,
{
    let mut path = Vec::new();
    let mut smc = Smc::new(model, SmcConfig::new(20_000, seed))?;
    let summary = smc.run_with(&mut |snapshot: &Snapshot<'_, Vec<State>>| path.push(moments(snapshot)))?;
    Ok((path, summary.log_evidence))
}

fn kalman(model: &Track2d) -> Result<KalmanFilter, AnyError> {
    let (d, q) = (model.damping, model.q);
    let f = array![[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, d, 0.0], [0.0, 0.0, 0.0, d]];
    let (a, b) = (q / 3.0, q / 2.0);
    let noise = array![[a, 0.0, b, 0.0], [0.0, a, 0.0, b], [b, 0.0, q, 0.0], [0.0, b, 0.0, q]];
    let h = array![[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]];
    let r = Array2::eye(2) * model.sigma_y.powi(2);
    let (m0, p0) = (Array1::zeros(4), Array2::eye(4));
    let exact = LinearGaussian::new(m0.view(), p0.view(), f.view(), noise.view(), h.view(), r.view())?;
    let y = Array2::from_shape_fn((model.y.len(), 2), |(t, i)| model.y[t][i]);
    Ok(exact.filter(y.view())?)
}

fn by_position() -> Result<(), AnyError> {
    let rows = read(include_str!("data/track2d.csv"))?;
    let mut model = Track2d { damping: 0.98, q: 0.05, sigma_y: 1.0, y: rows.iter().map(|r| [r[2], r[3]]).collect() };
    for hidden in &mut model.y[40..50] {
        *hidden = [f64::NAN; 2];
    }
    let exact = kalman(&model)?;
    let (path, log_evidence) = filter(Bootstrap(&model), 1)?;
    let (_, auxiliary) = filter(Auxiliary(Bootstrap(&model)), 1)?;
    println!("A target seen with noise, and not at all in steps 40 to 49; x coordinate, mean ± sd\n");
    println!("{:>5} {:>8}   {:>16}   {:>16}", "step", "true", "Kalman filter", "particle filter");
    for t in [0, 20, 39, 44, 49, 50, 60, 99] {
        let (mean, sd) = (exact.filtered_means()[[t, 0]], exact.filtered_covariances()[[t, 0, 0]].sqrt());
        let (found, spread) = (path[t].0[0], path[t].1[0]);
        println!("{t:>5} {:>8.2}   {mean:>8.2} ± {sd:<5.2}   {found:>8.2} ± {spread:<5.2}", rows[t][0]);
    }
    println!("\nlog-evidence: exact {:.3}, bootstrap {log_evidence:.3}, auxiliary {auxiliary:.3}", exact.log_evidence());
    Ok(())
}

fn by_bearings() -> Result<(), AnyError> {
    let rows = read(include_str!("data/bearings.csv"))?;
    let model =
        Bearings { damping: 0.98, pull: 0.02, sigma_x: 0.1, sigma_y: 0.05, y: rows.iter().map(|r| [r[2], r[3]]).collect() };
    let (path, log_evidence) = filter(Bootstrap(&model), 1)?;
    println!("\nA target seen by two sensors that know only its direction\n");
    println!("{:>5} {:>9} {:>9}   {:>16} {:>16}", "step", "true x", "true y", "x", "y");
    for t in [0, 25, 50, 75, 99] {
        let (mean, sd) = path[t];
        print!("{t:>5} {:>9.2} {:>9.2}   ", rows[t][0], rows[t][1]);
        println!("{:>8.2} ± {:<5.2} {:>8.2} ± {:<5.2}", mean[0], sd[0], mean[1], sd[1]);
    }
    // Standardised errors of a calibrated filter have mean square 1; neighbouring steps are not independent.
    let square =
        |(row, (mean, sd)): (&[f64; 4], &Position)| (0..2).map(|i| ((row[i] - mean[i]) / sd[i]).powi(2)).sum::<f64>() / 2.0;
    let mean_square = rows.iter().zip(&path).map(square).sum::<f64>() / rows.len() as f64;
    println!("\nmean square of the standardised errors: {mean_square:.2} (1 if calibrated); log-evidence {log_evidence:.2}");
    Ok(())
}

fn main() -> Result<(), AnyError> {
    by_position()?;
    by_bearings()
}
