//! Keys and values of texts that a model has read, one row per text, and the batch of tokens that is to be read next.

use std::sync::Arc;

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
/// A token takes `2 n_layers d_model` numbers of 4 bytes. Tokens lie in tiles, and rows share the tiles of what their texts have in common:
/// a copy of a row is a copy of handles, and a tile is copied when one of the rows that share it goes on inside it. Tiles that are free
/// are used again, so once a cache has been as large as it gets, nothing is allocated.
#[derive(Debug, Clone)]
pub struct KvCache {
    pub(super) config: LlamaConfig,
    pub(super) rows: Vec<Row>,
    pub(super) free: FreeTiles,
    pub(super) scratch: Scratch,
    /// Rows without tokens, for their memory.
    idle: Vec<Row>,
    gathered: Vec<Row>,
}

/// Some positions of a text. Per layer: for each head its keys, one line per component along positions, then for each head its values, one
/// line per position.
type Tile = Arc<[f32]>;

#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// As many as the tokens need.
    pub(super) tiles: Vec<Tile>,
    pub(super) len: usize,
}

/// Tiles that no row has.
#[derive(Debug, Default)]
pub(super) struct FreeTiles(Vec<Tile>);

impl Clone for FreeTiles {
    /// None of them: they would no longer be free to be written to.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl FreeTiles {
    fn take(&mut self, config: &LlamaConfig) -> Tile {
        self.0.pop().unwrap_or_else(|| vec![0.0; tile_size(config)].into())
    }

    fn give_back(&mut self, tiles: impl Iterator<Item = Tile>) {
        self.0.extend(tiles.filter_map(|mut tile| Arc::get_mut(&mut tile).is_some().then_some(tile)));
    }
}

impl KvCache {
    /// A cache without rows for models of these sizes.
    #[must_use]
    pub fn new(config: &LlamaConfig) -> Self {
        Self {
            config: config.clone(),
            rows: Vec::new(),
            free: FreeTiles::default(),
            scratch: Scratch::default(),
            idle: Vec::new(),
            gathered: Vec::new(),
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
    pub fn row_len(&self, row: usize) -> Result<usize, LlamaError> {
        self.rows.get(row).map(|row| row.len).ok_or(LlamaError::Row { row, n_rows: self.rows.len() })
    }

    /// Adds a row without tokens and returns its number.
    pub fn push_row(&mut self) -> usize {
        self.rows.push(self.idle.pop().unwrap_or_default());
        self.rows.len() - 1
    }

    /// Forgets what a row holds beyond its first `len` tokens.
    ///
    /// # Errors
    /// [`LlamaError::Row`] if there is no such row.
    pub fn truncate(&mut self, row: usize, len: usize) -> Result<(), LlamaError> {
        if len < self.row_len(row)? {
            let row = &mut self.rows[row];
            row.len = len;
            self.free.give_back(row.tiles.drain(len.div_ceil(TILE)..));
        }
        Ok(())
    }

    /// Makes row `to` a copy of the first `len` tokens of row `from`, or of all if it has fewer.
    ///
    /// # Errors
    /// [`LlamaError::Row`] if there is no such row.
    pub fn copy_row(&mut self, from: usize, to: usize, len: usize) -> Result<(), LlamaError> {
        let len = len.min(self.row_len(from)?);
        if from == to {
            return self.truncate(to, len);
        }
        self.truncate(to, 0)?;
        let mut target = std::mem::take(&mut self.rows[to]);
        target.tiles.extend(self.rows[from].tiles[..len.div_ceil(TILE)].iter().cloned());
        target.len = len;
        self.rows[to] = target;
        Ok(())
    }

    /// Makes row i of the new cache the row `ancestors[i]` of the old one: what resampling does. It costs O(1) per row and tile, whatever
    /// the size of the model.
    ///
    /// # Errors
    /// [`LlamaError::Row`] if an ancestor is no row; the cache is then as before.
    pub fn gather(&mut self, ancestors: &[usize]) -> Result<(), LlamaError> {
        for &ancestor in ancestors {
            self.row_len(ancestor)?;
        }
        for &ancestor in ancestors {
            let mut row = self.idle.pop().unwrap_or_default();
            row.tiles.extend(self.rows[ancestor].tiles.iter().cloned());
            row.len = self.rows[ancestor].len;
            self.gathered.push(row);
        }
        std::mem::swap(&mut self.rows, &mut self.gathered);
        for mut row in self.gathered.drain(..) {
            self.free.give_back(row.tiles.drain(..));
            row.len = 0;
            self.idle.push(row);
        }
        Ok(())
    }
}

/// Numbers in a tile.
fn tile_size(config: &LlamaConfig) -> usize {
    2 * config.n_layers * config.d_model * TILE
}

/// Where a layer's head has its keys and its values in a tile.
pub(super) fn head_at(config: &LlamaConfig, layer: usize, head: usize) -> (usize, usize) {
    let of_layer = config.d_model * TILE;
    let keys = 2 * layer * of_layer + head * config.d_head() * TILE;
    (keys, keys + of_layer)
}

impl Row {
    /// Makes room for tokens after those that the row holds, in tiles of its own.
    pub(super) fn reserve(&mut self, config: &LlamaConfig, n_tokens: usize, free: &mut FreeTiles) {
        if n_tokens > 0
            && let Some(shared) = self.tiles.get_mut(self.len / TILE).filter(|tile| Arc::strong_count(tile) > 1)
        {
            let mut own = free.take(config);
            if let Some(own) = Arc::get_mut(&mut own) {
                own.copy_from_slice(shared);
            }
            *shared = own;
        }
        while self.tiles.len() * TILE < self.len + n_tokens {
            self.tiles.push(free.take(config));
        }
    }

    /// Writes a token's key and value, of all heads side by side, to where there is room.
    pub(super) fn write(&mut self, config: &LlamaConfig, layer: usize, position: usize, key: &[f32], value: &[f32]) {
        let (of_layer, d_head, within) = (config.d_model * TILE, config.d_head(), position % TILE);
        let Some(tile) = Arc::get_mut(&mut self.tiles[position / TILE]) else { unreachable!("room was made for the token") };
        let (keys, values) = tile[2 * layer * of_layer..2 * (layer + 1) * of_layer].split_at_mut(of_layer);
        for (line, key) in keys.as_chunks_mut::<TILE>().0.iter_mut().zip(key) {
            line[within] = *key;
        }
        for (lines, value) in values.chunks_exact_mut(d_head * TILE).zip(value.chunks_exact(d_head)) {
            lines[within * d_head..(within + 1) * d_head].copy_from_slice(value);
        }
    }
}
