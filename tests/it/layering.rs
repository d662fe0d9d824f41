//! The folders of `src/` stand on floors, and arrows between them go down a floor, or sideways without a circle.
//!
//! An arrow is a path that starts at the crate's root: `use crate::math::...`, an inline `crate::math::f()`, an entry of
//! `use crate::{...}`, or enough `super::` to reach the root. Items under `#[cfg(test)]` and `#[cfg(doc)]` do not count, nor do the root
//! `lib.rs` and `prelude.rs`, which may name everything. Names that `lib.rs` re-exports count as the folder they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

/// Where a folder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Floor {
    Number(u8),
    /// Used by floors 4 and 5; may itself use floors 0 to 2 and its neighbours.
    Beside,
}

fn floor(folder: &str) -> Option<Floor> {
    Some(match folder {
        "error" | "math" | "linalg" | "rng" | "parallel" | "autodiff" => Floor::Number(0),
        "distributions" | "transforms" => Floor::Number(1),
        "model" => Floor::Number(2),
        "weights" | "kernels" | "adaptation" | "step_rules" => Floor::Number(3),
        "mcmc" | "smc" | "vi" | "parvi" => Floor::Number(4),
        "reasoning" => Floor::Number(5),
        "draws" | "diagnostics" | "plot" => Floor::Beside,
        _ => return None,
    })
}

fn may_use(from: Floor, to: Floor) -> bool {
    match (from, to) {
        (Floor::Number(from), Floor::Number(to)) => to <= from,
        (Floor::Number(from), Floor::Beside) => from >= 4,
        (Floor::Beside, Floor::Number(to)) => to <= 2,
        (Floor::Beside, Floor::Beside) => true,
    }
}

/// One use of a folder by another one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrow {
    from: String,
    to: String,
    /// `path:line`
    at: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Violation {
    Upward(Arrow),
    /// Folders of one floor that use each other in a ring; the first one is repeated at the end.
    Circle(Vec<String>),
    /// A folder or a name at the root that the table of floors does not know.
    Unknown {
        name: String,
        at: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upward(Arrow { from, to, at }) => write!(f, "{at}: `{from}` must not use `{to}`, which stands higher"),
            Self::Circle(ring) => write!(f, "circle on one floor: {}", ring.join(" -> ")),
            Self::Unknown { name, at } => write!(f, "{at}: `{name}` has no floor: add it to the table in tests/it/layering.rs"),
        }
    }
}

/// Violations among source files, given as (path below `src/`, text); and the number of arrows seen.
fn check(sources: &[(String, String)]) -> (Vec<Violation>, usize) {
    let parsed: Vec<(&str, Parsed)> = sources.iter().map(|(path, text)| (path.as_str(), parse(path, text))).collect();
    let exported: BTreeMap<&str, &str> = parsed
        .iter()
        .filter(|(path, _)| *path == "lib.rs")
        .flat_map(|(_, parsed)| &parsed.exports)
        .map(|(name, folder)| (name.as_str(), folder.as_str()))
        .collect();
    let test_modules: BTreeSet<&[String]> =
        parsed.iter().flat_map(|(_, parsed)| &parsed.test_modules).map(Vec::as_slice).collect();

    let mut violations = Vec::new();
    let mut arrows = Vec::new();
    for (path, parsed) in &parsed {
        let module = module_path(path);
        let is_test = (1..=module.len()).any(|n| test_modules.contains(&module[..n]));
        let Some(from) = module.first().filter(|name| *name != "prelude" && !is_test) else { continue };
        if floor(from).is_none() {
            violations.push(Violation::Unknown { name: from.clone(), at: (*path).to_owned() });
            continue;
        }
        for (name, line) in &parsed.names {
            let at = format!("{path}:{line}");
            let to = exported.get(name.as_str()).map_or(name.as_str(), |&folder| folder);
            if floor(to).is_none() {
                violations.push(Violation::Unknown { name: to.to_owned(), at });
            } else if from != to {
                arrows.push(Arrow { from: from.clone(), to: to.to_owned(), at });
            }
        }
    }
    let n_arrows = arrows.len();
    let (good, upward): (Vec<Arrow>, Vec<Arrow>) = arrows
        .into_iter()
        .partition(|arrow| floor(&arrow.from).zip(floor(&arrow.to)).is_some_and(|(from, to)| may_use(from, to)));
    violations.extend(upward.into_iter().map(Violation::Upward));
    violations.extend(circle(&good).map(Violation::Circle));
    (violations, n_arrows)
}

/// A ring among the arrows between folders of one floor.
fn circle(arrows: &[Arrow]) -> Option<Vec<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for arrow in arrows.iter().filter(|arrow| floor(&arrow.from) == floor(&arrow.to)) {
        next.entry(&arrow.from).or_default().insert(&arrow.to);
    }
    next.keys().find_map(|&start| {
        // Depth-first search for a way back to `start`; folders are few.
        let mut ways = vec![vec![start]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for &to in way.last().and_then(|last| next.get(last)).into_iter().flatten() {
                if to == start {
                    return Some(way.iter().chain([&to]).map(|&name| name.to_owned()).collect());
                }
                if seen.insert(to) {
                    ways.push(way.iter().copied().chain([to]).collect());
                }
            }
        }
        None
    })
}

/// `model/zoo/hmm.rs` is the module `model::zoo::hmm`; `model/mod.rs` is `model`; `lib.rs` is the root.
fn module_path(path: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
    if stem == "lib" { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}

/// What a file says about other modules.
#[derive(Debug, Default)]
struct Parsed {
    /// Names at the crate's root that are used, with the line.
    names: Vec<(String, usize)>,
    /// Modules declared as `#[cfg(test)] mod name;`.
    test_modules: Vec<Vec<String>>,
    /// `pub use folder::{Name}` as (name, folder), of interest in `lib.rs`.
    exports: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Mark(char),
}

struct Tokens(Vec<(Token, usize)>);

impl Tokens {
    fn word(&self, i: usize) -> Option<&str> {
        match self.0.get(i) {
            Some((Token::Word(word), _)) => Some(word),
            _ => None,
        }
    }

    fn mark(&self, i: usize) -> Option<char> {
        match self.0.get(i) {
            Some((Token::Mark(mark), _)) => Some(*mark),
            _ => None,
        }
    }

    fn path_separator(&self, i: usize) -> bool {
        self.mark(i) == Some(':') && self.mark(i + 1) == Some(':')
    }

    /// The first name of each path from `i` on: one, or as many as the group `{...}` there has.
    fn first_names(&self, i: usize) -> Vec<(String, usize)> {
        let name = |i: usize| match &self.0.get(i)?.0 {
            Token::Word(word) => Some((word.clone(), self.0[i].1)),
            Token::Mark('*') => Some(("*".to_owned(), self.0[i].1)),
            Token::Mark(_) => None,
        };
        if self.mark(i) != Some('{') {
            return name(i).into_iter().collect();
        }
        let end = self.end_of_group(i);
        let mut depth = 0;
        let mut names = Vec::new();
        for j in i..end {
            match self.mark(j) {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                _ => {}
            }
            if depth == 1 && matches!(self.mark(j), Some('{' | ',')) {
                names.extend(name(j + 1));
            }
        }
        names
    }

    /// The position after the bracket that closes the one at `i`.
    fn end_of_group(&self, i: usize) -> usize {
        let mut depth = 0;
        for j in i..self.0.len() {
            match self.mark(j) {
                Some('(' | '[' | '{') => depth += 1,
                Some(')' | ']' | '}') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return j + 1;
            }
        }
        self.0.len()
    }

    /// Whether an attribute at `i` hides what follows from an ordinary build.
    fn hides(&self, i: usize) -> bool {
        let hidden = |i| matches!(self.word(i), Some("test" | "doc"));
        self.word(i) == Some("cfg")
            && self.mark(i + 1) == Some('(')
            && (hidden(i + 2) && self.mark(i + 3) == Some(')')
                || self.word(i + 2) == Some("all") && self.mark(i + 3) == Some('(') && hidden(i + 4))
    }

    /// The position after the item, field, arm or statement that starts at `i`.
    fn end_of_item(&self, mut i: usize) -> usize {
        while self.mark(i) == Some('#') {
            i = self.end_of_group(i + 1);
        }
        let mut first = i;
        if self.word(first) == Some("pub") {
            first += 1;
            if self.mark(first) == Some('(') {
                first = self.end_of_group(first);
            }
        }
        const ITEMS: [&str; 15] = [
            "mod",
            "use",
            "fn",
            "impl",
            "struct",
            "enum",
            "const",
            "static",
            "type",
            "trait",
            "unsafe",
            "async",
            "extern",
            "let",
            "macro_rules",
        ];
        let is_item = self.word(first).is_some_and(|word| ITEMS.contains(&word));
        while i < self.0.len() {
            match self.mark(i) {
                Some(';') => return i + 1,
                Some(',') if !is_item => return i + 1,
                Some('}' | ')' | ']') => return i,
                Some('{') => {
                    let end = self.end_of_group(i);
                    return if self.mark(end) == Some(';') { end + 1 } else { end };
                }
                Some('(' | '[') => i = self.end_of_group(i),
                _ => i += 1,
            }
        }
        i
    }
}

fn parse(path: &str, text: &str) -> Parsed {
    let tokens = Tokens(tokenise(text));
    let module = module_path(path);
    let mut parsed = Parsed::default();
    // Modules written inline, with the depth of braces outside each.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut i = 0;
    while i < tokens.0.len() {
        if tokens.mark(i) == Some('#') {
            if tokens.mark(i + 1) == Some('!') && tokens.hides(i + 3) {
                return Parsed::default();
            }
            if tokens.mark(i + 1) == Some('[') && tokens.hides(i + 2) {
                let start = tokens.end_of_group(i + 1);
                let end = tokens.end_of_item(start);
                for j in start..end {
                    if tokens.word(j) == Some("mod") && tokens.mark(j + 2) == Some(';') {
                        let name = tokens.word(j + 1).map(str::to_owned);
                        parsed.test_modules.push(module.iter().cloned().chain(name).collect());
                    }
                }
                i = end;
                continue;
            }
        }
        match &tokens.0[i].0 {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                if inline.last().is_some_and(|(_, outside)| *outside == depth) {
                    inline.pop();
                }
            }
            Token::Word(word) if word == "mod" && tokens.mark(i + 2) == Some('{') => {
                inline.extend(tokens.word(i + 1).map(|name| (name.to_owned(), depth)));
            }
            Token::Word(word) if word == "crate" && tokens.path_separator(i + 1) => {
                parsed.names.extend(tokens.first_names(i + 3));
            }
            Token::Word(word) if word == "super" && tokens.path_separator(i + 1) => {
                let mut up = 1;
                while tokens.word(i + 3) == Some("super") && tokens.path_separator(i + 4) {
                    up += 1;
                    i += 3;
                }
                if up == module.len() + inline.len() {
                    // The argument of a macro may land in a module that the macro opens, one level further down than it looks: what
                    // has no floor is then a neighbour in the same folder.
                    let names = tokens.first_names(i + 3);
                    parsed.names.extend(names.into_iter().filter(|(name, _)| floor(name).is_some()));
                }
            }
            Token::Word(word) if word == "use" && tokens.path_separator(i + 2) => {
                if let Some(folder) = tokens.word(i + 1) {
                    let names = tokens.first_names(i + 4).into_iter().map(|(name, _)| (name, folder.to_owned()));
                    parsed.exports.extend(names);
                }
            }
            _ => {}
        }
        i += 1;
    }
    parsed
}

/// Words and marks with their lines; comments and literals are left out.
fn tokenise(text: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            '"' => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            'r' if at(i + 1) == '"' || at(i + 1) == '#' && matches!(at(i + 2), '"' | '#') => {
                i += 1;
                let hashes = chars[i..].iter().take_while(|&&c| c == '#').count();
                i += hashes + 1;
                while i < chars.len() && !(at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#')) {
                    i += 1;
                }
                i += hashes + 1;
            }
            c if c.is_alphanumeric() || c == '_' => {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                // `br"..."` and `cr"..."` end in the `r` of a raw string.
                if matches!(at(i), '"' | '#') && chars[start..i].ends_with(&['r']) && i - start == 2 {
                    i -= 1;
                }
                tokens.push((Token::Word(chars[start..i].iter().collect()), line));
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    tokens.push((Token::Mark(c), line));
                }
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

fn read_sources(root: &Path, folder: &Path, out: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(folder).expect("src/ can be read");
    for entry in entries.map(|entry| entry.expect("src/ can be listed").path()) {
        if entry.is_dir() {
            read_sources(root, &entry, out);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let below = entry.strip_prefix(root).expect("below src/").to_string_lossy().replace('\\', "/");
            out.push((below, fs::read_to_string(&entry).expect("a source file can be read")));
        }
    }
}

#[test]
fn arrows_go_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read_sources(&root, &root, &mut sources);
    let (violations, n_arrows) = check(&sources);
    let report: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(report.is_empty(), "{}", report.join("\n"));
    // The crate has dozens of them: a checker that reads nothing does not pass.
    assert!(sources.len() > 30 && n_arrows > 30, "{} files, {n_arrows} arrows", sources.len());
}

fn check_planted(sources: &[(&str, &str)]) -> Vec<Violation> {
    let sources: Vec<_> = sources.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect();
    check(&sources).0
}

fn upward(from: &str, to: &str, at: &str) -> Violation {
    Violation::Upward(Arrow { from: from.to_owned(), to: to.to_owned(), at: at.to_owned() })
}

#[test]
fn planted_upward_arrows_are_found_in_every_spelling() {
    for (path, text, expected) in [
        ("math/sums.rs", "\nuse crate::model::Model;", upward("math", "model", "math/sums.rs:2")),
        ("rng/mod.rs", "fn f() { crate::kernels::step() }", upward("rng", "kernels", "rng/mod.rs:1")),
        ("model/a.rs", "use crate::{\n    error::{Error, X},\n    mcmc::Run,\n};", upward("model", "mcmc", "model/a.rs:3")),
        ("linalg/a/b.rs", "use super::super::super::vi::{self};", upward("linalg", "vi", "linalg/a/b.rs:1")),
        ("parallel.rs", "use super::{error, smc};", upward("parallel", "smc", "parallel.rs:1")),
        ("math/mod.rs", "mod inner { use super::super::model::X; }", upward("math", "model", "math/mod.rs:1")),
        ("model/b.rs", "use crate::draws::Draws;", upward("model", "draws", "model/b.rs:1")),
        ("kernels/b.rs", "use crate :: diagnostics :: ess;", upward("kernels", "diagnostics", "kernels/b.rs:1")),
        ("draws/b.rs", "fn f(k: &dyn crate::kernels::Kernel) {}", upward("draws", "kernels", "draws/b.rs:1")),
        ("error.rs", "pub type R<T> = Result<T, crate::model::X>;", upward("error", "model", "error.rs:1")),
        // What follows a test item, a string or a lifetime is seen.
        ("math/c.rs", "#[cfg(test)]\nuse crate::model::A;\nuse crate::mcmc::B;", upward("math", "mcmc", "math/c.rs:3")),
        ("math/d.rs", "struct S { #[cfg(test)] fault: u8, x: crate::model::X }", upward("math", "model", "math/d.rs:1")),
        ("math/e.rs", "const S: &str = \"// \\\"\"; use crate::model::X;", upward("math", "model", "math/e.rs:1")),
        (
            "math/f.rs",
            "fn f<'a>(c: char) -> bool { c == '\"' && crate::model::g('\\'') }",
            upward("math", "model", "math/f.rs:1"),
        ),
        ("math/g.rs", "const S: &str = r#\"a \" b\"#;\nuse crate::model::X;", upward("math", "model", "math/g.rs:2")),
    ] {
        assert_eq!(check_planted(&[(path, text)]), [expected], "{text}");
    }
}

#[test]
fn a_re_export_at_the_root_counts_as_its_folder() {
    let root = ("lib.rs", "pub mod model;\npub use model::{Model, Space};\npub use mcmc::Run;");
    assert_eq!(check_planted(&[root, ("math/a.rs", "use crate::Run;")]), [upward("math", "mcmc", "math/a.rs:1")]);
    assert_eq!(check_planted(&[root, ("kernels/a.rs", "use crate::{Space};")]), []);
}

#[test]
fn planted_circles_are_found() {
    let ring = |names: &[&str]| vec![Violation::Circle(names.iter().map(|&name| name.to_owned()).collect())];
    let two = [("math/a.rs", "use crate::linalg::f;"), ("linalg/mod.rs", "use crate::math::g;")];
    assert_eq!(check_planted(&two), ring(&["linalg", "math", "linalg"]));
    let three = [
        ("kernels/a.rs", "use crate::adaptation::f;"),
        ("adaptation/a.rs", "use crate::weights::f;"),
        ("weights/a.rs", "use crate::kernels::f;"),
    ];
    assert_eq!(check_planted(&three), ring(&["adaptation", "weights", "kernels", "adaptation"]));
    assert_eq!(check_planted(&three[..2]), []);
    let beside = [("draws/a.rs", "use crate::diagnostics::f;"), ("diagnostics/a.rs", "use crate::draws::f;")];
    assert_eq!(check_planted(&beside), ring(&["diagnostics", "draws", "diagnostics"]));
}

#[test]
fn unknown_folders_and_globs_of_the_root_are_reported() {
    let unknown = |name: &str, at: &str| vec![Violation::Unknown { name: name.to_owned(), at: at.to_owned() }];
    assert_eq!(check_planted(&[("helpers/mod.rs", "")]), unknown("helpers", "helpers/mod.rs"));
    assert_eq!(check_planted(&[("math/a.rs", "use crate::utils::f;")]), unknown("utils", "math/a.rs:1"));
    assert_eq!(check_planted(&[("math/a.rs", "use crate::*;")]), unknown("*", "math/a.rs:1"));
    assert_eq!(check_planted(&[("model/a.rs", "use crate::prelude::X;")]), unknown("prelude", "model/a.rs:1"));
}

#[test]
fn what_is_allowed_passes() {
    let allowed = [
        ("lib.rs", "pub mod mcmc;\npub use mcmc::Run;"),
        ("prelude.rs", "pub use crate::mcmc::Run;\npub use crate::model::Model;"),
        ("mcmc/mod.rs", "use crate::{draws::Draws, kernels::Nuts, model::Target};\nuse crate::smc::Engine;"),
        ("diagnostics/a.rs", "use crate::draws::Draws;\nuse crate::model::Variable;"),
        ("model/zoo/mod.rs", "use super::super::distributions::X; use super::Model; pub(crate) fn f() {}"),
        ("math/a.rs", "// use crate::model::X;\n/* crate::mcmc::Y /* crate::vi::Z */ */\nconst S: &str = \"crate::model::X\";"),
        ("math/b.rs", "/// [`crate::model::Model`]\n#[cfg(doc)]\nuse crate::model::Model;"),
        ("math/c.rs", "#[cfg(test)]\nmod tests { use crate::model::X; mod deeper { use crate::mcmc::Y; } }"),
        ("math/d.rs", "#[cfg(test)]\nmod checks;\n#[cfg(all(test, feature = \"x\"))]\nfn f<A, B>() { crate::vi::g() }"),
        ("math/d/checks.rs", "use crate::model::X;"),
        ("math/e.rs", "#![cfg(test)]\nuse crate::model::X;"),
        ("math/g.rs", "dispatched! { fn f() { super::super::blocks::g() } }"),
        ("math/f.rs", "fn f() { #[cfg(test)]\nlet x: M<A, B> = crate::model::g(); }"),
    ];
    assert_eq!(check_planted(&allowed), []);
}
