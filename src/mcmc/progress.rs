//! A progress bar on the terminal.

use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

use super::run::{Observer, Progress};

/// One bar for all chains: iterations done, and divergences.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    divergences: Mutex<Vec<usize>>,
}

impl Bar {
    pub(super) fn new(n_chains: usize, n_iterations: usize) -> Self {
        let bar = ProgressBar::new((n_chains * n_iterations) as u64);
        // The template is a constant; were it wrong, the default style would do.
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} iterations, {elapsed} < {eta}{msg}") {
            bar.set_style(style);
        }
        Self { bar, divergences: Mutex::new(vec![0; n_chains]) }
    }
}

impl Observer for Bar {
    fn iteration(&self, progress: Progress) {
        self.bar.inc(1);
        if progress.divergences > 0
            && let Ok(mut divergences) = self.divergences.lock()
        {
            if let Some(count) = divergences.get_mut(progress.chain) {
                *count = progress.divergences;
            }
            self.bar.set_message(format!(", {} divergences", divergences.iter().sum::<usize>()));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish();
    }
}
