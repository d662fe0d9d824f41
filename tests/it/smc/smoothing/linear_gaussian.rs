//! Smoothed means and forecasts of a linear Gaussian model against the Kalman smoother.

use ndarray::Array2;
use posterity::model::Simulate;
use posterity::model::zoo::Ar1;
use posterity::rng::Stream;
use posterity::smc::exact::LinearGaussian;
use posterity::smc::smoothing::{BackwardSampling, FixedLagSmoother, backward_sample, genealogy};
use posterity::smc::{Auxiliary, Bootstrap, Guided, Keep, Smc, SmcConfig, StateSpaceAdapter, forecast, observe};

use crate::data;

/// Observations with the exact smoothed means and variances.
struct Reference {
    model: Ar1,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

/// The stored series with its stored answer, or a simulated one with the Kalman smoother's.
fn reference() -> Reference {
    let model = |y| Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y };
    if let Some(path) = data::path("smc/lg1d_T200_rts.csv") {
        let rows: Vec<[f64; 3]> = csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect();
        let column = |k: usize| rows.iter().map(|row| row[k]).collect();
        return Reference { model: model(column(0)), mean: column(1), variance: column(2) };
    }
    let (_, y) = model(Vec::new()).simulate(200, &mut Stream::new(11));
    let kalman = LinearGaussian::ar1(0.9, 1.0, 1.0).unwrap();
    let smoother = kalman.filter(Array2::from_shape_vec((200, 1), y.clone()).unwrap().view()).unwrap().smooth().unwrap();
    let mean = smoother.means().column(0).to_vec();
    Reference { model: model(y), mean, variance: smoother.covariances().iter().copied().collect() }
}

impl Reference {
    /// Root mean square, over steps, of the error of the mean in units of the posterior standard deviation.
    fn error(&self, mean: &[f64]) -> f64 {
        let terms = mean.iter().zip(&self.mean).zip(&self.variance);
        (terms.map(|((m, exact), v)| (m - exact).powi(2) / v).sum::<f64>() / mean.len() as f64).sqrt()
    }

    /// The error of a smoother, averaged over runs.
    fn average<A: StateSpaceAdapter>(
        &self,
        n: usize,
        n_runs: u64,
        adapt: impl Fn(Ar1) -> A,
        smooth: impl Fn(&Smc<A>, u64) -> Vec<f64>,
    ) -> f64 {
        let one = |seed| {
            let mut smc = Smc::new(adapt(self.model.clone()), SmcConfig::new(n, seed).keep(Keep::All)).unwrap();
            smc.run().unwrap();
            self.error(&smooth(&smc, seed))
        };
        (1..=n_runs).map(one).sum::<f64>() / n_runs as f64
    }
}

#[test]
fn smoothed_means_are_as_close_to_the_exact_ones_as_expected() {
    let reference = reference();
    let n_runs = 6;
    let mcmc = BackwardSampling::Mcmc { n_steps: 1 };
    let rejection = BackwardSampling::Rejection { max_tries: 100 };
    fn mean<A: StateSpaceAdapter<Model = Ar1>>(method: BackwardSampling, n: usize) -> impl Fn(&Smc<A>, u64) -> Vec<f64> {
        move |smc, seed| backward_sample(smc, n, method, seed).unwrap().mean(|x| *x)
    }
    let by_genealogy = reference.average(1000, n_runs, Bootstrap, |smc, seed| genealogy(smc, 1000, seed).unwrap().mean(|x| *x));
    let by_mcmc = reference.average(1000, n_runs, Bootstrap, mean(mcmc, 1000));
    let by_rejection = reference.average(1000, n_runs, Bootstrap, mean(rejection, 1000));
    let exactly = reference.average(200, n_runs, Bootstrap, mean(BackwardSampling::Exact, 200));
    let guided = reference.average(1000, n_runs, Guided, mean(mcmc, 1000));
    let auxiliary = reference.average(1000, n_runs, |model| Auxiliary(Guided(model)), mean(rejection, 1000));
    println!("genealogy {by_genealogy:.3}, mcmc {by_mcmc:.3}, rejection {by_rejection:.3}, exact (200) {exactly:.3}");
    println!("guided, mcmc {guided:.3}; auxiliary, rejection {auxiliary:.3}");
    // 1.3 times what the same methods reached elsewhere on this series: 0.069, 0.061 and 0.141; 0.383 for the genealogy.
    assert!(by_mcmc < 0.0897 && by_rejection < 0.0793 && exactly < 0.183);
    assert!(guided < 0.0897 && auxiliary < 0.0793);
    assert!(by_mcmc < 0.5 * by_genealogy && by_rejection < 0.5 * by_genealogy);
}

#[test]
fn a_fixed_lag_keeps_most_of_what_smoothing_gains() {
    let reference = reference();
    let error = |lag: usize| {
        let mut smoother = FixedLagSmoother::new(lag, |x: &f64| [*x]);
        Smc::new(Bootstrap(reference.model.clone()), SmcConfig::new(1000, 3)).unwrap().run_with(&mut smoother).unwrap();
        reference.error(&smoother.moments().iter().map(|(mean, _)| mean[0]).collect::<Vec<_>>())
    };
    let errors = [0, 5, 200].map(error);
    println!("lags 0, 5 and 200: {errors:.3?}");
    assert!(errors[1] < 0.2 && errors[0] > 0.4 && errors[2] > errors[1], "{errors:?}");
}

/// z-scores of run means against exact values: one row of statistics per run.
fn z_scores(runs: &[Vec<f64>], exact: &[f64]) -> Vec<f64> {
    let n = runs.len() as f64;
    let z = |(k, exact): (usize, &f64)| {
        let mean = runs.iter().map(|run| run[k]).sum::<f64>() / n;
        let variance = runs.iter().map(|run| (run[k] - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean - exact) / (variance / n).sqrt()
    };
    exact.iter().enumerate().map(z).collect()
}

#[test]
fn forecasts_are_those_of_the_kalman_filter() {
    let (horizon, n) = (4, 1000);
    let y = vec![0.3, 1.9, f64::NAN, 2.5, -1.0, 4.0];
    let model = Ar1 { rho: 0.8, sigma_x: 0.7, sigma_y: 0.6, y: y.clone() };
    let exact = |y: Vec<f64>| {
        let kalman = LinearGaussian::ar1(0.8, 0.7, 0.6).unwrap();
        let forecast = kalman.filter(Array2::from_shape_vec((y.len(), 1), y).unwrap().view()).unwrap().forecast(horizon).unwrap();
        let with_square = |mean: f64, variance: f64| [mean, variance + mean * mean];
        let mut exact = Vec::new();
        for k in 0..horizon {
            exact.extend(with_square(forecast.state_means()[[k, 0]], forecast.state_covariances()[[k, 0, 0]]));
            exact.extend(with_square(forecast.observation_means()[[k, 0]], forecast.observation_covariances()[[k, 0, 0]]));
        }
        exact
    };
    let run = |seed| {
        let mut smc = Smc::new(Auxiliary(Guided(&model)), SmcConfig::new(n, seed)).unwrap();
        smc.run().unwrap();
        let states = forecast(&smc, horizon, n, seed).unwrap();
        let observations = observe(&smc, &states, seed);
        assert_eq!((states.first_step(), observations.n_steps()), (6, horizon));
        let (x, xx, y, yy) =
            (states.mean(|x| *x), states.mean(|x| x * x), observations.mean(|y| *y), observations.mean(|y| y * y));
        (0..horizon).flat_map(|k| [x[k], xx[k], y[k], yy[k]]).collect::<Vec<_>>()
    };
    let runs: Vec<_> = (0..60).map(run).collect();
    let largest = |exact: &[f64]| z_scores(&runs, exact).iter().fold(0.0, |a: f64, z| a.max(z.abs()));
    let right = largest(&exact(y.clone()));
    // Planted: the last observation was not looked at.
    let mut without_last = y;
    without_last[5] = f64::NAN;
    let wrong = largest(&exact(without_last));
    println!("{right:.1} {wrong:.1}");
    assert!(right < 5.0 && wrong > 20.0, "{right} {wrong}");
}

#[test]
fn a_forecast_needs_a_run_a_horizon_and_paths() {
    use posterity::smc::smoothing::SmoothingError;
    let mut smc = Smc::new(Bootstrap(Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y: vec![0.1] }), SmcConfig::new(10, 1)).unwrap();
    assert!(matches!(forecast(&smc, 1, 1, 1), Err(SmoothingError::NotStarted)));
    smc.run().unwrap();
    for (horizon, n_paths) in [(0, 1), (1, 0)] {
        let error = forecast(&smc, horizon, n_paths, 1).unwrap_err();
        assert!(matches!(error, SmoothingError::Setting(posterity::Error::InvalidSetting { .. })), "{error}");
    }
}
