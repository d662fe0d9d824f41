//! A cloud as a struct of arrays.

use super::Population;

/// Particles of D numbers each, column by column: loops over one coordinate of all particles read memory in a row, and vectorise.
///
/// Give columns names by constants. Every column has one value per slot; a step allocates nothing after the first ones.
///
/// ```
/// use posterity::smc::populations::{Columns, Population};
/// const POSITION: usize = 0;
/// const SPEED: usize = 1;
/// let mut parents = Columns::<2>::default();
/// parents.resize(3);
/// parents.column_mut(POSITION).copy_from_slice(&[0.0, 1.0, 2.0]);
/// parents.column_mut(SPEED).fill(0.5);
///
/// let mut children = Columns::default();
/// children.resize(3);
/// children.gather(&parents, &[0, 2, 2], 1);
/// let [position, speed] = children.columns_mut();
/// for (p, v) in position.iter_mut().zip(speed) {
///     *p += *v;
/// }
/// assert_eq!(children.column(POSITION), [0.5, 2.5, 2.5]);
/// assert_eq!(children.row(1), [2.5, 0.5]);
/// ```
#[derive(Debug, PartialEq)]
pub struct Columns<const D: usize> {
    columns: [Vec<f64>; D],
    n: usize,
}

impl<const D: usize> Columns<D> {
    /// One column, a value per slot.
    ///
    /// # Panics
    /// If there is no such column, as indexing an array does.
    #[must_use]
    pub fn column(&self, column: usize) -> &[f64] {
        &self.columns[column]
    }

    /// One column, to be written.
    ///
    /// # Panics
    /// If there is no such column, as indexing an array does.
    pub fn column_mut(&mut self, column: usize) -> &mut [f64] {
        &mut self.columns[column]
    }

    /// All columns.
    #[must_use]
    pub fn columns(&self) -> [&[f64]; D] {
        self.columns.each_ref().map(Vec::as_slice)
    }

    /// All columns, to be written side by side, or cut into blocks for
    /// [`Threads::for_each_block`](crate::parallel::Threads::for_each_block).
    pub fn columns_mut(&mut self) -> [&mut [f64]; D] {
        self.columns.each_mut().map(Vec::as_mut_slice)
    }

    /// The particle of a slot.
    ///
    /// # Panics
    /// If there is no such slot, as indexing a slice does.
    #[must_use]
    pub fn row(&self, slot: usize) -> [f64; D] {
        std::array::from_fn(|column| self.columns[column][slot])
    }

    /// Writes the particle of a slot.
    ///
    /// # Panics
    /// If there is no such slot, as indexing a slice does.
    pub fn set_row(&mut self, slot: usize, row: [f64; D]) {
        for (column, value) in self.columns.iter_mut().zip(row) {
            column[slot] = value;
        }
    }

    /// Copies `parents[ancestors[c / copies]]` to every slot c, column by column, as [`Move`](crate::smc::Move) names them.
    ///
    /// # Panics
    /// If an ancestor is no slot of `parents`.
    pub fn gather(&mut self, parents: &Self, ancestors: &[u32], copies: usize) {
        for (children, parents) in self.columns.iter_mut().zip(&parents.columns) {
            if copies == 1 {
                for (child, &a) in children.iter_mut().zip(ancestors) {
                    *child = parents[a as usize];
                }
            } else {
                for (family, &a) in children.chunks_mut(copies.max(1)).zip(ancestors) {
                    family.fill(parents[a as usize]);
                }
            }
        }
    }
}

impl<const D: usize> Default for Columns<D> {
    fn default() -> Self {
        Self { columns: std::array::from_fn(|_| Vec::new()), n: 0 }
    }
}

impl<const D: usize> Clone for Columns<D> {
    fn clone(&self) -> Self {
        Self { columns: self.columns.clone(), n: self.n }
    }

    /// Keeps the memory that is there.
    fn clone_from(&mut self, source: &Self) {
        for (to, from) in self.columns.iter_mut().zip(&source.columns) {
            to.clone_from(from);
        }
        self.n = source.n;
    }
}

impl<const D: usize> Population for Columns<D> {
    fn len(&self) -> usize {
        self.n
    }

    fn resize(&mut self, n: usize) {
        for column in &mut self.columns {
            column.resize(n, 0.0);
        }
        self.n = n;
    }

    fn copy_slot(&mut self, slot: usize, parents: &Self, parent: usize) {
        self.set_row(slot, parents.row(parent));
    }
}
