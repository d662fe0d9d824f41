//! Rules that turn directions of ascent into steps, coordinate by coordinate: one trait for flows of particles, variational inference and
//! expectation maximisation alike.
//!
//! | rule | to choose | first step | remembers per coordinate | reference |
//! |---|---|---|---|---|
//! | [`Coin`] | nothing | 1/2 | 5 numbers | Sharrock & Nemeth 2023, <https://arxiv.org/abs/2301.11294> |
//! | [`CoinKt`] | a bound on directions | at most 1/2 | 3 | Orabona & Pál 2016, <https://arxiv.org/abs/1602.04128> |
//! | [`Adam`] | learning rate η | η | 2 | Kingma & Ba 2015, <https://arxiv.org/abs/1412.6980> |
//! | [`RmsProp`] | learning rate η | η | 1 | Tieleman & Hinton 2012; what the SVGD literature calls "AdaGrad" |
//! | [`AdaGrad`] | learning rate η | η | 1 | Duchi, Hazan & Singer 2011, <https://jmlr.org/papers/v12/duchi11a.html> |
//! | [`Sgd`] | learning rate η | η · direction | 1 | Robbins & Monro 1951, <https://doi.org/10.1214/aoms/1177729586> |
//!
//! A rule is a set of settings; [`StepRule::start`] gives the state that moves one position, and allocates all that it will need. Directions point
//! *uphill*: a loss hands over its negative gradient. Where the last iterate of a rule does not settle, as on -|x - a| or under noise, an
//! [`IterateAverage`] of its positions does.

mod adagrad;
mod adam;
mod average;
mod coin;
mod coin_kt;
mod rms_prop;
mod sgd;

use std::fmt::Debug;

pub use adagrad::AdaGrad;
pub use adam::Adam;
pub use average::{Averaging, IterateAverage};
pub use coin::Coin;
pub use coin_kt::CoinKt;
pub use rms_prop::RmsProp;
pub use sgd::Sgd;

use crate::error::Error;

/// A step rule: its settings.
///
/// ```
/// use posterity::step_rules::{Coin, StepRule};
/// // The maximum of -(x - 3)²/2, from 0.
/// let mut x = [0.0];
/// let mut state = Coin::default().start(&x)?;
/// for _ in 0..100 {
///     let direction = [3.0 - x[0]];
///     state.step(&direction, &mut x)?;
/// }
/// assert!((x[0] - 3.0).abs() < 1e-12);
/// # Ok::<(), posterity::Error>(())
/// ```
pub trait StepRule: Debug + Send + Sync {
    /// The rule's name with the settings that matter.
    fn name(&self) -> String;

    /// The state that moves a position of this length, started there.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a setting out of range, [`Error::NotFinite`] for a position that is not finite.
    fn start(&self, position: &[f64]) -> Result<Box<dyn StepState>, Error>;
}

/// What a step rule remembers of one run.
pub trait StepState: Debug + Send {
    /// Moves the position along a direction of ascent; both have the length that the state was started with.
    ///
    /// A direction of 0 leaves its coordinate to the rule's memory alone, and no coordinate ever becomes NaN.
    ///
    /// # Errors
    /// [`Error::Dimension`] for another length. [`Error::NotFinite`] with the index of the coordinate: `direction` if an entry of it is NaN or
    /// infinite, with nothing changed; `position after a step` if the step leaves the range of numbers, as a learning rate far too large makes it,
    /// or `mean square of the directions` if directions above 1e154 do not have one, with the position as it was and the state of no more use.
    /// [`Error::OutsideSupport`] from [`CoinKt`] for a direction above its bound, with nothing changed.
    fn step(&mut self, direction: &[f64], position: &mut [f64]) -> Result<(), Error>;

    /// Multiplies the learning rate from now on, and says whether there is one: rules without change nothing. A factor that is not positive and finite is
    /// ignored too.
    fn scale_learning_rate(&mut self, _factor: f64) -> bool {
        false
    }

    /// A copy, which goes on from here as this one does: a checkpoint.
    fn clone_box(&self) -> Box<dyn StepState>;
}

impl Clone for Box<dyn StepState> {
    fn clone(&self) -> Self {
        (**self).clone_box()
    }
}

/// A name followed by those settings that differ from their defaults, each given as (name, value, default).
fn named(mut name: String, settings: &[(&str, f64, f64)]) -> String {
    for (setting, value, _) in settings.iter().filter(|(_, value, default)| value != default) {
        name += &format!(", {setting} {value}");
    }
    name
}

/// Multiplies a learning rate by a positive and finite factor; true, as there is a learning rate.
fn scale(learning_rate: &mut f64, factor: f64) -> bool {
    if factor > 0.0 && factor.is_finite() {
        *learning_rate *= factor;
    }
    true
}

fn check_start(position: &[f64]) -> Result<(), Error> {
    check_finite("start position", position)
}

fn check_finite(what: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { what, index, value: values[index] }),
        None => Ok(()),
    }
}

/// Lengths that agree, and a finite direction.
fn check_step(n: usize, direction: &[f64], position: &[f64]) -> Result<(), Error> {
    for (what, found) in [("coordinates of the direction", direction.len()), ("coordinates of the position", position.len())] {
        if found != n {
            return Err(Error::Dimension { what, expected: n, found });
        }
    }
    check_finite("direction", direction)
}

/// Running squares of directions, none of which has overflowed: a step divided by an infinite one would be lost in silence.
fn check_squares(squares: &[f64]) -> Result<(), Error> {
    check_finite("mean square of the directions", squares)
}

/// Writes the new position if all of it is finite.
fn commit(new: &[f64], position: &mut [f64]) -> Result<(), Error> {
    check_finite("position after a step", new)?;
    position.copy_from_slice(new);
    Ok(())
}
