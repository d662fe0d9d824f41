//! Runs as data for pictures.

use super::decoder::Decoded;
use crate::plot::{GenealogyPlot, Generation};

impl Decoded {
    /// The run's genealogy, to be drawn.
    ///
    /// ```
    /// use posterity::reasoning::{Decoder, DecoderConfig, Models, Prefix, TableModel};
    /// let (mut generator, mut rewards) = (TableModel::two_step_example(), TableModel::two_step_example());
    /// let mut models = Models::new(&mut generator, &mut rewards);
    /// let decoded = Decoder::new(DecoderConfig::new(8, 1)).decode(&mut models, &Prefix::prompt(""))?;
    /// let svg = decoded.genealogy().svg().unwrap();
    /// assert!(svg.contains("finished"));
    /// # Ok::<(), posterity::reasoning::ReasoningError>(())
    /// ```
    #[must_use]
    pub fn genealogy(&self) -> GenealogyPlot {
        let generation = |record: &super::StepRecord| Generation {
            ancestors: record.ancestors.clone(),
            weights: record.weights.clone(),
            finished: record.texts.iter().map(|text| text.is_finished()).collect(),
            resampled: record.resampled,
        };
        GenealogyPlot::new(self.steps.iter().map(generation).collect()).title(format!("target: {}", self.target))
    }
}
