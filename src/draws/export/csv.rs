//! The CSV files of CmdStan, one per chain: comments with settings, adaptation and times, a header, a line per draw.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ndarray::ArrayView1;

use super::write_atomically;
use crate::draws::{Draws, StatValues};
use crate::error::Result;
use crate::model::Variable;

/// Statistics in CmdStan's order: its name of the column and ours.
const STATS: [(&str, &str); 7] = [
    ("lp__", "lp"),
    ("accept_stat__", "acceptance_rate"),
    ("stepsize__", "step_size"),
    ("treedepth__", "tree_depth"),
    ("n_leapfrog__", "n_steps"),
    ("divergent__", "diverging"),
    ("energy__", "energy"),
];

impl Draws {
    /// Writes the posterior as CmdStan does, for `arviz.from_cmdstan`, `cmdstanpy.from_csv` and the tools of R.
    ///
    /// From `path` = `run.csv` come the files `run_1.csv`, `run_2.csv`, ..., one per chain, whose paths are returned. Columns are the
    /// statistics that exist among `lp__`, `accept_stat__`, `stepsize__`, `treedepth__`, `n_leapfrog__`, `divergent__` and `energy__`,
    /// then the variables as `theta.1.2`, indices from 1, the first index running fastest. In names of variables, characters that mean
    /// something to readers of such files (`.`, `,`, `"`, `#`, blanks) become `_`. Values that are not finite are `nan`, `inf`, `-inf`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io). Each file is replaced as a whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let path = path.as_ref();
        (0..self.n_chains())
            .map(|chain| {
                let path = chain_path(path, chain);
                write_atomically(&path, |out| self.csv(out, chain)).map(|()| path)
            })
            .collect()
    }

    fn csv(&self, out: &mut impl Write, chain: usize) -> io::Result<()> {
        let stats: Vec<(&str, &StatValues)> =
            STATS.iter().filter_map(|&(column, name)| Some((column, self.sample_stats().get(name)?))).collect();
        let mut header: Vec<String> = stats.iter().map(|&(column, _)| column.to_owned()).collect();
        let mut columns = Vec::with_capacity(self.posterior().values().dim().2);
        for (variable, first) in self.posterior().with_first_columns() {
            for index in column_major(&variable.shape) {
                header.push(column_name(variable, &index));
                columns.push(first + row_major_position(&variable.shape, &index));
            }
        }

        self.csv_settings(out, chain)?;
        writeln!(out, "{}", header.join(","))?;
        self.csv_adaptation(out, chain)?;
        let mut line = String::new();
        for draw in 0..self.n_draws() {
            line.clear();
            for (_, values) in &stats {
                match values {
                    StatValues::Float(values) => push(&mut line, values[[chain, draw]]),
                    StatValues::Integer(values) => push_text(&mut line, &values[[chain, draw]].to_string()),
                    StatValues::Flag(values) => push_text(&mut line, if values[[chain, draw]] { "1" } else { "0" }),
                }
            }
            let values: ArrayView1<'_, f64> = self.posterior().values().slice(ndarray::s![chain, draw, ..]);
            columns.iter().for_each(|&column| push(&mut line, values[column]));
            writeln!(out, "{line}")?;
        }
        self.csv_times(out, chain)
    }

    fn csv_settings(&self, out: &mut impl Write, chain: usize) -> io::Result<()> {
        let attributes = self.attributes();
        writeln!(out, "# posterity_version = {}", single_line(&attributes.version))?;
        writeln!(out, "# sampler = {}", single_line(&attributes.sampler))?;
        // The prefix keeps a setting from being read as one of CmdStan's. They come before those, as cmdstanpy takes the last line that
        // contains "metric =" for the metric.
        for (name, value) in &attributes.settings {
            writeln!(out, "# setting_{} = {}", single_line(name), single_line(value))?;
        }
        writeln!(out, "# model = posterity_model")?;
        writeln!(out, "# method = sample (Default)")?;
        writeln!(out, "#   sample")?;
        writeln!(out, "#     num_samples = {}", self.n_draws())?;
        writeln!(out, "#     num_warmup = {}", attributes.n_warmup)?;
        writeln!(out, "#     save_warmup = 0 (Default)")?;
        writeln!(out, "#     thin = 1 (Default)")?;
        writeln!(out, "#     adapt")?;
        writeln!(out, "#       engaged = {}", u8::from(attributes.n_warmup > 0))?;
        // CmdStan's words for a sampler with a step size; "fixed_param" is its word for any other one.
        if attributes.step_sizes.is_empty() {
            writeln!(out, "#     algorithm = fixed_param")?;
        } else {
            let depth = attributes.settings.iter().find(|(name, _)| name == "max_tree_depth").map_or("10", |(_, value)| value);
            let metric = if attributes.inverse_mass_matrices.is_empty() { "unit_e" } else { "diag_e (Default)" };
            writeln!(out, "#     algorithm = hmc (Default)")?;
            writeln!(out, "#       hmc")?;
            writeln!(out, "#         engine = nuts (Default)")?;
            writeln!(out, "#           nuts")?;
            writeln!(out, "#             max_depth = {}", single_line(depth))?;
            writeln!(out, "#         metric = {metric}")?;
        }
        writeln!(out, "# id = {}", chain + 1)?;
        writeln!(out, "# random")?;
        writeln!(out, "#   seed = {}", attributes.seed)
    }

    fn csv_adaptation(&self, out: &mut impl Write, chain: usize) -> io::Result<()> {
        let attributes = self.attributes();
        let Some(step_size) = attributes.step_sizes.get(chain) else { return Ok(()) };
        writeln!(out, "# Adaptation terminated")?;
        writeln!(out, "# Step size = {step_size:?}")?;
        if let Some(metric) = attributes.inverse_mass_matrices.get(chain) {
            let metric: Vec<String> = metric.iter().map(|m| format!("{m:?}")).collect();
            writeln!(out, "# Diagonal elements of inverse mass matrix:")?;
            writeln!(out, "# {}", metric.join(", "))?;
        }
        Ok(())
    }

    fn csv_times(&self, out: &mut impl Write, chain: usize) -> io::Result<()> {
        let attributes = self.attributes();
        if let (Some(warmup), Some(sampling)) = (attributes.warmup_seconds.get(chain), attributes.sampling_seconds.get(chain)) {
            writeln!(out, "# ")?;
            writeln!(out, "#  Elapsed Time: {warmup} seconds (Warm-up)")?;
            writeln!(out, "#                {sampling} seconds (Sampling)")?;
            writeln!(out, "#                {} seconds (Total)", warmup + sampling)?;
            writeln!(out, "# ")?;
        }
        Ok(())
    }
}

/// `run.csv` for chain 0 is `run_1.csv`.
fn chain_path(path: &Path, chain: usize) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("_{}.csv", chain + 1));
    path.with_file_name(name)
}

/// All indices of a shape, the first one running fastest.
fn column_major(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    (0..shape.iter().product()).map(move |mut position: usize| {
        shape
            .iter()
            .map(|&extent| {
                let index = position % extent;
                position /= extent;
                index
            })
            .collect()
    })
}

fn row_major_position(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |position, (extent, index)| position * extent + index)
}

fn column_name(variable: &Variable, index: &[usize]) -> String {
    let reserved = |c: char| c.is_whitespace() || c.is_control() || ".,\"#".contains(c);
    let mut name = variable.name.replace(reserved, "_");
    for i in index {
        name.push_str(&format!(".{}", i + 1));
    }
    name
}

fn single_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn push(line: &mut String, x: f64) {
    if x.is_nan() { push_text(line, "nan") } else { push_text(line, &format!("{x:?}")) }
}

fn push_text(line: &mut String, text: &str) {
    if !line.is_empty() {
        line.push(',');
    }
    line.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::{Attributes, Group, SampleStats};
    use ndarray::{Array3, array};

    #[test]
    fn columns_are_named_and_ordered_as_in_cmdstan() {
        let variables = vec![Variable::new("mu 1", &[]), Variable::new("L", &[2, 3])];
        let values = Array3::from_shape_fn((2, 1, 7), |(c, _, k)| if c == 0 { k as f64 } else { f64::NEG_INFINITY });
        let mut stats = SampleStats::new(2, 1);
        stats.push("diverging", StatValues::Flag(array![[true], [false]])).unwrap();
        stats.push("lp", StatValues::Float(array![[-1.5], [f64::NAN]])).unwrap();
        stats.push("tree_depth", StatValues::Integer(array![[3], [4]])).unwrap();
        let mut attributes = Attributes::new("nuts", 9).with_setting("target", 0.8).with_setting("metric", "Automatic");
        attributes.step_sizes = vec![0.25, 0.5];
        attributes.inverse_mass_matrices = vec![vec![1.0, 2.5]; 2];
        let draws = Draws::new(Group::new(variables, values).unwrap(), stats, attributes).unwrap();
        let text = |chain| {
            let mut out = Vec::new();
            draws.csv(&mut out, chain).unwrap();
            String::from_utf8(out).unwrap()
        };
        let lines: Vec<String> = text(0).lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect();
        assert_eq!(lines[0], "lp__,treedepth__,divergent__,mu_1,L.1.1,L.2.1,L.1.2,L.2.2,L.1.3,L.2.3");
        // L in row-major order is columns 1..=6: L[2,1] is column 4.
        assert_eq!(lines[1], "-1.5,3,1,0.0,1.0,4.0,2.0,5.0,3.0,6.0");
        assert!(text(1).contains("\nnan,4,0,-inf,-inf"));
        assert!(text(1).contains("# Step size = 0.5\n# Diagonal elements of inverse mass matrix:\n# 1.0, 2.5\n"));
        assert!(text(0).contains("\n# setting_target = 0.8\n"));
        // What cmdstanpy takes for the metric.
        assert_eq!(text(0).lines().rfind(|line| line.contains("metric =")), Some("#         metric = diag_e (Default)"));
    }

    #[test]
    fn files_are_numbered_from_one() {
        assert_eq!(chain_path(Path::new("out/run.csv"), 0), Path::new("out/run_1.csv"));
        assert_eq!(chain_path(Path::new("v1.2"), 3), Path::new("v1_4.csv"));
    }
}
