//! The rows of a key-value cache by the prefixes they hold.

use std::collections::HashMap;

use super::cache::KvCache;
use super::error::LlamaError;
use super::model::Llama;
use super::tokenizer::CharTokenizer;
use crate::reasoning::prefix::{Prefix, PrefixKey};

/// Rows that hold prefixes and what was written after them. A prefix stays known as long as a row begins with it: when its first child
/// extends the row in place, further children copy the part that they share.
#[derive(Debug)]
pub(super) struct PrefixRows {
    pub(super) cache: KvCache,
    rows: Vec<TextRow>,
    free: Vec<usize>,
    places: HashMap<PrefixKey, Place>,
    call: u64,
    /// Rows are freed when they were not used in this many calls before the current one.
    kept_calls: u64,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    row: usize,
    /// Number of the prefix's tokens, the mark at the start included.
    n_tokens: usize,
}

#[derive(Debug, Default)]
struct TextRow {
    /// All tokens of the text. The cache may lack the last ones.
    tokens: Vec<u32>,
    keys: Vec<PrefixKey>,
    last_call: u64,
    /// A text of the current call goes on here.
    claimed: bool,
}

/// A prefix in a row of its own, ready to be read to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) row: usize,
    /// Tokens that the cache holds already: all but one of them, or fewer.
    pub(super) n_cached: usize,
    pub(super) n_tokens: usize,
    /// Tokens of the prefix that no row held.
    pub(super) n_new: usize,
}

impl PrefixRows {
    pub(super) fn new(model: &Llama, kept_calls: u64) -> Self {
        Self { cache: model.new_cache(), rows: Vec::new(), free: Vec::new(), places: HashMap::new(), call: 0, kept_calls }
    }

    pub(super) fn set_kept_calls(&mut self, kept_calls: u64) {
        self.kept_calls = kept_calls;
    }

    pub(super) fn n_rows(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// Starts a call: frees the rows that were not used lately.
    pub(super) fn begin(&mut self) {
        self.call += 1;
        let least = self.call.saturating_sub(self.kept_calls);
        for row in 0..self.rows.len() {
            self.rows[row].claimed = false;
            if self.rows[row].last_call < least && !self.rows[row].tokens.is_empty() {
                self.release(row);
            }
        }
    }

    /// Frees a row.
    pub(super) fn release(&mut self, row: usize) {
        let text = &mut self.rows[row];
        text.tokens.clear();
        // Its tiles are no longer shared, so that other rows need not copy them.
        self.cache.truncate(row, 0).unwrap_or_default();
        for key in text.keys.drain(..) {
            if self.places.get(&key).is_some_and(|place| place.row == row) {
                self.places.remove(&key);
            }
        }
        self.free.push(row);
    }

    /// A row that begins as the first `n_tokens` tokens of another one, as far as the cache holds them.
    pub(super) fn fork(&mut self, row: usize, n_tokens: usize) -> Result<usize, LlamaError> {
        let child = self.empty();
        self.cache.copy_row(row, child, n_tokens)?;
        let tokens = std::mem::take(&mut self.rows[row].tokens);
        self.rows[child].tokens.extend_from_slice(&tokens[..n_tokens]);
        self.rows[row].tokens = tokens;
        Ok(child)
    }

    /// Finds or makes a row for a prefix. With `alone`, the row belongs to nobody else; otherwise it may be one that ended with the prefix
    /// or a part of it.
    pub(super) fn place(
        &mut self,
        prefix: &Prefix,
        tokenizer: &CharTokenizer,
        bos: u32,
        alone: bool,
    ) -> Result<Placed, LlamaError> {
        let known = prefix.lineage().find_map(|part| Some((part, *self.places.get(&part.key())?)));
        // Before anything is changed: the text may have no tokens.
        let mut rest = Vec::new();
        match known {
            Some((part, _)) => {
                for step in &prefix.steps()[part.n_steps()..] {
                    tokenizer.encode_to(&step.text, &mut rest)?;
                }
            }
            None => {
                rest.push(bos);
                tokenizer.encode_to(&prefix.text(), &mut rest)?;
            }
        }
        let shared = known.map_or(0, |(_, place)| place.n_tokens);
        let (needed, limit) = (shared + rest.len(), self.cache.config.max_positions);
        if needed > limit {
            return Err(LlamaError::ContextFull { needed, limit });
        }
        let row = match known {
            Some((_, Place { row, .. })) => {
                self.rows[row].last_call = self.call;
                let ends_here = self.rows[row].tokens.len() == shared;
                if !alone && ends_here && !self.rows[row].claimed { row } else { self.fork(row, shared)? }
            }
            None => self.empty(),
        };
        let text = &mut self.rows[row];
        text.claimed = true;
        text.tokens.extend_from_slice(&rest);
        // The last token has to be read again for what follows it.
        let n_cached = self.cache.row_len(row)?.min(needed - 1);
        self.cache.truncate(row, n_cached)?;
        Ok(Placed { row, n_cached, n_tokens: needed, n_new: rest.len() })
    }

    fn empty(&mut self) -> usize {
        let row = self.free.pop().unwrap_or_else(|| {
            self.rows.push(TextRow::default());
            self.cache.push_row()
        });
        self.rows[row].last_call = self.call;
        self.rows[row].claimed = true;
        row
    }

    /// Says that a row begins with a prefix of this many tokens.
    pub(super) fn name(&mut self, key: PrefixKey, row: usize, n_tokens: usize) {
        let before = self.places.insert(key, Place { row, n_tokens });
        if before.is_none_or(|place| place.row != row) {
            self.rows[row].keys.push(key);
        }
    }

    /// The tokens of a row.
    pub(super) fn tokens(&self, row: usize) -> &[u32] {
        &self.rows[row].tokens
    }

    /// Adds tokens at the end of a row's text; the cache gets them by a forward pass.
    pub(super) fn append(&mut self, row: usize, tokens: &[u32]) {
        self.rows[row].tokens.extend_from_slice(tokens);
    }
}
