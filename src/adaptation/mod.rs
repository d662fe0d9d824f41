//! What a kernel learns in warm-up: its step size and its metric.

mod dual_averaging;
mod metric_estimate;
mod windows;

pub use dual_averaging::{DualAveraging, DualAveragingConfig};
pub use metric_estimate::{
    DrawBuffer, MetricEstimate, MetricEstimateConfig, MetricForm, covariance_metric, estimate_metric, metric_from_gradient,
};
pub use windows::Windows;
