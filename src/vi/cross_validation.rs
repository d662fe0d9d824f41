//! Cross-validation from the draws of a fit.

use ndarray::Axis;

use super::fit::Fit;
use crate::diagnostics::{Loo, PointwiseLogLikelihood};
use crate::error::Error;
use crate::model::Target;

impl Fit {
    /// Leave-one-out cross-validation of the target that was fitted, from the weighted draws: as good as k̂ says, of the fit and of each observation.
    ///
    /// ```
    /// use posterity::model::zoo::EightSchoolsNoncentered;
    /// use posterity::vi::{FullRank, Objective, Vi};
    /// let model = EightSchoolsNoncentered::rubin();
    /// let fit = Vi::new(FullRank).objective(Objective::iwelbo(20)).n_iterations(2000).fit(&model, 1)?;
    /// // By four chains of NUTS: -30.8.
    /// assert!((fit.loo(&model)?.elpd_loo() + 30.8).abs() < 0.3);
    /// # Ok::<(), posterity::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Dimension`] for another target; [`Error::NoObservations`] if its likelihood has no terms; as [`Loo::new`].
    pub fn loo<T: Target + ?Sized>(&self, target: &T) -> Result<Loo, Error> {
        let log_ratios = self.log_ratios();
        // Draws without weight need not have a likelihood at all.
        let counted: Vec<usize> = (0..log_ratios.len()).filter(|&i| log_ratios[i] > f64::NEG_INFINITY).collect();
        let log_ratios: Vec<f64> = counted.iter().map(|&i| log_ratios[i]).collect();
        let positions = self.positions().select(Axis(0), &counted);
        Loo::new(&mut PointwiseLogLikelihood::from_target(target, positions.view())?.weighted(&log_ratios)?)
    }
}
