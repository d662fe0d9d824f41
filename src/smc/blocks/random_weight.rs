//! Random log-weights: unbiased estimates of densities, exact ones being the special case.

use crate::error::DensityError;
use crate::rng::Stream;

/// A log-weight, with what came along with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighted<A> {
    /// Log of the weight, finite.
    pub log_weight: f64,
    /// What the estimate was made of, or yields besides: a trajectory drawn from a filter, for instance. `()` if there is nothing.
    pub auxiliary: A,
}

/// A density on points `P` known only through unbiased, non-negative estimates.
///
/// ```text
/// (w, a) ~ M(θ; ·)      E[w] = γ(θ), the density up to a constant
/// ```
/// An algorithm that would be right with γ stays right with w, as long as it keeps (w, a) with the point instead of drawing them anew
/// where convenient. Source: C. Andrieu and G. Roberts 2009, doi:10.1214/07-AOS574.
pub trait RandomLogWeight<P: ?Sized> {
    /// What comes with the weight.
    type Auxiliary;

    /// Draws a weight; `None` is weight 0.
    ///
    /// # Errors
    /// As a log density: a recoverable error ([`DensityError::is_recoverable`]) rejects the point, any other one ends the run.
    fn draw(&mut self, point: &P, rng: &mut Stream) -> Result<Option<Weighted<Self::Auxiliary>>, DensityError>;
}

/// A random log-weight that can be drawn anew without moving the point.
pub trait ConditionalLogWeight<P: ?Sized>: RandomLogWeight<P> {
    /// Draws another (w, a) given the point and the present a, such that the law w M(θ; d(w, a)) is preserved; returns log w.
    ///
    /// Drawing from M itself would not do: the weights of points in a chain are not those of fresh points, but larger ones.
    ///
    /// # Errors
    /// As [`RandomLogWeight::draw`]; a weight of 0 is a recoverable error. `auxiliary` is then unchanged.
    fn redraw(&mut self, point: &P, auxiliary: &mut Self::Auxiliary, rng: &mut Stream) -> Result<f64, DensityError>;
}

impl<P: ?Sized, W: RandomLogWeight<P> + ?Sized> RandomLogWeight<P> for &mut W {
    type Auxiliary = W::Auxiliary;

    fn draw(&mut self, point: &P, rng: &mut Stream) -> Result<Option<Weighted<W::Auxiliary>>, DensityError> {
        (**self).draw(point, rng)
    }
}

impl<P: ?Sized, W: ConditionalLogWeight<P> + ?Sized> ConditionalLogWeight<P> for &mut W {
    fn redraw(&mut self, point: &P, auxiliary: &mut W::Auxiliary, rng: &mut Stream) -> Result<f64, DensityError> {
        (**self).redraw(point, auxiliary, rng)
    }
}

/// An exact log density: the weight that is not random. A value of -∞ is weight 0.
#[derive(Debug, Clone, Copy)]
pub struct Exact<F>(pub F);

impl<P: ?Sized, F: FnMut(&P) -> Result<f64, DensityError>> RandomLogWeight<P> for Exact<F> {
    type Auxiliary = ();

    fn draw(&mut self, point: &P, _rng: &mut Stream) -> Result<Option<Weighted<()>>, DensityError> {
        let log_weight = check((self.0)(point)?)?;
        Ok(log_weight.map(|log_weight| Weighted { log_weight, auxiliary: () }))
    }
}

impl<P: ?Sized, F: FnMut(&P) -> Result<f64, DensityError>> ConditionalLogWeight<P> for Exact<F> {
    fn redraw(&mut self, point: &P, _auxiliary: &mut (), _rng: &mut Stream) -> Result<f64, DensityError> {
        check((self.0)(point)?)?.ok_or(ZERO_WEIGHT)
    }
}

/// What a redraw reports of a point without weight.
const ZERO_WEIGHT: DensityError = DensityError::Rejected { reason: "the weight is zero" };

/// Tells weight 0 and what is no weight.
fn check(log_weight: f64) -> Result<Option<f64>, DensityError> {
    match log_weight {
        w if w.is_nan() => Err(DensityError::NotANumber),
        f64::INFINITY => Err(DensityError::PositiveInfinity),
        f64::NEG_INFINITY => Ok(None),
        w => Ok(Some(w)),
    }
}

/// The product of two independent weights, as of a prior and a filter's evidence. The second is drawn only where the first is not 0; what
/// comes with the product is both factors.
#[derive(Debug, Clone, Copy)]
pub struct Product<V, W>(pub V, pub W);

impl<P: ?Sized, V: RandomLogWeight<P>, W: RandomLogWeight<P>> RandomLogWeight<P> for Product<V, W> {
    type Auxiliary = (Weighted<V::Auxiliary>, Weighted<W::Auxiliary>);

    fn draw(&mut self, point: &P, rng: &mut Stream) -> Result<Option<Weighted<Self::Auxiliary>>, DensityError> {
        let Some(first) = self.0.draw(point, rng)? else { return Ok(None) };
        let Some(second) = self.1.draw(point, rng)? else { return Ok(None) };
        let log_weight = first.log_weight + second.log_weight;
        Ok(Some(Weighted { log_weight, auxiliary: (first, second) }))
    }
}

impl<P, V, W> ConditionalLogWeight<P> for Product<V, W>
where
    P: ?Sized,
    V: ConditionalLogWeight<P>,
    W: ConditionalLogWeight<P>,
    V::Auxiliary: Clone,
{
    fn redraw(&mut self, point: &P, (first, second): &mut Self::Auxiliary, rng: &mut Stream) -> Result<f64, DensityError> {
        let mut auxiliary = first.auxiliary.clone();
        let log_weight = self.0.redraw(point, &mut auxiliary, rng)?;
        second.log_weight = self.1.redraw(point, &mut second.auxiliary, rng)?;
        *first = Weighted { log_weight, auxiliary };
        Ok(first.log_weight + second.log_weight)
    }
}

/// A weight on parameters, as a weight on points that determine the parameters: a filter's evidence on unconstrained positions, for instance.
///
/// `map(point, out)` appends the parameters of a point to `out`, which is empty.
#[derive(Debug, Clone)]
pub struct Pullback<F, W> {
    map: F,
    weight: W,
    parameters: Vec<f64>,
}

impl<F, W> Pullback<F, W> {
    /// The weight of `map(point)`.
    pub fn new(map: F, weight: W) -> Self {
        Self { map, weight, parameters: Vec::new() }
    }

    /// The weight on parameters.
    pub fn weight(&self) -> &W {
        &self.weight
    }

    fn parameters<P: ?Sized>(&mut self, point: &P) -> Result<(), DensityError>
    where
        F: FnMut(&P, &mut Vec<f64>) -> Result<(), DensityError>,
    {
        self.parameters.clear();
        (self.map)(point, &mut self.parameters)
    }
}

impl<P, F, W> RandomLogWeight<P> for Pullback<F, W>
where
    P: ?Sized,
    F: FnMut(&P, &mut Vec<f64>) -> Result<(), DensityError>,
    W: RandomLogWeight<[f64]>,
{
    type Auxiliary = W::Auxiliary;

    fn draw(&mut self, point: &P, rng: &mut Stream) -> Result<Option<Weighted<W::Auxiliary>>, DensityError> {
        self.parameters(point)?;
        self.weight.draw(&self.parameters, rng)
    }
}

impl<P, F, W> ConditionalLogWeight<P> for Pullback<F, W>
where
    P: ?Sized,
    F: FnMut(&P, &mut Vec<f64>) -> Result<(), DensityError>,
    W: ConditionalLogWeight<[f64]>,
{
    fn redraw(&mut self, point: &P, auxiliary: &mut W::Auxiliary, rng: &mut Stream) -> Result<f64, DensityError> {
        self.parameters(point)?;
        self.weight.redraw(&self.parameters, auxiliary, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_told_from_what_is_none() {
        let mut rng = Stream::new(1);
        let mut draw = |value: f64| Exact(move |_: &()| Ok(value)).draw(&(), &mut rng);
        assert_eq!(draw(-3.0).unwrap(), Some(Weighted { log_weight: -3.0, auxiliary: () }));
        assert_eq!(draw(f64::NEG_INFINITY).unwrap(), None);
        assert!(matches!(draw(f64::NAN), Err(DensityError::NotANumber)));
        assert!(matches!(draw(f64::INFINITY), Err(DensityError::PositiveInfinity)));
    }

    #[test]
    fn the_second_factor_is_not_asked_where_the_first_is_zero() {
        let mut asked = 0;
        let zero = Exact(|x: &f64| Ok(x.ln()));
        let mut product = Product(
            zero,
            Exact(|_: &f64| {
                asked += 1;
                Ok(1.0)
            }),
        );
        let mut rng = Stream::new(1);
        assert_eq!(product.draw(&0.0, &mut rng).unwrap(), None);
        assert_eq!(product.draw(&1.0, &mut rng).unwrap().unwrap().log_weight, 1.0);
        let mut factors = product.draw(&1.0, &mut rng).unwrap().unwrap().auxiliary;
        assert!(product.redraw(&0.0, &mut factors, &mut rng).is_err_and(|e| e.is_recoverable()));
        assert_eq!(asked, 2);
    }
}
