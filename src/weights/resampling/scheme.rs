//! The schemes by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A resampling scheme; see the [module](super) for what they do and how they compare.
///
/// ```
/// use posterity::weights::resampling::Scheme;
/// assert_eq!("ssp".parse(), Ok(Scheme::Ssp));
/// assert_eq!(Scheme::default().to_string(), "systematic");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scheme {
    /// Independent draws (Gordon, Salmond & Smith 1993, <https://doi.org/10.1049/ip-f-2.1993.0015>).
    Multinomial,
    /// `⌊n w_k / Σw⌋` copies of every parent, the rest independent (Liu & Chen 1998, <https://doi.org/10.1080/01621459.1998.10473765>).
    Residual,
    /// One uniform point in each of `n` equal intervals (Kitagawa 1996, <https://doi.org/10.1080/10618600.1996.10474692>).
    Stratified,
    /// The same point in each of `n` equal intervals (Carpenter, Clifford & Fearnhead 1999, <https://doi.org/10.1049/ip-rsn:19990255>).
    #[default]
    Systematic,
    /// Srinivasan sampling process (Gerber, Chopin & Whiteley 2019, <https://doi.org/10.1214/18-AOS1741>).
    Ssp,
    /// A particle survives with probability `w_i / max w`, otherwise an independent draw replaces it (Del Moral 2004,
    /// *Feynman-Kac Formulae*, <https://doi.org/10.1007/978-1-4684-9393-1>).
    Killing,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 6] = [Self::Multinomial, Self::Residual, Self::Stratified, Self::Systematic, Self::Ssp, Self::Killing];

    /// The name in lower case, as [`FromStr`] reads it and `Display` writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Multinomial => "multinomial",
            Self::Residual => "residual",
            Self::Stratified => "stratified",
            Self::Systematic => "systematic",
            Self::Ssp => "ssp",
            Self::Killing => "killing",
        }
    }

    /// Whether [`Resampler::resample_conditional`](super::Resampler::resample_conditional) takes it.
    #[must_use]
    pub fn has_conditional(self) -> bool {
        !matches!(self, Self::Residual | Self::Ssp)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(name: &str) -> Result<Self, UnknownScheme> {
        let found = Self::ALL.into_iter().find(|scheme| scheme.name() == name);
        found.ok_or_else(|| UnknownScheme { name: name.to_owned() })
    }
}

/// No resampling scheme has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no resampling scheme `{name}`")]
pub struct UnknownScheme {
    /// The name asked for.
    pub name: String,
}
