//! Rational numbers as people write them.

use super::extract::braced;

/// A fraction in lowest terms with a positive denominator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rational {
    numerator: i128,
    denominator: i128,
}

impl Rational {
    fn new(numerator: i128, denominator: i128) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let divisor = i128::try_from(greatest_divisor(numerator.unsigned_abs(), denominator.unsigned_abs())).ok()?;
        let sign = denominator.signum();
        Some(Self {
            numerator: numerator.checked_div(divisor)?.checked_mul(sign)?,
            denominator: denominator.checked_div(divisor)?.checked_mul(sign)?,
        })
    }

    fn over(self, other: Self) -> Option<Self> {
        Self::new(self.numerator.checked_mul(other.denominator)?, self.denominator.checked_mul(other.numerator)?)
    }

    fn negated(self) -> Option<Self> {
        Self::new(self.numerator.checked_neg()?, self.denominator)
    }

    /// Reads `-3`, `1,000`, `0.5`, `1.5e3`, `1/2`, `\frac{1}{2}` and `\frac12`; `None` for anything else, and for what does not fit.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_prefix(['-', '−']) {
            Some(rest) => Self::unsigned(rest.trim_start())?.negated(),
            None => Self::unsigned(text.strip_prefix('+').unwrap_or(text)),
        }
    }

    fn unsigned(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("\\frac") {
            let (numerator, rest) = argument(rest.trim_start())?;
            let (denominator, rest) = argument(rest.trim_start())?;
            return if rest.is_empty() { Self::signed(numerator)?.over(Self::signed(denominator)?) } else { None };
        }
        match text.split_once('/') {
            Some((numerator, denominator)) => Self::decimal(numerator.trim())?.over(Self::signed(denominator)?),
            None => Self::decimal(text),
        }
    }

    fn signed(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_prefix(['-', '−']) {
            Some(rest) => Self::decimal(rest)?.negated(),
            None => Self::decimal(text),
        }
    }

    fn decimal(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let whole = without_commas(whole)?;
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        let digits: i128 = digits.parse().ok()?;
        if exponent >= 0 { Self::new(digits.checked_mul(power)?, 1) } else { Self::new(digits, power) }
    }

    pub(super) fn to_f64(self) -> f64 {
        self.numerator as f64 / self.denominator as f64
    }
}

/// One argument of a LaTeX command: what stands in braces, or one character.
fn argument(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('{') {
        return braced(text);
    }
    let first = text.chars().next().filter(char::is_ascii_digit)?;
    Some(text.split_at(first.len_utf8()))
}

/// Digits without the commas between thousands; `None` if commas stand elsewhere.
fn without_commas(text: &str) -> Option<String> {
    let mut groups = text.split(',');
    let first = groups.next().unwrap_or("");
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 || first.is_empty() || first.len() > 3 {
            return None;
        }
        digits.push_str(group);
    }
    Some(digits)
}

fn greatest_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_number_is_read_exactly() {
        let of = |numerator, denominator| Rational::new(numerator, denominator);
        for (text, number) in [
            ("0.5", of(1, 2)),
            (r"\frac12", of(1, 2)),
            (r"-\frac{3}{6}", of(-1, 2)),
            (r"\frac{-3}{6}", of(-1, 2)),
            (r"\frac{\frac12}{3}", None),
            ("-2/4", of(-1, 2)),
            ("1,000", of(1000, 1)),
            ("1,00", None),
            (".5", of(1, 2)),
            ("5.", of(5, 1)),
            ("1.5e3", of(1500, 1)),
            ("25e-2", of(1, 4)),
            ("1/0", None),
            ("--1", None),
            ("1e99", None),
            ("x", None),
            ("", None),
            (r"\frac12x", None),
            ("0.1", of(1, 10)),
        ] {
            assert_eq!(Rational::parse(text), number, "{text}");
        }
    }
}
