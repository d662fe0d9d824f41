//! The JSON of ArviZ: a dictionary of groups, each a dictionary of nested lists (chain, draw, variable's shape).
//!
//! Values that are not finite are written as Python writes and reads them, `NaN`, `Infinity` and `-Infinity`: a log density of -∞ is a
//! value, not an error, and must survive. A reader that insists on strict JSON refuses such a file instead of misreading it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use ndarray::{ArrayViewD, Axis};
use serde_json::{Map, Value, json};

use super::write_atomically;
use crate::draws::{Draws, Group, Observed, SampleStats, StatValues};
use crate::error::Result;

impl Draws {
    /// Writes everything as JSON for ArviZ: `arviz.from_json(path)`.
    ///
    /// Groups `posterior`, `sample_stats`, and where they exist `posterior_predictive`, `log_likelihood`, `observed_data` and
    /// `warmup_sample_stats`; `dims` and `coords`; the attributes as `attrs`. Numbers are written so that reading gives the same bits;
    /// values that are not finite as `NaN`, `Infinity` and `-Infinity`, which Python reads and strict JSON does not have.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io). The file is replaced as a whole or not at all.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), |out| self.json(out))
    }

    fn json(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{{\"posterior\": ")?;
        write_group(out, self.posterior())?;
        write!(out, ",\n\"sample_stats\": ")?;
        write_stats(out, self.sample_stats())?;
        if let Some(stats) = self.warmup_stats() {
            write!(out, ",\n\"warmup_sample_stats\": ")?;
            write_stats(out, stats)?;
        }
        for (name, group) in [("posterior_predictive", self.predictive()), ("log_likelihood", self.log_likelihood())] {
            if let Some(group) = group {
                write!(out, ",\n\"{name}\": ")?;
                write_group(out, group)?;
            }
        }
        if !self.observed().is_empty() {
            write!(out, ",\n\"observed_data\": ")?;
            write_map(
                out,
                self.observed(),
                |observed| &observed.variable().name,
                |out, observed| write_array(out, &observed.values().view(), &mut write_float),
            )?;
        }
        write!(out, ",\n\"dims\": {}", Value::from(Map::from_iter(self.dims())))?;
        write!(out, ",\n\"coords\": {}", json!(self.coords()))?;
        let attributes = self.json_attributes();
        write!(out, ",\n\"attrs\": {attributes},\n\"posterior_attrs\": {attributes}")?;
        writeln!(out, "}}")
    }

    /// Names of the dimensions of every variable that has any.
    fn dims(&self) -> BTreeMap<String, Value> {
        let groups = [Some(self.posterior()), self.predictive(), self.log_likelihood()];
        let variables =
            groups.into_iter().flatten().flat_map(Group::variables).chain(self.observed().iter().map(Observed::variable));
        variables
            .filter(|variable| !variable.dims.is_empty())
            .map(|variable| (variable.name.clone(), json!(variable.dims)))
            .collect()
    }

    fn json_attributes(&self) -> Value {
        let attributes = self.attributes();
        let mut map = Map::new();
        map.insert("inference_library".into(), json!("posterity"));
        map.insert("inference_library_version".into(), json!(attributes.version));
        map.insert("sampler".into(), json!(attributes.sampler));
        // A string, because a seed may exceed the integers of netCDF and JavaScript.
        map.insert("seed".into(), json!(attributes.seed.to_string()));
        map.insert("tuning_steps".into(), json!(attributes.n_warmup));
        map.insert("warmup_time".into(), json!(attributes.warmup_seconds.iter().sum::<f64>()));
        map.insert("sampling_time".into(), json!(attributes.sampling_seconds.iter().sum::<f64>()));
        map.insert("warmup_gradient_evaluations".into(), json!(attributes.warmup_gradient_evaluations));
        map.insert("sampling_gradient_evaluations".into(), json!(attributes.sampling_gradient_evaluations));
        map.insert("stopped_early".into(), json!(u8::from(attributes.stopped_early)));
        for (name, value) in &attributes.settings {
            map.insert(format!("setting_{name}"), json!(value));
        }
        Value::from(map)
    }
}

fn write_group(out: &mut impl Write, group: &Group) -> io::Result<()> {
    write_map(
        out,
        group.variables(),
        |variable| &variable.name,
        |out, variable| {
            let values = group.variable(&variable.name).map_err(io::Error::other)?;
            write_array(out, &values, &mut write_float)
        },
    )
}

fn write_stats(out: &mut impl Write, stats: &SampleStats) -> io::Result<()> {
    let stats: Vec<_> = stats.iter().collect();
    write_map(
        out,
        &stats,
        |stat| &stat.name,
        |out, stat| match &stat.values {
            StatValues::Float(values) => write_array(out, &values.view().into_dyn(), &mut write_float),
            StatValues::Integer(values) => write_array(out, &values.view().into_dyn(), &mut |out, x| write!(out, "{x}")),
            StatValues::Flag(values) => write_array(out, &values.view().into_dyn(), &mut |out, x| write!(out, "{x}")),
        },
    )
}

fn write_map<W: Write, T>(
    out: &mut W,
    entries: &[T],
    name: impl Fn(&T) -> &String,
    mut write: impl FnMut(&mut W, &T) -> io::Result<()>,
) -> io::Result<()> {
    for (i, entry) in entries.iter().enumerate() {
        write!(out, "{} {}: ", if i == 0 { "{" } else { ",\n" }, json!(name(entry)))?;
        write(out, entry)?;
    }
    write!(out, "{}", if entries.is_empty() { "{}" } else { "}" })
}

fn write_array<W: Write, T: Copy>(
    out: &mut W,
    values: &ArrayViewD<'_, T>,
    write: &mut impl FnMut(&mut W, T) -> io::Result<()>,
) -> io::Result<()> {
    if values.ndim() == 0 {
        return values.iter().try_for_each(|&x| write(out, x));
    }
    out.write_all(b"[")?;
    for (i, part) in values.axis_iter(Axis(0)).enumerate() {
        if i > 0 {
            out.write_all(b", ")?;
        }
        write_array(out, &part, write)?;
    }
    out.write_all(b"]")
}

/// The shortest decimal that reads as the same number.
fn write_float(out: &mut impl Write, x: f64) -> io::Result<()> {
    if x.is_finite() {
        write!(out, "{x:?}")
    } else if x.is_nan() {
        out.write_all(b"NaN")
    } else {
        out.write_all(if x > 0.0 { b"Infinity" } else { b"-Infinity" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Attributes;
    use crate::model::Variable;
    use ndarray::{Array3, array};

    fn text(draws: &Draws) -> String {
        let mut out = Vec::new();
        draws.json(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn groups_dims_and_exact_numbers() {
        let variables = vec![Variable::new("mu", &[]), Variable::new("a\"b", &[2])];
        let values = Array3::from_shape_fn((1, 2, 3), |(_, d, k)| [0.1, 1e-300, 1e300][k] * (d + 1) as f64);
        let mut stats = SampleStats::new(1, 2);
        stats.push("diverging", StatValues::Flag(array![[true, false]])).unwrap();
        let draws = Draws::new(Group::new(variables, values).unwrap(), stats, Attributes::new("nuts", u64::MAX)).unwrap();
        let observed = Observed::new(Variable::new("y", &[1]), array![3.0].into_dyn()).unwrap();
        let draws = draws.with_observed(observed).unwrap().with_coords("y_dim_0", ["first"]).unwrap();
        let read: Value = serde_json::from_str(&text(&draws)).unwrap();
        assert_eq!(read["posterior"]["mu"], json!([[0.1, 0.2]]));
        assert_eq!(read["posterior"]["a\"b"], json!([[[1e-300, 1e300], [2e-300, 2e300]]]));
        assert_eq!(read["sample_stats"]["diverging"], json!([[true, false]]));
        assert_eq!(read["observed_data"]["y"], json!([3.0]));
        assert_eq!(read["dims"]["y"], json!(["y_dim_0"]));
        assert_eq!(read["coords"]["y_dim_0"], json!(["first"]));
        assert_eq!(read["attrs"]["seed"], json!("18446744073709551615"));
    }

    #[test]
    fn values_that_are_not_finite_survive_in_pythons_spelling() {
        let values = Array3::from_shape_vec((1, 3, 1), vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]).unwrap();
        let group = Group::new(vec![Variable::new("x", &[])], values).unwrap();
        let draws = Draws::new(group, SampleStats::new(1, 3), Attributes::new("nuts", 1)).unwrap();
        assert!(text(&draws).contains("\"x\": [[NaN, Infinity, -Infinity]]"), "{}", text(&draws));
    }
}
