//! Linear Gaussian models against conditioning of the dense joint law, and against reference values in the data folder.

use std::fs;

use ndarray::{Array1, Array2, Array3, Axis, array, s};
use posterity::Error;
use posterity::linalg::{cholesky, solve};
use posterity::rng::Stream;
use posterity::smc::exact::LinearGaussian;

use super::{MISSING, shifted};
use crate::data;

/// A model that varies with time, in plain arrays: the oracle builds its joint law from them and the library its own model.
struct Parts {
    m0: Array1<f64>,
    p0: Array2<f64>,
    f: Array3<f64>,
    b: Array2<f64>,
    q: Array3<f64>,
    h: Array3<f64>,
    c: Array2<f64>,
    r: Array3<f64>,
}

impl Parts {
    fn constant(n_steps: usize) -> Self {
        let repeat = |a: Array2<f64>, n: usize| Array3::from_shape_fn((n, a.nrows(), a.ncols()), |(_, i, j)| a[[i, j]]);
        Self {
            m0: array![0.3, -0.5],
            p0: array![[1.5, 0.4], [0.4, 0.8]],
            f: repeat(array![[0.9, 0.5], [-0.3, 0.6]], n_steps - 1),
            b: Array2::from_shape_fn((n_steps - 1, 2), |(_, i)| [0.2, -0.1][i]),
            q: repeat(array![[0.3, 0.1], [0.1, 0.2]], n_steps - 1),
            h: repeat(array![[1.0, -0.4]], n_steps),
            c: Array2::from_elem((n_steps, 1), 0.7),
            r: repeat(array![[0.5]], n_steps),
        }
    }

    /// dx = 3, dy = 2; Q of rank 1, the second observation without noise, everything different at each step.
    fn varying(n_steps: usize) -> Self {
        let wave = |t: usize, i: usize, j: usize| (1.3 * t as f64 + 2.1 * i as f64 + 0.7 * j as f64 + 0.4).sin();
        Self {
            m0: array![0.1, 0.2, -0.3],
            p0: array![[1.0, 0.2, 0.0], [0.2, 0.5, 0.1], [0.0, 0.1, 0.7]],
            f: Array3::from_shape_fn((n_steps - 1, 3, 3), |(t, i, j)| 0.6 * wave(t, i, j) + if i == j { 0.5 } else { 0.0 }),
            b: Array2::from_shape_fn((n_steps - 1, 3), |(t, i)| 0.3 * wave(t, i, 5)),
            q: Array3::from_shape_fn((n_steps - 1, 3, 3), |(t, i, j)| 0.4 * wave(t, i, 1) * wave(t, j, 1)),
            h: Array3::from_shape_fn((n_steps, 2, 3), |(t, i, j)| wave(t, j, i)),
            c: Array2::from_shape_fn((n_steps, 2), |(t, i)| wave(t, i, 9)),
            r: Array3::from_shape_fn((n_steps, 2, 2), |(t, i, j)| if i + j == 0 { 0.3 + 0.1 * t as f64 } else { 0.0 }),
        }
    }

    fn model(&self) -> LinearGaussian {
        // Replaced by what varies; a series of one step has no moves.
        let first = |a: &Array3<f64>| a.outer_iter().next().map_or_else(|| Array2::eye(a.dim().1), |a| a.to_owned());
        let (f, q, h, r) = (first(&self.f), first(&self.q), first(&self.h), first(&self.r));
        LinearGaussian::new(self.m0.view(), self.p0.view(), f.view(), q.view(), h.view(), r.view())
            .and_then(|m| m.with_transition_matrices(self.f.view()))
            .and_then(|m| m.with_transition_offsets(self.b.view()))
            .and_then(|m| m.with_transition_covariances(self.q.view()))
            .and_then(|m| m.with_observation_matrices(self.h.view()))
            .and_then(|m| m.with_observation_offsets(self.c.view()))
            .and_then(|m| m.with_observation_covariances(self.r.view()))
            .unwrap()
    }

    /// Mean and covariance of (x_0, ..., x_T-1, y_0, ..., y_T-1) as one vector: (x, y) is an affine map of independent noises.
    fn joint(&self) -> (Array1<f64>, Array2<f64>) {
        let (n_steps, dy, dx) = self.h.dim();
        // Rows of `map`: x or y; columns: the noises (x_0 - m_0, state noises, observation noises), whose covariance is block-diagonal.
        let (nx, ny) = (n_steps * dx, n_steps * dy);
        let mut mean = Array1::zeros(nx + ny);
        let mut map = Array2::<f64>::zeros((nx + ny, nx + ny));
        let mut noise = Array2::<f64>::zeros((nx + ny, nx + ny));
        for t in 0..n_steps {
            let x = t * dx..(t + 1) * dx;
            let y = nx + t * dy..nx + (t + 1) * dy;
            if t == 0 {
                mean.slice_mut(s![x.clone()]).assign(&self.m0);
                noise.slice_mut(s![x.clone(), x.clone()]).assign(&self.p0);
            } else {
                let before = (t - 1) * dx..t * dx;
                let f = self.f.index_axis(Axis(0), t - 1);
                let m = f.dot(&mean.slice(s![before.clone()])) + self.b.row(t - 1);
                mean.slice_mut(s![x.clone()]).assign(&m);
                let rows = f.dot(&map.slice(s![before, ..]));
                map.slice_mut(s![x.clone(), ..]).assign(&rows);
                noise.slice_mut(s![x.clone(), x.clone()]).assign(&self.q.index_axis(Axis(0), t - 1));
            }
            for i in x.clone() {
                map[[i, i]] = 1.0;
            }
            let h = self.h.index_axis(Axis(0), t);
            let m = h.dot(&mean.slice(s![x.clone()])) + self.c.row(t);
            mean.slice_mut(s![y.clone()]).assign(&m);
            let rows = h.dot(&map.slice(s![x, ..]));
            map.slice_mut(s![y.clone(), ..]).assign(&rows);
            for i in y.clone() {
                map[[i, i]] = 1.0;
            }
            noise.slice_mut(s![y.clone(), y]).assign(&self.r.index_axis(Axis(0), t));
        }
        (mean, map.dot(&noise).dot(&map.t()))
    }
}

/// The oracle: the joint law, the observed positions in it and their values.
struct Oracle {
    mean: Array1<f64>,
    covariance: Array2<f64>,
    observed: Vec<usize>,
    values: Vec<f64>,
}

impl Oracle {
    /// Of what is observed, the first `n_steps` steps.
    fn new(parts: &Parts, y: &Array2<f64>, n_steps: usize) -> Self {
        let (mean, covariance) = parts.joint();
        let offset = mean.len() - parts.c.len();
        let known = y.iter().enumerate().take(n_steps * y.ncols()).filter(|(_, y)| !y.is_nan());
        let (observed, values) = known.map(|(i, y)| (offset + i, *y)).unzip();
        Self { mean, covariance, observed, values }
    }

    fn residual(&self) -> Array1<f64> {
        self.observed.iter().zip(&self.values).map(|(&i, y)| y - self.mean[i]).collect()
    }

    fn observed_covariance(&self) -> Array2<f64> {
        self.covariance.select(Axis(0), &self.observed).select(Axis(1), &self.observed)
    }

    /// Mean and covariance of all of (x, y) given what is observed.
    fn conditional(&self) -> (Array1<f64>, Array2<f64>) {
        let (s, cross) = (self.observed_covariance(), self.covariance.select(Axis(1), &self.observed));
        if self.observed.is_empty() {
            return (self.mean.clone(), self.covariance.clone());
        }
        let mean = &self.mean + &cross.dot(&solve(s.view(), self.residual().view()).unwrap());
        let mut covariance = self.covariance.clone();
        for (j, column) in cross.outer_iter().enumerate() {
            let shift = cross.dot(&solve(s.view(), column).unwrap());
            covariance.column_mut(j).scaled_add(-1.0, &shift);
        }
        (mean, covariance)
    }

    fn log_density(&self) -> f64 {
        let l = cholesky(self.observed_covariance().view()).unwrap();
        let z = solve(l.view(), self.residual().view()).unwrap();
        let log_root = l.diag().iter().map(|x| x.ln()).sum::<f64>();
        -0.5 * (z.dot(&z) + z.len() as f64 * std::f64::consts::TAU.ln()) - log_root
    }
}

fn distance<D: ndarray::Dimension>(a: &ndarray::ArrayView<'_, f64, D>, b: &ndarray::ArrayView<'_, f64, D>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).fold(0.0, |largest, (a, b)| if (a - b).abs() <= largest { largest } else { (a - b).abs() })
}

fn agrees_with_the_joint_law(parts: &Parts, y: &Array2<f64>) {
    let (n_steps, dx) = (y.nrows(), parts.m0.len());
    let filter = parts.model().filter(y.view()).unwrap();
    let smoother = filter.smooth().unwrap();
    let x = |t: usize| t * dx..(t + 1) * dx;
    let (all_mean, all_covariance) = Oracle::new(parts, y, n_steps).conditional();
    let mut before = 0.0;
    for t in 0..n_steps {
        for (n, means, covariances) in [
            (t, filter.predicted_means(), filter.predicted_covariances()),
            (t + 1, filter.filtered_means(), filter.filtered_covariances()),
            (n_steps, smoother.means(), smoother.covariances()),
        ] {
            let (mean, covariance) = Oracle::new(parts, y, n).conditional();
            assert!(distance(&means.row(t), &mean.slice(s![x(t)])) < 1e-10, "mean at {t} given {n}");
            let found = covariances.index_axis(Axis(0), t);
            assert!(distance(&found, &covariance.slice(s![x(t), x(t)])) < 1e-10, "covariance at {t} given {n}");
            assert_eq!(found, found.t(), "symmetric to the last bit");
        }
        if t + 1 < n_steps {
            let found = smoother.lag_one_covariances();
            assert!(distance(&found.index_axis(Axis(0), t), &all_covariance.slice(s![x(t + 1), x(t)])) < 1e-10);
        }
        let now = Oracle::new(parts, y, t + 1).log_density();
        assert!((filter.log_likelihoods()[t] - (now - before)).abs() < 1e-10);
        before = now;
    }
    assert!((filter.log_evidence() - before).abs() < 1e-10);
    assert!(distance(&smoother.means().flatten().view(), &all_mean.slice(s![..n_steps * dx])) < 1e-10);
}

fn observations_1d() -> Array2<f64> {
    array![[0.4], [MISSING], [2.1], [-0.9], [1.3]]
}

fn observations_2d() -> Array2<f64> {
    array![[0.4, 1.0], [MISSING, -0.2], [0.7, MISSING], [MISSING, MISSING], [-1.1, 0.3]]
}

#[test]
fn kalman_agrees_with_the_joint_law() {
    agrees_with_the_joint_law(&Parts::constant(5), &observations_1d());
    agrees_with_the_joint_law(&Parts::constant(1), &array![[0.4]]);
}

#[test]
fn kalman_agrees_with_the_joint_law_for_singular_noise_that_varies() {
    agrees_with_the_joint_law(&Parts::varying(5), &observations_2d());
}

#[test]
fn deterministic_moves_are_smoothed_through_a_singular_prediction() {
    let mut parts = Parts::constant(5);
    // A second component that the first step fixes for good, and no noise at all in the moves.
    parts.q.fill(0.0);
    parts.p0 = array![[1.5, 0.0], [0.0, 0.0]];
    agrees_with_the_joint_law(&parts, &observations_1d());
}

#[test]
fn a_constant_model_is_the_varying_one_with_equal_entries() {
    let parts = Parts::constant(5);
    let constant = LinearGaussian::new(
        parts.m0.view(),
        parts.p0.view(),
        parts.f.index_axis(Axis(0), 0),
        parts.q.index_axis(Axis(0), 0),
        parts.h.index_axis(Axis(0), 0),
        parts.r.index_axis(Axis(0), 0),
    )
    .and_then(|m| m.with_transition_offset(parts.b.row(0)))
    .and_then(|m| m.with_observation_offset(parts.c.row(0)))
    .unwrap();
    let (a, b) = (constant.filter(observations_1d().view()).unwrap(), parts.model().filter(observations_1d().view()).unwrap());
    assert_eq!(a.log_evidence().to_bits(), b.log_evidence().to_bits());
}

#[test]
fn a_transposed_smoother_gain_would_be_noticed() {
    let (parts, y) = (Parts::constant(5), observations_1d());
    let filter = parts.model().filter(y.view()).unwrap();
    let (exact, _) = Oracle::new(&parts, &y, 5).conditional();
    let error = |transposed: bool| {
        let mut mean = filter.filtered_means().row(4).to_owned();
        for t in (0..4).rev() {
            let inverse_times =
                |v: Array1<f64>| solve(filter.predicted_covariances().index_axis(Axis(0), t + 1), v.view()).unwrap();
            let (p, f) = (filter.filtered_covariances().index_axis(Axis(0), t), parts.f.index_axis(Axis(0), t));
            // J' = (P⁻)⁻¹ F P, column by column.
            let fp = f.dot(&p);
            let mut gain = Array2::zeros((2, 2));
            for j in 0..2 {
                gain.row_mut(j).assign(&inverse_times(fp.column(j).to_owned()));
            }
            let gain = if transposed { gain.reversed_axes() } else { gain };
            mean = &filter.filtered_means().row(t) + &gain.dot(&(mean - filter.predicted_means().row(t + 1)));
        }
        distance(&mean.view(), &exact.slice(s![..2]))
    };
    assert!(error(false) < 1e-10);
    assert!(error(true) > 0.01);
}

#[test]
fn a_forecast_is_the_filter_over_missing_observations() {
    let parts = Parts::varying(8);
    let mut y = Array2::from_elem((8, 2), MISSING);
    y.slice_mut(s![..5, ..]).assign(&observations_2d());
    let model = parts.model();
    let long = model.filter(y.view()).unwrap();
    let short = model.filter(y.slice(s![..5, ..])).unwrap();
    let forecast = short.forecast(3).unwrap();
    assert_eq!(forecast.state_means(), long.predicted_means().slice(s![5.., ..]));
    assert_eq!(forecast.state_covariances(), long.predicted_covariances().slice(s![5.., .., ..]));
    assert_eq!(long.log_evidence().to_bits(), short.log_evidence().to_bits());
    let (mean, covariance) = Oracle::new(&parts, &y, 8).conditional();
    for step in 0..3 {
        let at = 24 + (5 + step) * 2..24 + (6 + step) * 2;
        assert!(distance(&forecast.observation_means().row(step), &mean.slice(s![at.clone()])) < 1e-10);
        let found = forecast.observation_covariances().index_axis(Axis(0), step);
        assert!(distance(&found, &covariance.slice(s![at.clone(), at])) < 1e-10);
    }
    assert!(matches!(short.forecast(4), Err(Error::Dimension { expected: 8, found: 7, .. })));
}

/// Largest |z| of the means and second moments of `draws` (n x d) under N(mean, covariance). An entry of the covariance has the sampling
/// variance (Vᵢᵢ Vⱼⱼ + Vᵢⱼ²) / n about the known mean.
fn largest_z(draws: &Array2<f64>, mean: &Array1<f64>, covariance: &Array2<f64>) -> f64 {
    let n = draws.nrows() as f64;
    let centred = draws - mean;
    let moments = centred.t().dot(&centred) / n;
    let averages = centred.sum_axis(Axis(0)) / n;
    let mut largest = 0.0_f64;
    for i in 0..mean.len() {
        largest = largest.max((averages[i] / (covariance[[i, i]] / n).sqrt()).abs());
        for j in 0..=i {
            let variance = (covariance[[i, i]] * covariance[[j, j]] + covariance[[i, j]].powi(2)) / n;
            largest = largest.max(((moments[[i, j]] - covariance[[i, j]]) / variance.sqrt()).abs());
        }
    }
    largest
}

/// The largest z-scores of draws of the states, and of those draws shifted.
fn z_of_states(seed: u64) -> [f64; 2] {
    let (parts, y) = (Parts::constant(5), observations_1d());
    let (mean, covariance) = Oracle::new(&parts, &y, 5).conditional();
    let (mean, covariance) = (mean.slice(s![..10]).to_owned(), covariance.slice(s![..10, ..10]).to_owned());
    let filter = parts.model().filter(y.view()).unwrap();
    let draws = filter.sample_states(4000, &mut Stream::new(seed)).unwrap().into_shape_with_order((4000, 10)).unwrap();
    [draws.clone(), shifted(&draws, 2)].map(|draws| largest_z(&draws, &mean, &covariance))
}

#[test]
fn sampled_states_have_the_moments_of_the_joint_posterior() {
    // 65 z-scores, of which one exceeds 4.5 with probability 4e-4. Seeds 0 to 199: no failure, largest 4.0.
    let [right, shifted] = z_of_states(1);
    assert!(right < 4.5);
    assert!(shifted > 8.0, "steps drawn apart are noticed");
}

/// The largest z-score of simulated states and observations.
fn z_of_simulations(seed: u64) -> f64 {
    let parts = Parts::constant(5);
    let (model, (mean, covariance)) = (parts.model(), parts.joint());
    let mut rng = Stream::new(seed);
    let mut draws = Array2::zeros((4000, 15));
    for mut row in draws.outer_iter_mut() {
        let (x, y) = model.simulate(5, &mut rng).unwrap();
        x.iter().chain(&y).zip(&mut row).for_each(|(from, to)| *to = *from);
    }
    largest_z(&draws, &mean, &covariance)
}

#[test]
fn simulated_series_have_the_moments_of_the_joint_law() {
    // 135 z-scores, of which one exceeds 4.7 with probability 4e-4. Seeds 0 to 199: no failure, largest 3.8.
    assert!(z_of_simulations(1) < 4.7);
}

/// The numbers of a CSV file with a header, by column.
fn columns(file: &str) -> Option<Vec<Array1<f64>>> {
    let text = fs::read_to_string(data::path(file)?).unwrap();
    let rows: Vec<Vec<f64>> = text.lines().skip(1).map(|row| row.split(',').map(|x| x.parse().unwrap()).collect()).collect();
    Some((0..rows[0].len()).map(|j| rows.iter().map(|row| row[j]).collect()).collect())
}

fn json(file: &str) -> Option<serde_json::Value> {
    Some(serde_json::from_str(&fs::read_to_string(data::path(file)?).unwrap()).unwrap())
}

#[test]
fn the_reference_series_have_the_reference_evidence_and_moments() {
    let Some(evidence) = json("smc/kalman_exact.json") else { return };
    for (name, sigma_y, exact, series) in [
        ("lg1d", 1.0, "smc/lg1d_exact.csv", "smc/lg1d_T1000.csv"),
        ("lg1d_sy0.2", 0.2, "smc/lg1d_sy0.2_exact.csv", "smc/lg1d_sy0.2_T1000.csv"),
    ] {
        let (Some(exact), Some(series)) = (columns(exact), columns(series)) else { return };
        let y = series[1].clone().insert_axis(Axis(1));
        let model = LinearGaussian::ar1(0.9, 1.0, sigma_y).unwrap();
        let filter = model.filter(y.view()).unwrap();
        let smoother = filter.smooth().unwrap();
        let close = |a: &Array1<f64>, b: &Array1<f64>| assert!(distance(&a.view(), &b.view()) < 1e-8);
        close(&filter.filtered_means().flatten().to_owned(), &exact[0]);
        close(&filter.filtered_covariances().flatten().to_owned(), &exact[1]);
        close(&smoother.means().flatten().to_owned(), &exact[2]);
        close(&smoother.covariances().flatten().to_owned(), &exact[3]);
        close(filter.log_likelihoods(), &exact[4]);
        let expected = |key: &str| evidence[name][key].as_f64().unwrap();
        assert!((filter.log_evidence() - expected("own")).abs() < 1e-8);
        for (n, key) in [(50, "own_T50"), (100, "own_T100"), (200, "own_T200")] {
            assert!((model.filter(y.slice(s![..n, ..])).unwrap().log_evidence() - expected(key)).abs() < 1e-8);
        }
        let Some(rts) = columns("smc/lg1d_T200_rts.csv") else { return };
        if name == "lg1d" {
            let smoother = model.filter(y.slice(s![..200, ..])).unwrap().smooth().unwrap();
            close(&smoother.means().flatten().to_owned(), &rts[1]);
            close(&smoother.covariances().flatten().to_owned(), &rts[2]);
        }
    }
}

#[test]
fn the_tracking_series_has_the_reference_evidence() {
    let (Some(evidence), Some(models), Some(series)) =
        (json("smc/kalman_exact.json"), json("smc/models.json"), columns("smc/track2d_lin_T1000.csv"))
    else {
        return;
    };
    let matrix = |key: &str| {
        let rows: Vec<Vec<f64>> = serde_json::from_value(models["track2d_lin"][key].clone()).unwrap();
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
    };
    let m0 = Array1::<f64>::zeros(4);
    let (p0, f, q, g, r) = (matrix("P0"), matrix("F"), matrix("Q"), matrix("G"), matrix("R"));
    let model = LinearGaussian::new(m0.view(), p0.view(), f.view(), q.view(), g.view(), r.view()).unwrap();
    let y = ndarray::stack(Axis(1), &[series[4].view(), series[5].view()]).unwrap();
    let found = model.filter(y.view()).unwrap().log_evidence();
    assert!((found - evidence["track2d_lin"]["own"].as_f64().unwrap()).abs() < 1e-8);
}

#[test]
fn covariances_stay_positive_over_a_long_ill_conditioned_series() {
    let model = LinearGaussian::new(
        array![0.0, 0.0].view(),
        array![[1e8, 0.0], [0.0, 1e8]].view(),
        array![[1.0, 1.0], [0.0, 1.0]].view(),
        array![[0.0, 0.0], [0.0, 1e-8]].view(),
        array![[1.0, 0.0]].view(),
        array![[1e-4]].view(),
    )
    .unwrap();
    let filter = model.filter(Array2::zeros((2000, 1)).view()).unwrap();
    let smoother = filter.smooth().unwrap();
    for p in filter.filtered_covariances().outer_iter().chain(smoother.covariances().outer_iter()) {
        assert!(p[[0, 0]] > 0.0 && p[[1, 1]] > 0.0 && p[[0, 1]].powi(2) <= p[[0, 0]] * p[[1, 1]] * (1.0 + 1e-10));
    }
}

#[test]
fn errors_of_linear_gaussian_models_name_the_matrix() {
    let eye = Array2::<f64>::eye(2);
    let (zero, one) = (Array1::<f64>::zeros(2), array![[1.0, 0.0]]);
    let build = |p0: &Array2<f64>, f: &Array2<f64>, q: &Array2<f64>, r: &Array2<f64>| {
        LinearGaussian::new(zero.view(), p0.view(), f.view(), q.view(), one.view(), r.view())
    };
    let r = array![[1.0]];
    assert!(build(&eye, &eye, &eye, &r).is_ok());
    let skew = array![[1.0, 0.5], [0.4, 1.0]];
    assert!(matches!(
        build(&skew, &eye, &eye, &r),
        Err(Error::NotSymmetric { what: "initial covariance P0", row: 1, column: 0 })
    ));
    let indefinite = array![[1.0, 2.0], [2.0, 1.0]];
    assert!(matches!(build(&eye, &eye, &indefinite, &r),
        Err(Error::NotPositiveSemidefinite { what: "transition covariance Q", eigenvalue }) if (eigenvalue + 1.0).abs() < 1e-12));
    assert!(matches!(
        build(&eye, &eye, &eye, &array![[-1.0]]),
        Err(Error::NotPositiveSemidefinite { what: "observation covariance R", .. })
    ));
    let holes = array![[1.0, 0.0], [MISSING, 1.0]];
    assert!(matches!(build(&eye, &holes, &eye, &r), Err(Error::NotFinite { what: "transition matrix F", index: 2, .. })));
    assert!(matches!(build(&eye, &r, &eye, &r), Err(Error::Dimension { what: "transition matrix F", expected: 2, found: 1 })));
    let none = Array1::<f64>::zeros(0);
    let empty = LinearGaussian::new(none.view(), eye.view(), eye.view(), eye.view(), one.view(), r.view());
    assert!(matches!(empty, Err(Error::Empty { what: "initial mean m0" })));

    let varying = build(&eye, &eye, &eye, &r)
        .unwrap()
        .with_transition_covariances(ndarray::stack(Axis(0), &[eye.view(), indefinite.view()]).unwrap().view());
    let Err(Error::Step { step: 1, source }) = varying else { panic!("the second entry is wrong") };
    assert!(matches!(*source, Error::NotPositiveSemidefinite { what: "transition covariance Q", .. }));
    for (rho, sigma_x, sigma_y) in [(1.0, 1.0, 1.0), (MISSING, 1.0, 1.0), (0.5, 0.0, 1.0), (0.5, 1.0, -1.0)] {
        assert!(matches!(LinearGaussian::ar1(rho, sigma_x, sigma_y), Err(Error::InvalidSetting { .. })));
    }
}

#[test]
fn errors_of_the_filter_name_the_step() {
    let model = LinearGaussian::ar1(0.5, 1.0, 1.0).unwrap();
    assert!(matches!(model.filter(Array2::zeros((0, 1)).view()), Err(Error::Empty { .. })));
    assert!(matches!(model.filter(Array2::zeros((3, 2)).view()), Err(Error::Dimension { expected: 1, found: 2, .. })));
    let infinite = array![[0.0], [f64::NEG_INFINITY]];
    assert!(matches!(model.filter(infinite.view()), Err(Error::NotFinite { what: "observations", index: 1, .. })));

    // A state known exactly once it has been observed without noise: the second observation has no distribution left.
    let one = array![[1.0]];
    let nothing = array![[0.0]];
    let exact = |q: &Array2<f64>, f: &Array2<f64>| {
        LinearGaussian::new(array![0.0].view(), one.view(), f.view(), q.view(), one.view(), nothing.view()).unwrap()
    };
    let Err(Error::Step { step: 1, source }) = exact(&nothing, &one).filter(array![[1.0], [1.0]].view()) else {
        panic!("S is zero at step 1")
    };
    assert!(matches!(*source, Error::NotPositiveDefinite { what: "innovation covariance S", pivot: 0 }));
    // F = 1e200: the prediction overflows at step 1, observed or not.
    let Err(Error::Step { step: 1, source }) = exact(&one, &array![[1e200]]).filter(array![[MISSING], [MISSING]].view()) else {
        panic!("the covariance overflows at step 1")
    };
    assert!(matches!(*source, Error::NotFinite { what: "predicted covariance", .. }));

    let filter = model.filter(array![[1.0]].view()).unwrap();
    assert!(matches!(filter.forecast(0), Err(Error::InvalidSetting { setting: "horizon", .. })));
    assert!(matches!(filter.sample_states(0, &mut Stream::new(0)), Err(Error::InvalidSetting { setting: "n_draws", .. })));
    assert!(matches!(model.simulate(0, &mut Stream::new(0)), Err(Error::InvalidSetting { setting: "n_steps", .. })));
}
