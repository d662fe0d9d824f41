//! Lines: what they say, whether it is right, and which there are.

use std::fmt;

/// Largest number that a line may state.
pub(super) const LARGEST: u8 = 99;

/// What a line does with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// a + b
    Add,
    /// a - b
    Subtract,
    /// a b, with b at least 2
    Multiply,
    /// a / b without remainder, with b at least 2
    Divide,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Add, Self::Subtract, Self::Multiply, Self::Divide];

    /// Its sign.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Subtract => '-',
            Self::Multiply => '*',
            Self::Divide => '/',
        }
    }

    /// The result for a >= b, if the operation is allowed there: a whole number from 1 to 99.
    #[must_use]
    pub fn apply(self, a: u8, b: u8) -> Option<u8> {
        let result = match self {
            Self::Add => u16::from(a) + u16::from(b),
            Self::Subtract => u16::from(a).checked_sub(b.into())?,
            Self::Multiply if b >= 2 => u16::from(a) * u16::from(b),
            Self::Divide if b >= 2 && a.is_multiple_of(b) => u16::from(a / b),
            Self::Multiply | Self::Divide => return None,
        };
        u8::try_from(result).ok().filter(|result| (1..=LARGEST).contains(result))
    }
}

/// A right line and the numbers that it leaves, in the order in which it states them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    /// Its text, line feed included.
    pub text: String,
    /// What is left.
    pub left: Vec<u8>,
}

/// Why a line is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It does not have the form of a line.
    #[error("not of the form `a op b=c,rest`")]
    Form,
    /// It uses a number that is not left.
    #[error("{number} is not left")]
    Operand {
        /// The number.
        number: u8,
    },
    /// Its operation is not allowed for its numbers.
    #[error("{a}{}{b} is not allowed", operation.sign())]
    NotAllowed {
        /// First operand.
        a: u8,
        /// The operation.
        operation: Operation,
        /// Second operand.
        b: u8,
    },
    /// Its arithmetic is wrong.
    #[error("the result is {right}, not {stated}")]
    Result {
        /// The number stated.
        stated: u8,
        /// The right one.
        right: u8,
    },
    /// It does not leave the other numbers.
    #[error("the numbers left are others")]
    Rest,
}

/// Numbers as texts state them: two digits each.
pub(super) struct Numbers<'a>(pub(super) &'a [u8]);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, number) in self.0.iter().enumerate() {
            write!(f, "{}{number:02}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// Reads two digits.
pub(super) fn number(text: &[u8]) -> Option<u8> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + ones - b'0'),
        _ => None,
    }
}

/// Reads numbers of two digits from 1 to 99, with commas between them.
pub(super) fn numbers(text: &[u8]) -> Option<Vec<u8>> {
    text.split(|&c| c == b',').map(|part| number(part).filter(|&number| number > 0)).collect()
}

/// What a line says: a, operation, b, and the numbers that it claims to leave.
fn parts(line: &str) -> Option<(u8, Operation, u8, Vec<u8>)> {
    let [a1, a2, sign, b1, b2, b'=', rest @ .., b'\n'] = line.as_bytes() else { return None };
    let operation = Operation::ALL.into_iter().find(|operation| operation.sign() == char::from(*sign))?;
    Some((number(&[*a1, *a2])?, operation, number(&[*b1, *b2])?, numbers(rest)?))
}

/// The numbers that a line claims to leave, right or wrong; none if it does not have the form of a line.
#[must_use]
pub fn claimed_numbers(line: &str) -> Option<Vec<u8>> {
    parts(line).map(|(.., claimed)| claimed)
}

/// True for a step after which at most one number is claimed to be left: what ends an answer.
#[must_use]
pub fn is_answer(line: &str) -> bool {
    !line.contains(',')
}

/// Reads a line after which `left` is no longer left: what it leaves, in its own order.
///
/// # Errors
/// [`LineError`] says what is wrong with it. The other numbers may be stated in any order.
///
/// ```
/// use posterity::reasoning::countdown::{LineError, read_line};
/// assert_eq!(read_line("26-09=17,08\n", &[9, 8, 26]), Ok(vec![17, 8]));
/// assert_eq!(read_line("26-09=16,08\n", &[9, 8, 26]), Err(LineError::Result { stated: 16, right: 17 }));
/// ```
pub fn read_line(line: &str, left: &[u8]) -> Result<Vec<u8>, LineError> {
    let (a, operation, b, claimed) = parts(line).ok_or(LineError::Form)?;
    let mut rest = left.to_vec();
    for number in [a, b] {
        let at = rest.iter().position(|&x| x == number).ok_or(LineError::Operand { number })?;
        rest.remove(at);
    }
    let right = if a >= b { operation.apply(a, b) } else { None }.ok_or(LineError::NotAllowed { a, operation, b })?;
    if claimed[0] != right {
        return Err(LineError::Result { stated: claimed[0], right });
    }
    let mut stated = claimed[1..].to_vec();
    stated.sort_unstable();
    rest.sort_unstable();
    if stated == rest { Ok(claimed) } else { Err(LineError::Rest) }
}

/// All right lines after which the other numbers stand in their order, each text once.
#[must_use]
pub fn legal_lines(left: &[u8]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for j in 1..left.len() {
        for i in 0..j {
            let (a, b) = (left[i].max(left[j]), left[i].min(left[j]));
            for operation in Operation::ALL {
                let Some(result) = operation.apply(a, b) else { continue };
                let others = left.iter().enumerate().filter(|&(k, _)| k != i && k != j).map(|(_, &x)| x);
                let left: Vec<u8> = std::iter::once(result).chain(others).collect();
                let text = format!("{a:02}{}{b:02}={}\n", operation.sign(), Numbers(&left));
                if lines.iter().all(|line| line.text != text) {
                    lines.push(Line { text, left });
                }
            }
        }
    }
    lines
}
