//! Accuracies with intervals, in words for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use ndarray::Array2;
use posterity::reasoning::{Interval, paired_t_interval};

const LEVEL: f64 = 0.95;

/// What one method did with one problem under one seed.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) method: usize,
    pub(crate) n: usize,
    pub(crate) problem: usize,
    pub(crate) seed: u64,
    pub(crate) correct: bool,
    pub(crate) generations: u64,
    pub(crate) tokens: u64,
    pub(crate) reward_calls: u64,
}

/// What was right, by method and number of texts.
#[derive(Debug, Default)]
pub(crate) struct Results {
    cells: BTreeMap<(usize, usize), Vec<Record>>,
}

impl Results {
    pub(crate) fn of(mut records: Vec<Record>) -> Self {
        records.sort_by_key(|record| (record.problem, record.seed));
        let mut results = Self::default();
        for record in records {
            results.cells.entry((record.method, record.n)).or_default().push(record);
        }
        results
    }

    /// 1 for a right answer, one row per problem and one column per seed.
    fn right(&self, (method, n): (usize, usize)) -> Option<Array2<f64>> {
        let runs = self.cells.get(&(method, n))?;
        let n_seeds = runs.iter().filter(|run| run.problem == runs[0].problem).count();
        let right = runs.iter().map(|run| f64::from(u8::from(run.correct))).collect();
        Array2::from_shape_vec((runs.len() / n_seeds, n_seeds), right).ok()
    }

    /// Accuracy with its 95 % interval over problems.
    pub(crate) fn accuracy(&self, method: usize, n: usize) -> Option<Interval> {
        let right = self.right((method, n))?;
        paired_t_interval(right.view(), Array2::zeros(right.dim()).view(), LEVEL).ok()
    }

    /// Difference of two accuracies on the same problems, with its 95 % interval.
    pub(crate) fn difference(&self, a: (usize, usize), b: (usize, usize)) -> Option<Interval> {
        paired_t_interval(self.right(a)?.view(), self.right(b)?.view(), LEVEL).ok()
    }

    /// Mean of a cost per problem and seed.
    fn cost(&self, method: usize, n: usize, cost: impl Fn(&Record) -> u64) -> f64 {
        let runs: Vec<&Record> = self.cells.get(&(method, n)).into_iter().flatten().collect();
        runs.iter().map(|run| cost(run) as f64).sum::<f64>() / runs.len().max(1) as f64
    }

    /// Number of texts at which a method first reaches an accuracy, by interpolation in log N.
    fn texts_for(&self, method: usize, ns: &[usize], accuracy: f64) -> Option<String> {
        let points: Vec<(f64, f64)> =
            ns.iter().filter_map(|&n| Some(((n as f64).log2(), self.accuracy(method, n)?.estimate))).collect();
        let (least, most) = (points.first()?, points.last()?);
        if least.1 >= accuracy {
            return Some(format!("<= {:.0}", least.0.exp2()));
        }
        let Some(pair) = points.windows(2).find(|pair| pair[1].1 >= accuracy) else {
            return Some(format!("> {:.0}", most.0.exp2()));
        };
        let share = (accuracy - pair[0].1) / (pair[1].1 - pair[0].1);
        Some(format!("{:.0}", (pair[0].0 + share * (pair[1].0 - pair[0].0)).exp2()))
    }

    /// Accuracy of each method at each number of texts, with 95 % intervals.
    pub(crate) fn accuracy_table(&self, methods: &[String], ns: &[usize]) -> String {
        let mut table = header("accuracy (95 %)", ns.iter().map(|n| format!("N = {n}")));
        for (method, name) in methods.iter().enumerate() {
            let cells = ns.iter().map(|&n| {
                self.accuracy(method, n)
                    .map_or(String::new(), |accuracy| format!("{:.3} ± {:.3}", accuracy.estimate, half_width(&accuracy)))
            });
            row(&mut table, name, cells);
        }
        table
    }

    /// Generations, tokens and reward calls per problem.
    pub(crate) fn cost_table(&self, methods: &[String], ns: &[usize]) -> String {
        let mut table = header("steps / tokens / reward calls", ns.iter().map(|n| format!("N = {n}")));
        for (method, name) in methods.iter().enumerate() {
            let cells = ns.iter().map(|&n| match self.cells.contains_key(&(method, n)) {
                true => {
                    let cost = |cost: fn(&Record) -> u64| self.cost(method, n, cost);
                    format!(
                        "{:.0} / {:.0} / {:.0}",
                        cost(|run| run.generations),
                        cost(|run| run.tokens),
                        cost(|run| run.reward_calls)
                    )
                }
                false => String::new(),
            });
            row(&mut table, name, cells);
        }
        table
    }

    /// The last method's lead over the others at the same number of texts.
    pub(crate) fn lead_table(&self, methods: &[String], reference: usize, ns: &[usize]) -> String {
        let title = format!("{} minus (paired, 95 %)", methods[reference]);
        let mut table = header(&title, ns.iter().map(|n| format!("N = {n}")));
        for (method, name) in methods.iter().enumerate().filter(|(method, _)| *method != reference) {
            let cells: Vec<String> = ns
                .iter()
                .map(|&n| self.difference((reference, n), (method, n)).map_or(String::new(), |lead| signed(&lead)))
                .collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                row(&mut table, name, cells);
            }
        }
        table
    }

    /// How many texts each method needs for the accuracies of the reference.
    pub(crate) fn equal_accuracy_table(&self, methods: &[String], reference: usize, ns: &[usize]) -> String {
        let title = format!("texts for the accuracy of {} at", methods[reference]);
        let mut table = header(&title, ns.iter().map(|n| format!("N = {n}")));
        for (method, name) in methods.iter().enumerate().filter(|(method, _)| *method != reference) {
            let cells = ns.iter().map(|&n| {
                let accuracy = self.accuracy(reference, n);
                accuracy.and_then(|accuracy| self.texts_for(method, ns, accuracy.estimate)).unwrap_or_default()
            });
            row(&mut table, name, cells);
        }
        table
    }
}

/// A difference with half the width of its interval.
pub(crate) fn signed(interval: &Interval) -> String {
    format!("{:+.3} ± {:.3}", interval.estimate, half_width(interval))
}

fn half_width(interval: &Interval) -> f64 {
    (interval.upper - interval.lower) / 2.0
}

fn header(title: &str, columns: impl Iterator<Item = String>) -> String {
    let columns: Vec<String> = columns.collect();
    let mut table = format!("| {title:<34} |");
    for column in &columns {
        let _ = write!(table, " {column:>15} |");
    }
    let _ = write!(table, "\n|{}|", "-".repeat(36));
    for _ in &columns {
        let _ = write!(table, "{}:|", "-".repeat(16));
    }
    table.push('\n');
    table
}

fn row(table: &mut String, name: &str, cells: impl IntoIterator<Item = String>) {
    let _ = write!(table, "| {name:<34} |");
    for cell in cells {
        let _ = write!(table, " {cell:>15} |");
    }
    table.push('\n');
}
