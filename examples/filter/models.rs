//! The models by name, and what a Kalman filter knows of them.

use ndarray::{Array2, array};
use posterity::model::zoo::{Ar1, Bearings, StochasticVolatility, Track2d};
use posterity::smc::exact::LinearGaussian;

use super::AnyError;
use super::input::{Input, ModelName};

pub(crate) enum AnyModel {
    Lg1d(Ar1),
    Sv(StochasticVolatility),
    Track2d(Track2d),
    Bearings(Bearings),
}

impl AnyModel {
    pub(crate) fn of(input: &Input) -> Result<Self, AnyError> {
        let p = |name: &str| input.parameter(name);
        let positive = |name: &str| match p(name)? {
            v if v > 0.0 => Ok(v),
            v => Err(AnyError::from(format!("parameters.{name} is {v}, but must be positive"))),
        };
        let correlation = |name: &str| match p(name)? {
            v if v.abs() < 1.0 => Ok(v),
            v => Err(AnyError::from(format!("parameters.{name} is {v}, but must be in (-1, 1)"))),
        };
        let first = |rows: Vec<[f64; 1]>| rows.into_iter().map(|[y]| y).collect();
        Ok(match input.model {
            ModelName::Lg1d => Self::Lg1d(Ar1 {
                rho: correlation("rho")?,
                sigma_x: positive("sigma_x")?,
                sigma_y: positive("sigma_y")?,
                y: first(input.rows(["y"])?),
            }),
            ModelName::Sv => Self::Sv(StochasticVolatility {
                mu: p("mu")?,
                rho: correlation("rho")?,
                sigma: positive("sigma")?,
                y: first(input.rows(["y"])?),
            }),
            ModelName::Track2d => Self::Track2d(Track2d {
                damping: p("damping")?,
                q: positive("q")?,
                sigma_y: positive("sigma_y")?,
                y: input.rows(["yx", "yy"])?,
            }),
            ModelName::Bearings => Self::Bearings(Bearings {
                damping: p("damping")?,
                pull: p("pull")?,
                sigma_x: positive("sigma_x")?,
                sigma_y: positive("sigma_y")?,
                y: input.rows(["b1", "b2"])?,
            }),
        })
    }
}

/// The exact log-evidence of the linear Gaussian models.
pub(crate) fn kalman_log_evidence(model: &AnyModel) -> Result<Option<f64>, AnyError> {
    let (exact, y) = match model {
        AnyModel::Lg1d(m) => {
            let y = Array2::from_shape_vec((m.y.len(), 1), m.y.clone())?;
            (LinearGaussian::ar1(m.rho, m.sigma_x, m.sigma_y)?, y)
        }
        AnyModel::Track2d(m) => {
            let (d, q, r) = (m.damping, m.q, m.sigma_y * m.sigma_y);
            let y = Array2::from_shape_fn((m.y.len(), 2), |(t, i)| m.y[t][i]);
            let f = array![[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, d, 0.0], [0.0, 0.0, 0.0, d]];
            let (a, b) = (q / 3.0, q / 2.0);
            let noise = array![[a, 0.0, b, 0.0], [0.0, a, 0.0, b], [b, 0.0, q, 0.0], [0.0, b, 0.0, q]];
            let h = array![[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]];
            let (m0, p0, r) = (ndarray::Array1::zeros(4), Array2::eye(4), Array2::eye(2) * r);
            (LinearGaussian::new(m0.view(), p0.view(), f.view(), noise.view(), h.view(), r.view())?, y)
        }
        AnyModel::Sv(_) | AnyModel::Bearings(_) => return Ok(None),
    };
    Ok(Some(exact.filter(y.view())?.log_evidence()))
}
