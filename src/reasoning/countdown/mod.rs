//! Countdown as text: a miniature of reasoning with everything known.
//!
//! A problem is a target and some numbers; each line combines two of the numbers that are left, until one is left, which should be the
//! target. A language model writes the lines, a reward model judges what is left after them, and this module knows the truth: whether a
//! line is right, what can still be reached, and how likely a given model is to get there.
//!
//! ```text
//! 25:26,09,11,08,07        target:numbers, two digits each
//! 26-09=17,11,08,07        a op b=c, then the other numbers in their order; a >= b, 1 <= c <= 99
//! 17+08=25,11,07           * and / with b >= 2, / without remainder
//! ...                      the last line leaves one number
//! ```
//!
//! Lines have a fixed width, so texts with as many numbers have as many tokens.
//!
//! ```
//! use posterity::reasoning::countdown::{Problem, Solver, Split, Wrong};
//! let problem = Problem::new(25, vec![26, 9, 11])?;
//! assert_eq!(problem.text(), "25:26,09,11\n");
//! assert!(problem.check("26+09=35,11\n35-11=24\n").is_err_and(|wrong| wrong == Wrong::Target { found: 24, target: 25 }));
//! assert!(!Solver::new().is_solvable(25, problem.numbers())?);
//! // Problems of a split are numbered, and have a solution.
//! let problem = Problem::random(Split::Test, 5, 0)?;
//! assert!(Solver::new().is_solvable(problem.target(), problem.numbers())?);
//! # Ok::<(), posterity::reasoning::countdown::ProblemError>(())
//! ```

mod line;
mod problem;
mod solver;
mod value;

pub use line::{Line, LineError, Operation, claimed_numbers, is_answer, legal_lines, read_line};
pub use problem::{Problem, ProblemError, Split, Wrong, answer, reward_text};
pub use solver::Solver;
pub use value::ExactValue;
