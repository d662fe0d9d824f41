//! Posteriors with reference draws, read from JSON files: model, data, and the reference's means and standard deviations.
//!
//! A file holds `name`, `model_name`, `data`, `param_names` (indices from 1, as in `beta[1]`), `ref_mean`, `ref_sd`, `n_ref` and perhaps
//! `ref_ess_bulk_min`. Models and data are those of posteriordb, <https://github.com/stan-dev/posteriordb>.

use std::fs;
use std::path::Path;

use ndarray::Array2;
use serde_json::Value as Json;

use super::{
    Arma11, Autoregression, CentredRegression, EightSchools, EightSchoolsNoncentered, Garch11, GaussianMixture, GpPoisson,
    GpRegression, HilbertGp, HmmExponential, HmmGaussian, LinearRegression, ScalePrior, Trend,
};
use crate::autodiff::DataMatrix;
use crate::error::{Error, FormatProblem};
use crate::model::{Target, Variable};
use crate::rng::Stream;

/// Where a parameter of the reference is found in our model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    /// Name of the element as the draws have it, indices from 0.
    pub element: String,
    /// The variable's name.
    pub variable: String,
    /// Position among its entries in row-major order, from 0.
    pub entry: usize,
    /// True if it is a generated quantity, false if it is a parameter.
    pub generated: bool,
}

/// A posterior with reference figures.
pub struct ReferencePosterior {
    /// Name of the posterior, as in `eight_schools-eight_schools_noncentered`.
    pub name: String,
    /// The posterior.
    pub target: Box<dyn Target>,
    /// The reference's names of the parameters, indices from 1.
    pub param_names: Vec<String>,
    /// Where each of them is found.
    pub quantities: Vec<Quantity>,
    /// Means of the reference draws, one per name.
    pub mean: Vec<f64>,
    /// Standard deviations of the reference draws, one per name.
    pub sd: Vec<f64>,
    /// Effective number of reference draws: the smallest over the parameters if known, otherwise their number.
    pub ess: f64,
}

impl std::fmt::Debug for ReferencePosterior {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReferencePosterior")
            .field("name", &self.name)
            .field("param_names", &self.param_names)
            .finish_non_exhaustive()
    }
}

impl ReferencePosterior {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] if it is not JSON, and those of [`ReferencePosterior::from_json`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let json: Json = serde_json::from_str(&text)
            .map_err(|_| Error::Format { path: path.to_owned(), problem: FormatProblem::Undecodable })?;
        Self::from_json(&json)
    }

    /// The posterior that a parsed file describes.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::Field`] for a missing or ill-shaped field, [`Error::UnknownVariable`] for a parameter that the
    /// model does not have, and what the model's constructor reports.
    pub fn from_json(json: &Json) -> Result<Self, Error> {
        let root = Fields(json);
        let target = target(root.text("model_name")?, &Fields(root.get("data")?))?;
        let param_names: Vec<String> = root.array("param_names")?.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect();
        let (mean, sd) = (root.numbers("ref_mean")?, root.numbers("ref_sd")?);
        super::check_length("ref_mean", param_names.len(), mean.len())?;
        super::check_length("ref_sd", param_names.len(), sd.len())?;
        let ess = root.number("ref_ess_bulk_min").or_else(|_| root.number("n_ref"))?;
        let quantities = locate(target.as_ref(), &param_names)?;
        Ok(Self { name: root.text("name")?.to_owned(), target, param_names, quantities, mean, sd, ess })
    }

    /// The reference's parameters at an unconstrained position, in the order of `param_names`.
    ///
    /// # Errors
    /// As [`Target::constrain`].
    pub fn values_at(&self, position: &[f64]) -> Result<Vec<f64>, Error> {
        let mut constrained = Vec::new();
        self.target.constrain(position, &mut constrained)?;
        let variables = self.target.variables()?;
        // No model of this collection draws random numbers for its generated quantities.
        let generated = self.target.generated(position, &mut Stream::new(0))?;
        let value = |quantity: &Quantity| {
            if quantity.generated {
                return generated.get(&quantity.variable).and_then(|x| x.get(quantity.entry)).copied();
            }
            let before: usize = variables.iter().take_while(|v| v.name != quantity.variable).map(Variable::size).sum();
            constrained.get(before + quantity.entry).copied()
        };
        let missing = |q: &Quantity| Error::UnknownVariable { name: q.variable.clone() };
        self.quantities.iter().map(|q| value(q).ok_or_else(|| missing(q))).collect()
    }
}

/// Finds parameters named as in `beta[2]` or `x[1,3]` (from 1) among a target's variables and generated quantities.
///
/// # Errors
/// [`Error::UnknownVariable`].
pub fn locate(target: &dyn Target, param_names: &[String]) -> Result<Vec<Quantity>, Error> {
    let origin = vec![0.0; target.dim()?];
    let generated: Vec<Variable> = target.generated(&origin, &mut Stream::new(0))?.iter().map(|(v, _)| v.clone()).collect();
    let variables = target.variables()?;
    let all = variables.iter().map(|v| (v, false)).chain(generated.iter().map(|v| (v, true)));
    let find = |name: &String| {
        let (base, indices) = name.split_once('[').unwrap_or((name, ""));
        let indices: Vec<usize> = indices.trim_end_matches(']').split(',').filter_map(|i| i.parse().ok()).collect();
        let (variable, generated) = all.clone().find(|(v, _)| v.name == base)?;
        if variable.shape.len() != indices.len() {
            return None;
        }
        let mut entry = 0;
        for (&index, &extent) in indices.iter().zip(&variable.shape) {
            if index == 0 || index > extent {
                return None;
            }
            entry = entry * extent + index - 1;
        }
        Some(Quantity { element: variable.element_name(entry), variable: base.to_owned(), entry, generated })
    };
    param_names.iter().map(|name| find(name).ok_or_else(|| Error::UnknownVariable { name: name.clone() })).collect()
}

/// The model of this name with its data.
fn target(model: &str, data: &Fields<'_>) -> Result<Box<dyn Target>, Error> {
    Ok(match model {
        "eight_schools_centered" => Box::new(EightSchools::new(data.numbers("y")?, data.numbers("sigma")?)?),
        "eight_schools_noncentered" => Box::new(EightSchoolsNoncentered::new(data.numbers("y")?, data.numbers("sigma")?)?),
        "arK" => Box::new(Autoregression::new(data.count("K")?, &data.numbers("y")?)?),
        "arma11" => Box::new(Arma11::new(data.numbers("y")?)?),
        "garch11" => Box::new(Garch11::new(data.numbers("y")?, data.number("sigma1")?)?),
        "gp_regr" => Box::new(GpRegression::new(data.numbers("x")?, data.numbers("y")?)?),
        "gp_pois_regr" => Box::new(GpPoisson::new(data.numbers("x")?, data.counts("k")?)?),
        "hmm_example" => Box::new(HmmGaussian::new(data.numbers("y")?)?),
        "hmm_drive_0" => {
            let alpha = data.matrix("alpha")?;
            if alpha.dim() != (2, 2) {
                return Err(Error::Field { field: "alpha".to_owned(), rule: "a 2 × 2 matrix" });
            }
            let alpha = [[alpha[[0, 0]], alpha[[0, 1]]], [alpha[[1, 0]], alpha[[1, 1]]]];
            Box::new(HmmExponential::new(data.numbers("u")?, data.numbers("v")?, alpha)?)
        }
        "low_dim_gauss_mix" => Box::new(GaussianMixture::new(data.numbers("y")?)?),
        "blr" => {
            let x = DataMatrix::from(data.matrix("X")?);
            Box::new(LinearRegression::new(x, data.numbers("y")?, Some(10.0), ScalePrior::HalfNormal(10.0))?)
        }
        "diamonds" => {
            let x = data.matrix("X")?;
            let x = DataMatrix::from(x.slice(ndarray::s![.., 1.min(x.ncols())..]));
            Box::new(CentredRegression::new(&x, data.numbers("Y")?)?)
        }
        "kilpisjarvi" => {
            let alpha = (data.number("pmualpha")?, data.number("psalpha")?);
            let beta = (data.number("pmubeta")?, data.number("psbeta")?);
            Box::new(Trend::new(&data.numbers("x")?, data.numbers("y")?, alpha, beta)?)
        }
        "accel_gp" => {
            let basis = |functions, frequencies| -> Result<(DataMatrix, Vec<f64>), Error> {
                Ok((data.matrix(functions)?.into(), data.matrix(frequencies)?.iter().copied().collect()))
            };
            let (mean, mean_frequencies) = basis("Xgp_1", "slambda_1")?;
            let (log_sd, log_sd_frequencies) = basis("Xgp_sigma_1", "slambda_sigma_1")?;
            Box::new(HilbertGp::new(data.numbers("Y")?, (mean, &mean_frequencies), (log_sd, &log_sd_frequencies))?)
        }
        _ => Box::new(textbook_regression(model, data)?),
    })
}

/// The regressions of Gelman & Hill 2006 (ISBN 978-0521686891), flat priors on the coefficients: response and columns beside the ones.
fn textbook_regression(model: &str, data: &Fields<'_>) -> Result<LinearRegression, Error> {
    let raw = |name: &str| data.numbers(name);
    let log = |name: &str| Ok::<_, Error>(data.numbers(name)?.into_iter().map(f64::ln).collect::<Vec<f64>>());
    let level = |name: &str, level: f64| {
        Ok::<_, Error>(data.numbers(name)?.into_iter().map(|v| f64::from(u8::from(v == level))).collect::<Vec<f64>>())
    };
    let mut scale_prior = ScalePrior::Flat;
    let (y, columns) = match model {
        "kidscore_momhs" | "kidscore_momiq" | "kidscore_momhsiq" | "kidscore_interaction" => {
            scale_prior = ScalePrior::HalfCauchy(2.5);
            let (hs, iq) = (raw("mom_hs")?, raw("mom_iq")?);
            let columns = match model {
                "kidscore_momhs" => vec![hs],
                "kidscore_momiq" => vec![iq],
                "kidscore_momhsiq" => vec![hs, iq],
                _ => with_product(hs, iq),
            };
            (raw("kid_score")?, columns)
        }
        "kidscore_interaction_c" => {
            (raw("kid_score")?, with_product(standardised(&raw("mom_hs")?, false), standardised(&raw("mom_iq")?, false)))
        }
        "kidscore_interaction_z" => {
            (raw("kid_score")?, with_product(standardised(&raw("mom_hs")?, true), standardised(&raw("mom_iq")?, true)))
        }
        "kidscore_mom_work" => {
            (raw("kid_score")?, vec![level("mom_work", 2.0)?, level("mom_work", 3.0)?, level("mom_work", 4.0)?])
        }
        "earn_height" => (raw("earn")?, vec![raw("height")?]),
        "log10earn_height" => (raw("earn")?.into_iter().map(f64::log10).collect(), vec![raw("height")?]),
        "logearn_height" => (log("earn")?, vec![raw("height")?]),
        "logearn_height_male" => (log("earn")?, vec![raw("height")?, raw("male")?]),
        "logearn_interaction" => (log("earn")?, with_product(raw("height")?, raw("male")?)),
        "logearn_logheight_male" => (log("earn")?, vec![log("height")?, raw("male")?]),
        "mesquite" => {
            let names = ["diam1", "diam2", "canopy_height", "total_height", "density", "group"];
            (raw("weight")?, names.iter().map(|name| raw(name)).collect::<Result<_, _>>()?)
        }
        "logmesquite" | "logmesquite_logva" | "logmesquite_logvash" | "logmesquite_logvolume" => {
            (log("weight")?, mesquite_columns(model, data)?)
        }
        "nes" => {
            let age = |group: f64| level("age_discrete", group);
            let columns = vec![
                raw("real_ideo")?,
                raw("race_adj")?,
                age(2.0)?,
                age(3.0)?,
                age(4.0)?,
                raw("educ1")?,
                raw("gender")?,
                raw("income")?,
            ];
            (raw("partyid7")?, columns)
        }
        _ => return Err(Error::UnknownModel { name: model.to_owned() }),
    };
    let ones = vec![1.0; y.len()];
    let columns: Vec<&[f64]> = std::iter::once(&ones).chain(&columns).map(Vec::as_slice).collect();
    LinearRegression::new(DataMatrix::from_columns(&columns)?, y, None, scale_prior)
}

fn mesquite_columns(model: &str, data: &Fields<'_>) -> Result<Vec<Vec<f64>>, Error> {
    let log = |name: &str| Ok::<_, Error>(data.numbers(name)?.into_iter().map(f64::ln).collect::<Vec<f64>>());
    let (diam1, diam2, canopy) = (log("diam1")?, log("diam2")?, log("canopy_height")?);
    let (height, density, group) = (log("total_height")?, log("density")?, data.numbers("group")?);
    let combine =
        |f: fn(f64, f64) -> f64, a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect() };
    let area = combine(|a, b| a + b, &diam1, &diam2);
    let shape = combine(|a, b| a - b, &diam1, &diam2);
    let volume = combine(|a, b| a + b, &area, &canopy);
    Ok(match model {
        "logmesquite_logvolume" => vec![volume],
        "logmesquite_logva" => vec![volume, area, group],
        "logmesquite_logvash" => vec![volume, area, shape, height, group],
        _ => vec![diam1, diam2, canopy, height, density, group],
    })
}

/// Two columns and their product.
fn with_product(a: Vec<f64>, b: Vec<f64>) -> Vec<Vec<f64>> {
    let product = a.iter().zip(&b).map(|(a, b)| a * b).collect();
    vec![a, b, product]
}

/// x minus its mean, divided by two standard deviations if wanted.
fn standardised(x: &[f64], divide: bool) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let scale = if divide { 2.0 * variance.sqrt() } else { 1.0 };
    x.iter().map(|v| (v - mean) / scale).collect()
}

/// Typed access to the fields of a JSON object.
struct Fields<'a>(&'a Json);

impl<'a> Fields<'a> {
    fn get(&self, field: &str) -> Result<&'a Json, Error> {
        self.0.get(field).ok_or_else(|| wrong(field, "present"))
    }

    fn text(&self, field: &str) -> Result<&'a str, Error> {
        self.get(field)?.as_str().ok_or_else(|| wrong(field, "a string"))
    }

    fn array(&self, field: &str) -> Result<&'a [Json], Error> {
        self.get(field)?.as_array().map(Vec::as_slice).ok_or_else(|| wrong(field, "an array"))
    }

    fn number(&self, field: &str) -> Result<f64, Error> {
        self.get(field)?.as_f64().ok_or_else(|| wrong(field, "a number"))
    }

    fn count(&self, field: &str) -> Result<usize, Error> {
        let count = self.get(field)?.as_u64().and_then(|n| usize::try_from(n).ok());
        count.ok_or_else(|| wrong(field, "a whole number"))
    }

    fn numbers(&self, field: &str) -> Result<Vec<f64>, Error> {
        numbers(self.array(field)?).ok_or_else(|| wrong(field, "an array of numbers"))
    }

    fn counts(&self, field: &str) -> Result<Vec<u64>, Error> {
        let counts: Option<Vec<u64>> = self.array(field)?.iter().map(Json::as_u64).collect();
        counts.ok_or_else(|| wrong(field, "an array of whole numbers"))
    }

    fn matrix(&self, field: &str) -> Result<Array2<f64>, Error> {
        let rule = "an array of equally long arrays of numbers";
        let rows: Option<Vec<Vec<f64>>> = self.array(field)?.iter().map(|row| numbers(row.as_array()?)).collect();
        let rows = rows.ok_or_else(|| wrong(field, rule))?;
        let shape = (rows.len(), rows.first().map_or(0, Vec::len));
        Array2::from_shape_vec(shape, rows.concat())
            .ok()
            .filter(|_| rows.iter().all(|r| r.len() == shape.1))
            .ok_or_else(|| wrong(field, rule))
    }
}

fn numbers(array: &[Json]) -> Option<Vec<f64>> {
    array.iter().map(Json::as_f64).collect()
}

fn wrong(field: &str, rule: &'static str) -> Error {
    Error::Field { field: field.to_owned(), rule }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schools() -> Json {
        json!({
            "name": "tiny", "model_name": "eight_schools_noncentered", "data": {"y": [1.0, -2.0], "sigma": [1.0, 2.0]},
            "param_names": ["theta[1]", "theta[2]", "mu", "tau"], "ref_mean": [0.0, 0.0, 0.0, 1.0],
            "ref_sd": [1.0, 1.0, 1.0, 1.0], "n_ref": 100,
        })
    }

    #[test]
    fn parameters_are_found_among_variables_and_generated_quantities() {
        let posterior = ReferencePosterior::from_json(&schools()).unwrap();
        // theta[j] = mu + tau z[j] at z = (0.5, -1), mu = 2, tau = e
        let values = posterior.values_at(&[0.5, -1.0, 2.0, 1.0]).unwrap();
        let tau = 1.0_f64.exp();
        assert_eq!(values, [2.0 + tau * 0.5, 2.0 - tau, 2.0, tau]);
        assert_eq!(posterior.ess, 100.0);
        let second = Quantity { element: "theta[1]".to_owned(), variable: "theta".to_owned(), entry: 1, generated: true };
        assert_eq!(posterior.quantities[1], second);
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let broken = |change: &dyn Fn(&mut Json)| {
            let mut json = schools();
            change(&mut json);
            ReferencePosterior::from_json(&json).unwrap_err()
        };
        assert!(matches!(broken(&|j| j["model_name"] = json!("nothing")), Error::UnknownModel { name } if name == "nothing"));
        assert!(matches!(broken(&|j| j["data"]["y"] = json!(["a"])), Error::Field { field, .. } if field == "y"));
        assert!(
            matches!(broken(&|j| j["data"] = json!({"y": [1.0]})), Error::Field { field, rule: "present" } if field == "sigma")
        );
        assert!(
            matches!(broken(&|j| j["param_names"][1] = json!("theta[3]")), Error::UnknownVariable { name } if name == "theta[3]")
        );
        assert!(matches!(broken(&|j| j["ref_sd"] = json!([])), Error::Dimension { what: "ref_sd", .. }));
        assert!(
            matches!(broken(&|j| j["data"]["sigma"] = json!([1.0, -1.0])), Error::OutsideSupport { variable, .. } if variable == "sigma[1]")
        );
        assert!(matches!(ReferencePosterior::read("/nowhere.json"), Err(Error::Io { .. })));
    }
}
