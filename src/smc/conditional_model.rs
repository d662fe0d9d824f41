//! What conditional sweeps ask of a model beyond filtering.

use super::feynman_kac::FeynmanKac;
use crate::error::Error;
use crate::weights::Status;

/// A Feynman-Kac model in which one particle can be pinned to a reference path. Its plan may look ahead, but not reweight the cloud nor
/// make several children per ancestor: conditional sweeps weigh by what `step` and `pin` write.
pub trait Pin: FeynmanKac {
    /// A path of the model: what conditional sweeps take and return.
    type Path: Clone + Default + Send + Sync;

    /// Checks that a path has as many steps as the model, before a sweep uses it as the reference.
    ///
    /// # Errors
    /// [`Error::Dimension`].
    fn check_path(&self, path: &Self::Path) -> Result<(), Error>;

    /// Copies the state of step `t` from a slot to a path, which may be shorter than `t` before.
    fn copy_state(&self, t: usize, population: &Self::Population, slot: usize, path: &mut Self::Path);

    /// Puts the reference's state of step `t` into a slot; returns its log G_t, and its status. `parents` is `None` at step 0; otherwise
    /// `ancestor` names the parent that the reference is attached to, whose state is the reference's own unless its ancestor was drawn anew.
    ///
    /// # Errors
    /// The model's own.
    fn pin(
        &mut self,
        t: usize,
        parents: Option<(&Self::Population, u32)>,
        children: &mut Self::Population,
        slot: usize,
        reference: &Self::Path,
    ) -> Result<(f64, Status), Self::Error>;

    /// For ancestor sampling: writes, per parent, the log of the density of the parent's path continued by the reference from step `t` on,
    /// divided by that of the parent's path alone; up to a constant. For a Markov model that is log m_t(x_t* | x_{t-1}), plus the part of
    /// the increments that depends on both. Returns false if the model cannot.
    ///
    /// # Errors
    /// The model's own.
    fn log_connection(
        &mut self,
        t: usize,
        parents: &Self::Population,
        reference: &Self::Path,
        out: &mut [f64],
    ) -> Result<bool, Self::Error>;
}
