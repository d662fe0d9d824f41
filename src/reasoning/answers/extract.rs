//! Where answers stand in a text.

use std::fmt;
use std::sync::Arc;

use super::Extractor;

/// A way to find the answer in a text.
#[derive(Clone)]
pub enum Extract {
    /// The content of the last `\boxed{}` whose braces are balanced.
    Boxed,
    /// The last number: digits with or without a sign, commas between thousands, a fraction after `.` or `/`, an exponent.
    LastNumber,
    /// A capital letter from A on: the last one after the word "answer"; without that word the last one in brackets, and without brackets the
    /// last one that stands alone.
    Choice {
        /// Number of choices, 1 to 26.
        n_choices: u8,
    },
    /// The last line that is not empty.
    LastLine,
    /// What a closure finds.
    Custom(Arc<Extractor>),
}

impl Extract {
    /// The answer in a text; `None` if there is none.
    #[must_use]
    pub fn extract(&self, text: &str) -> Option<String> {
        match self {
            Self::Boxed => last_boxed(text).map(str::to_owned),
            Self::LastNumber => last_number(text).map(str::to_owned),
            Self::Choice { n_choices } => choice(text, *n_choices).map(String::from),
            Self::LastLine => text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned),
            Self::Custom(extract) => extract(text),
        }
    }
}

impl fmt::Debug for Extract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boxed => f.write_str("Boxed"),
            Self::LastNumber => f.write_str("LastNumber"),
            Self::Choice { n_choices } => f.debug_struct("Choice").field("n_choices", n_choices).finish(),
            Self::LastLine => f.write_str("LastLine"),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

fn last_boxed(text: &str) -> Option<&str> {
    const COMMAND: &str = "\\boxed";
    text.rmatch_indices(COMMAND).find_map(|(at, _)| {
        let rest = text[at + COMMAND.len()..].trim_start();
        rest.starts_with('{').then(|| braced(rest)).flatten().map(|(content, _)| content.trim())
    })
}

/// Splits a text that starts with `{` into what stands in these braces and what follows; `None` if they do not close.
pub(super) fn braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some((&text[1..at], &text[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

fn last_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let (mut at, mut last) = (0, None);
    while at < bytes.len() {
        match number_at(bytes, at) {
            Some(end) => {
                last = Some(at..end);
                at = end;
            }
            None => at += 1,
        }
    }
    last.map(|range| &text[range])
}

/// The end of a number that starts here.
fn number_at(bytes: &[u8], start: usize) -> Option<usize> {
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is = |at: usize, wanted: u8| bytes.get(at) == Some(&wanted);
    let sign = ["-", "−"].into_iter().map(str::as_bytes).find(|sign| bytes[start..].starts_with(sign)).map_or(0, <[u8]>::len);
    let first = start + sign;
    if sign == 0 && start > 0 && is_part_of_word(bytes[start - 1]) {
        return None;
    }
    if sign > 0 && is_minus(&bytes[..start]) {
        return None;
    }
    let mut end = digits(first);
    while end > first && is(end, b',') && digits(end + 1) == end + 4 {
        end += 4;
    }
    if is(end, b'.') && digits(end + 1) > end + 1 {
        end = digits(end + 1);
    }
    if end == first {
        return None;
    }
    if is(end, b'/') && digits(end + 1) > end + 1 {
        return Some(digits(end + 1));
    }
    if is(end, b'e') || is(end, b'E') {
        let exponent = end + 1 + usize::from(is(end + 1, b'-') || is(end + 1, b'+'));
        if exponent <= bytes.len() && digits(exponent) > exponent {
            end = digits(exponent);
        }
    }
    Some(end)
}

/// True if a dash after this text takes something away from it: right after a word, or after a number or a bracket.
fn is_minus(before: &[u8]) -> bool {
    let is_joined = before.last().is_some_and(u8::is_ascii_alphanumeric);
    is_joined
        || before
            .iter()
            .rfind(|byte| !byte.is_ascii_whitespace())
            .is_some_and(|byte| byte.is_ascii_digit() || b")]}".contains(byte))
}

fn is_part_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn choice(text: &str, n_choices: u8) -> Option<char> {
    let last = b'A'.checked_add(n_choices.clamp(1, 26) - 1)?;
    let alone = |range: &str| -> Vec<(bool, char)> {
        let chars: Vec<char> = range.chars().collect();
        let is_word = |i: Option<usize>| i.and_then(|i| chars.get(i)).is_some_and(|c| c.is_alphanumeric() || *c == '\'');
        let is_choice = |c: char| ('A'..=char::from(last)).contains(&c);
        (0..chars.len())
            .filter(|&i| is_choice(chars[i]) && !is_word(i.checked_sub(1)) && !is_word(Some(i + 1)))
            .map(|i| (i > 0 && "({[".contains(chars[i - 1]) && chars.get(i + 1).is_some_and(|c| ")}]".contains(*c)), chars[i]))
            .collect()
    };
    // ASCII only, so that places in it are places in the text.
    let lower = text.to_ascii_lowercase();
    let pick = |found: &[(bool, char)]| found.iter().rfind(|(is_bracketed, _)| *is_bracketed).or(found.last()).map(|(_, c)| *c);
    let after = lower.rmatch_indices("answer").find_map(|(at, word)| pick(&alone(&text[at + word.len()..])));
    after.or_else(|| pick(&alone(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_whole() {
        for (text, number) in [
            ("it is 42.", Some("42")),
            ("5-3", Some("3")),
            ("x = -3", Some("-3")),
            ("the answer is -2.5", Some("-2.5")),
            ("x−4", Some("4")),
            ("so −4", Some("−4")),
            ("7 - 5", Some("5")),
            ("costs $1,234.50, then", Some("1,234.50")),
            ("a list 1,2,3", Some("3")),
            ("3/4 of it", Some("3/4")),
            ("1.5e-3 m", Some("1.5e-3")),
            ("x2 and y_3", None),
            ("A12", None),
            ("3 of x25", Some("3")),
            ("-", None),
            ("½ no", None),
        ] {
            assert_eq!(last_number(text), number, "{text}");
        }
    }

    #[test]
    fn boxes_are_balanced_and_letters_stand_alone() {
        assert_eq!(last_boxed(r"\boxed{\{1,2\}} and \boxed{3"), Some(r"\{1,2\}"));
        assert_eq!(last_boxed(r"\boxed {x^{2}}"), Some("x^{2}"));
        assert_eq!(last_boxed("none"), None);
        for (text, letter) in [
            ("The answer is B, not A nor C", Some('C')),
            ("The answer is (B). A pity.", Some('B')),
            ("(A) is out, so (D)", Some('D')),
            ("(A) is out, so (E)", Some('A')),
            ("B", Some('B')),
            ("Answer:\nC", Some('C')),
            ("Banana", None),
        ] {
            assert_eq!(choice(text, 4), letter, "{text}");
        }
    }
}
