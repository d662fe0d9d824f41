//! States as rows of numbers, for results.

/// A state that can be written down as numbers, so that trajectories become a variable of [`Draws`](crate::draws::Draws).
///
/// Implement it for a state type of your own by listing its components:
///
/// ```
/// use posterity::smc::StateValues;
/// #[derive(Clone, Copy, Default)]
/// struct Target { position: f64, velocity: f64 }
/// impl StateValues for Target {
///     const SHAPE: &'static [usize] = &[2];
///     fn write(&self, out: &mut Vec<f64>) { out.extend([self.position, self.velocity]); }
/// }
/// ```
pub trait StateValues {
    /// Shape of one state: empty for a scalar.
    const SHAPE: &'static [usize];

    /// Appends the components in row-major order.
    fn write(&self, out: &mut Vec<f64>);
}

macro_rules! scalar_states {
    ($($number:ty),+) => {$(
        impl StateValues for $number {
            const SHAPE: &'static [usize] = &[];

            fn write(&self, out: &mut Vec<f64>) {
                out.push(f64::from(*self));
            }
        }
    )+};
}
scalar_states!(f64, f32, u8, i8, u16, i16, u32, i32, bool);

impl<X: StateValues, const D: usize> StateValues for [X; D] {
    // The shape of the components is dropped: an array of arrays is written as one row.
    const SHAPE: &'static [usize] = &[D * product(X::SHAPE)];

    fn write(&self, out: &mut Vec<f64>) {
        self.iter().for_each(|x| x.write(out));
    }
}

const fn product(shape: &[usize]) -> usize {
    let (mut total, mut i) = (1, 0);
    while i < shape.len() {
        total *= shape[i];
        i += 1;
    }
    total
}
