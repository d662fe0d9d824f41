//! Ready-made collectors for [`Smc::run_with`](super::Smc::run_with): what to keep of each cloud instead of the cloud.
//!
//! | collector | per step |
//! |---|---|
//! | [`Trace`] | effective sample size, log-evidence, whether it resampled |
//! | [`Moments`] | weighted means and variances of functions of the state |
//! | [`Quantiles`] | weighted quantiles of a function of the state |
//! | [`FixedLagSmoother`](super::smoothing::FixedLagSmoother) | means and variances given some later observations too |
//!
//! A closure over [`Snapshot`] is a collector as well; tuples and vectors of collectors collect side by side. Collectors clear
//! themselves at step 0, so that one serves run after run. After the first steps they allocate only to lengthen their record.
//!
//! ```
//! use posterity::model::zoo::Ar1;
//! use posterity::smc::collectors::{Moments, Quantiles, Trace};
//! use posterity::smc::{Bootstrap, Smc, SmcConfig};
//! let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y: vec![0.5, -0.2, 1.4] };
//! let mut filter = Smc::new(Bootstrap(model), SmcConfig::new(1000, 1))?;
//! let mut collectors = (Trace::new(), Moments::new(|x: &f64| [*x, x.exp()]), Quantiles::new([0.05, 0.95], |x: &f64| *x)?);
//! let summary = filter.run_with(&mut collectors)?;
//! let (trace, moments, quantiles) = collectors;
//! assert_eq!(trace.steps().last().map(|info| info.log_evidence), Some(summary.log_evidence));
//! let mean = moments.means()[2][0];
//! let [low, high] = quantiles.values()[2];
//! assert!(low < mean && mean < high);
//! # Ok::<(), posterity::Error>(())
//! ```

mod moments;
mod quantiles;
mod trace;

pub use moments::Moments;
pub use quantiles::Quantiles;
pub use trace::Trace;

use super::{Collector, Snapshot};

impl<P> Collector<P> for Vec<Box<dyn Collector<P> + '_>> {
    fn collect(&mut self, snapshot: &Snapshot<'_, P>) {
        for collector in self {
            collector.collect(snapshot);
        }
    }
}

macro_rules! tuples {
    ($($name:ident $index:tt),+) => {
        impl<Population, $($name: Collector<Population>),+> Collector<Population> for ($($name,)+) {
            fn collect(&mut self, snapshot: &Snapshot<'_, Population>) {
                $(self.$index.collect(snapshot);)+
            }
        }
    };
}
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
