//! Problems, their solutions, and what can be read from a text.

use rand::RngExt;

use super::line::{LARGEST, LineError, Numbers, Operation, claimed_numbers, number, numbers, read_line};
use crate::reasoning::prefix::Prefix;
use crate::rng::{Purpose, Stream};

/// Sizes of problems.
const SIZES: std::ops::RangeInclusive<usize> = 2..=8;

/// A target and the numbers to reach it from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    target: u8,
    numbers: Vec<u8>,
}

/// Why something is no problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemError {
    /// Too few or too many numbers.
    #[error("a problem of {found} numbers; there are 2 to 8")]
    Size {
        /// How many.
        found: usize,
    },
    /// A number or the target is out of range.
    #[error("{number} is not in 1..=99")]
    Number {
        /// The number.
        number: u8,
    },
    /// A text is no prompt of a problem.
    #[error("not of the form `target:numbers`")]
    Form,
}

/// Which problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// For training.
    Train,
    /// For choices.
    Validation,
    /// For figures.
    Test,
}

/// Why a text is no solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A line is wrong.
    #[error("line {line}: {error}")]
    Line {
        /// Which, from 0.
        line: usize,
        /// What is wrong with it.
        error: LineError,
    },
    /// More than one number is left.
    #[error("{n_left} numbers are left")]
    Unfinished {
        /// How many.
        n_left: usize,
    },
    /// All lines are right, but the last number is not the target.
    #[error("{found} is not the target {target}")]
    Target {
        /// The number reached.
        found: u8,
        /// The target.
        target: u8,
    },
}

impl Problem {
    /// A problem, solvable or not.
    ///
    /// # Errors
    /// [`ProblemError::Size`] and [`ProblemError::Number`].
    pub fn new(target: u8, numbers: Vec<u8>) -> Result<Self, ProblemError> {
        if !SIZES.contains(&numbers.len()) {
            return Err(ProblemError::Size { found: numbers.len() });
        }
        match numbers.iter().copied().chain([target]).find(|number| !(1..=LARGEST).contains(number)) {
            Some(number) => Err(ProblemError::Number { number }),
            None => Ok(Self { target, numbers }),
        }
    }

    /// Problem number `index` of a split, the same in every run: different numbers from 1 to 30, and a target from 10 that a run of random
    /// lines has reached. So it has a solution.
    ///
    /// # Errors
    /// [`ProblemError::Size`].
    pub fn random(split: Split, n_numbers: usize, index: u64) -> Result<Self, ProblemError> {
        if !SIZES.contains(&n_numbers) {
            return Err(ProblemError::Size { found: n_numbers });
        }
        let mut random = Stream::keyed(n_numbers as u64, Purpose::Simulation, split as u64, index);
        loop {
            let mut numbers: Vec<u8> = Vec::with_capacity(n_numbers);
            while numbers.len() < n_numbers {
                let number = random.random_range(1..=30);
                if !numbers.contains(&number) {
                    numbers.push(number);
                }
            }
            let target = random_run(&mut random, &numbers);
            if target >= 10 {
                return Self::new(target, numbers);
            }
        }
    }

    /// Reads a prompt.
    ///
    /// # Errors
    /// [`ProblemError`].
    pub fn from_text(text: &str) -> Result<Self, ProblemError> {
        let [t1, t2, b':', rest @ .., b'\n'] = text.as_bytes() else { return Err(ProblemError::Form) };
        match (number(&[*t1, *t2]), numbers(rest)) {
            (Some(target), Some(numbers)) => Self::new(target, numbers),
            _ => Err(ProblemError::Form),
        }
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> u8 {
        self.target
    }

    /// The numbers.
    #[must_use]
    pub fn numbers(&self) -> &[u8] {
        &self.numbers
    }

    /// The text that a language model goes on from.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:02}:{}\n", self.target, Numbers(&self.numbers))
    }

    /// The same as a prefix without steps.
    #[must_use]
    pub fn prompt(&self) -> Prefix {
        Prefix::prompt(self.text())
    }

    /// Number of lines of a solution.
    #[must_use]
    pub fn n_lines(&self) -> usize {
        self.numbers.len() - 1
    }

    /// What is left after written lines, if all of them are right.
    ///
    /// # Errors
    /// [`Wrong::Line`].
    pub fn left_after(&self, written: &str) -> Result<Vec<u8>, Wrong> {
        let mut left = self.numbers.clone();
        for (line, text) in written.split_inclusive('\n').enumerate() {
            left = read_line(text, &left).map_err(|error| Wrong::Line { line, error })?;
        }
        Ok(left)
    }

    /// Checks what was written after the prompt: every line is right, and the last number is the target.
    ///
    /// # Errors
    /// [`Wrong`] says why it is no solution.
    pub fn check(&self, written: &str) -> Result<(), Wrong> {
        match self.left_after(written)?[..] {
            [found] if found == self.target => Ok(()),
            [found] => Err(Wrong::Target { found, target: self.target }),
            ref left => Err(Wrong::Unfinished { n_left: left.len() }),
        }
    }
}

/// The last number of a run in which each line is a uniform draw of two numbers and an operation, repeated until it is allowed.
fn random_run(random: &mut Stream, numbers: &[u8]) -> u8 {
    let mut left = numbers.to_vec();
    while left.len() > 1 {
        let i = random.random_range(0..left.len());
        let j = (i + random.random_range(1..left.len())) % left.len();
        let operation = Operation::ALL[random.random_range(0..4)];
        if let Some(result) = operation.apply(left[i].max(left[j]), left[i].min(left[j])) {
            left.swap_remove(i.max(j));
            left.swap_remove(i.min(j));
            left.push(result);
        }
    }
    left[0]
}

/// The answer that a text gives: the one number that its last line claims to leave.
#[must_use]
pub fn answer(text: &str) -> Option<u8> {
    match claimed_numbers(text.split_inclusive('\n').next_back()?)?[..] {
        [answer] => Some(answer),
        _ => None,
    }
}

/// What the reward model reads: the target, and the numbers that the last line claims to leave, in descending order. None if the last line
/// does not have the form of a line or claims another number of numbers than there are lines for.
#[must_use]
pub fn reward_text(prefix: &Prefix) -> Option<String> {
    let problem = Problem::from_text(prefix.prompt_text()).ok()?;
    let mut left = match prefix.last_step() {
        Some(step) => claimed_numbers(&step.text)?,
        None => problem.numbers.clone(),
    };
    left.sort_unstable_by(|a, b| b.cmp(a));
    (left.len() + prefix.n_steps() == problem.numbers.len()).then(|| format!("{:02}:{}\n", problem.target, Numbers(&left)))
}
