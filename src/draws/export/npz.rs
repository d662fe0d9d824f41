//! The archive of NumPy: one array per variable and statistic.

use std::io;
use std::path::Path;

use ndarray_npy::NpzWriter;

use super::write_atomically;
use crate::draws::{Draws, Group, SampleStats, StatValues};
use crate::error::Result;

impl Draws {
    /// Writes all arrays as an uncompressed NumPy archive: `numpy.load(path)["posterior/theta"]`.
    ///
    /// Keys are `posterior/...`, `sample_stats/...` and where they exist `posterior_predictive/...`, `log_likelihood/...`,
    /// `observed_data/...`, `warmup_sample_stats/...`; shapes are (chain, draw, variable's shape).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io). The file is replaced as a whole or not at all.
    pub fn write_npz(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), |out| {
            let mut npz = NpzWriter::new(out);
            add_group(&mut npz, "posterior", Some(self.posterior()))?;
            add_group(&mut npz, "posterior_predictive", self.predictive())?;
            add_group(&mut npz, "log_likelihood", self.log_likelihood())?;
            add_stats(&mut npz, "sample_stats", Some(self.sample_stats()))?;
            add_stats(&mut npz, "warmup_sample_stats", self.warmup_stats())?;
            for observed in self.observed() {
                let key = format!("observed_data/{}", observed.variable().name);
                npz.add_array(key, observed.values()).map_err(io::Error::other)?;
            }
            npz.finish().map(|_| ()).map_err(io::Error::other)
        })
    }
}

fn add_group<W: io::Write + io::Seek>(npz: &mut NpzWriter<W>, name: &str, group: Option<&Group>) -> io::Result<()> {
    let Some(group) = group else { return Ok(()) };
    for variable in group.variables() {
        let values = group.variable(&variable.name).map_err(io::Error::other)?;
        npz.add_array(format!("{name}/{}", variable.name), &values).map_err(io::Error::other)?;
    }
    Ok(())
}

fn add_stats<W: io::Write + io::Seek>(npz: &mut NpzWriter<W>, name: &str, stats: Option<&SampleStats>) -> io::Result<()> {
    for stat in stats.into_iter().flat_map(SampleStats::iter) {
        let key = format!("{name}/{}", stat.name);
        match &stat.values {
            StatValues::Float(values) => npz.add_array(key, values),
            StatValues::Integer(values) => npz.add_array(key, values),
            StatValues::Flag(values) => npz.add_array(key, values),
        }
        .map_err(io::Error::other)?;
    }
    Ok(())
}
