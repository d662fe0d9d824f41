//! Keys and values of texts that a model has read, one row per text, and the batch of tokens that is to be read next.

use super::config::LlamaConfig;
use super::error::LlamaError;
use super::model::Scratch;
use crate::math::vectorised::single::TILE;

/// Tokens to read: for some rows of a cache, what follows there. Rows may get different numbers of tokens.
#[derive(Debug, Clone, Default)]
pub struct TokenBatch {
    pub(super) tokens: Vec<u32>,
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) row: usize,
    /// Where its tokens end in the batch; they start where those of the entry before end.
    pub(super) end: usize,
}

impl TokenBatch {
    /// A batch of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds tokens that follow in a row of the cache.
    pub fn push(&mut self, row: usize, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
        self.entries.push(Entry { row, end: self.tokens.len() });
    }

    /// Removes all entries, and keeps the memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.entries.clear();
    }

    /// Number of entries.
    #[must_use]
    pub fn n_entries(&self) -> usize {
        self.entries.len()
    }

    /// Number of tokens of all entries.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.tokens.len()
    }
}

/// Keys and values of texts, one row per text; rows are of different lengths.
///
/// A token takes `2 n_layers d_model` numbers of 4 bytes. Rows that [`KvCache::gather`] leaves out are kept for later use, so
/// once a cache has been as large as it gets, nothing is allocated.
#[derive(Debug, Clone)]
pub struct KvCache {
    pub(super) config: LlamaConfig,
    pub(super) rows: Vec<Row>,
    spare: Vec<Row>,
    /// Scratch of `gather`.
    gathered: Vec<Row>,
    first_child: Vec<Option<usize>>,
    pub(super) scratch: Scratch,
}

/// Per tile of positions and layer: for each head its keys, one line per component along positions, then for each head its values, one
/// line per position.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) data: Vec<f32>,
    pub(super) len: usize,
}

impl KvCache {
    /// A cache without rows for models of these sizes.
    #[must_use]
    pub fn new(config: &LlamaConfig) -> Self {
        Self {
            config: config.clone(),
            rows: Vec::new(),
            spare: Vec::new(),
            gathered: Vec::new(),
            first_child: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// Number of tokens that a row holds.
    ///
    /// # Errors
    /// [`LlamaError::Row`] if there is no such row.
    pub fn len(&self, row: usize) -> Result<usize, LlamaError> {
        self.rows.get(row).map(|row| row.len).ok_or(LlamaError::Row { row, n_rows: self.rows.len() })
    }

    /// True if there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row without tokens and returns its number.
    pub fn push_row(&mut self) -> usize {
        let row = Row { len: 0, ..self.unused_row() };
        self.rows.push(row);
        self.rows.len() - 1
    }

    /// Forgets what a row holds beyond its first `len` tokens.
    ///
    /// # Errors
    /// [`LlamaError::Row`] if there is no such row.
    pub fn truncate(&mut self, row: usize, len: usize) -> Result<(), LlamaError> {
        self.len(row)?;
        self.rows[row].len = self.rows[row].len.min(len);
        Ok(())
    }

    /// Makes row `to` a copy of the first `len` tokens of row `from`.
    ///
    /// # Errors
    /// [`LlamaError::Row`] if there is no such row.
    pub fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<(), LlamaError> {
        let len = len.min(self.len(from)?);
        self.len(to)?;
        if from == to {
            return self.truncate(to, len);
        }
        let mut target = std::mem::take(&mut self.rows[to]);
        self.rows[from].copy_to(&mut target, &self.config, len);
        self.rows[to] = target;
        Ok(())
    }

    /// Makes row i of the new cache the row `ancestors[i]` of the old one: what resampling does.
    ///
    /// The first child of a row takes it over, further ones get copies: N slots with U different ancestors cost N - U copies.
    ///
    /// # Errors
    /// [`LlamaError::Row`] if an ancestor is no row; the cache is then as before.
    pub fn gather(&mut self, ancestors: &[usize]) -> Result<(), LlamaError> {
        let n_rows = self.rows.len();
        if let Some(&row) = ancestors.iter().find(|&&row| row >= n_rows) {
            return Err(LlamaError::Row { row, n_rows });
        }
        self.first_child.clear();
        self.first_child.resize(n_rows, None);
        for (child, &ancestor) in ancestors.iter().enumerate().rev() {
            self.first_child[ancestor] = Some(child);
        }
        // Rows without children first, so that copies find room.
        for (row, child) in self.rows.iter_mut().zip(&self.first_child) {
            if child.is_none() {
                self.spare.push(std::mem::take(row));
            }
        }
        for (child, &ancestor) in ancestors.iter().enumerate() {
            let row = match self.first_child[ancestor] {
                Some(first) if first < child => {
                    let mut copy = self.unused_row();
                    let first = &self.gathered[first];
                    first.copy_to(&mut copy, &self.config, first.len);
                    copy
                }
                _ => std::mem::take(&mut self.rows[ancestor]),
            };
            self.gathered.push(row);
        }
        std::mem::swap(&mut self.rows, &mut self.gathered);
        self.gathered.clear();
        Ok(())
    }

    fn unused_row(&mut self) -> Row {
        self.spare.pop().unwrap_or_default()
    }
}

/// Numbers from the keys and values of one tile of positions to those of the next.
pub(super) fn tile_size(config: &LlamaConfig) -> usize {
    2 * config.n_layers * config.d_model * TILE
}

impl Row {
    /// Keys and values of a layer's head from the first tile on; tiles are [`tile_size`] apart.
    pub(super) fn head(&self, config: &LlamaConfig, layer: usize, head: usize) -> (&[f32], &[f32]) {
        let of_layer = config.d_model * TILE;
        let keys = 2 * layer * of_layer + head * config.d_head() * TILE;
        (&self.data[keys..], &self.data[keys + of_layer..])
    }

    /// Makes room for this many tokens.
    pub(super) fn reserve(&mut self, config: &LlamaConfig, n_tokens: usize) {
        let size = n_tokens.div_ceil(TILE) * tile_size(config);
        if self.data.len() < size {
            self.data.resize(size, 0.0);
        }
    }

    /// Writes a token's key and value, of all heads side by side.
    pub(super) fn write(&mut self, config: &LlamaConfig, layer: usize, position: usize, key: &[f32], value: &[f32]) {
        let (of_layer, d_head, within) = (config.d_model * TILE, config.d_head(), position % TILE);
        let start = position / TILE * tile_size(config) + 2 * layer * of_layer;
        let (keys, values) = self.data[start..start + 2 * of_layer].split_at_mut(of_layer);
        for (line, key) in keys.as_chunks_mut::<TILE>().0.iter_mut().zip(key) {
            line[within] = *key;
        }
        for (lines, value) in values.chunks_exact_mut(d_head * TILE).zip(value.chunks_exact(d_head)) {
            lines[within * d_head..(within + 1) * d_head].copy_from_slice(value);
        }
    }

    /// Copies the tiles of the first `len` tokens.
    fn copy_to(&self, target: &mut Self, config: &LlamaConfig, len: usize) {
        target.reserve(config, len);
        let size = len.div_ceil(TILE) * tile_size(config);
        target.data[..size].copy_from_slice(&self.data[..size]);
        target.len = len;
    }
}
