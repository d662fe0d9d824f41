//! Coin EM: maximum likelihood in models with latent variables, without a learning rate.
//!
//! ```text
//! cargo run --release --example coin_em
//! ```
//! Particles follow the posterior of the latent variables given the parameters, while the parameters climb the mean of their gradients over the
//! particles; both by coin betting. Two models whose exact answers are known:
//!
//! *Shifts*: `x[i] ~ N(theta, 1)`, `y[i] ~ N(x[i], 1)`. The likelihood is largest at the mean of y. With 100 latent variables and 50 particles the
//! cloud is far too narrow, which this estimate does not notice.
//!
//! *One factor*: `x ~ N(0, 1)`, `y[i] ~ N(a + b z[i] x, 1)`. Here b depends on the variance of the cloud, which grows to the exact one with the number
//! of particles: the exact answer is approached from above.

use posterity::parvi::{ParticleEm, Svgd};
use posterity::prelude::*;

struct Shifts {
    y: Vec<f64>,
}

impl Model for Shifts {
    type Parameters<T: Real> = (T, Vec<T>);

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> (T, Vec<T>) {
        (space.real("theta"), space.vector("x", self.y.len()))
    }

    /// Nothing is said about theta: it is estimated by maximum likelihood.
    fn log_prior<T: Real>(&self, (theta, x): &(T, Vec<T>), lp: &mut LogP<T>) {
        lp.normal(x, theta, &1.0);
    }

    fn log_likelihood<T: Real>(&self, (_, x): &(T, Vec<T>), lp: &mut LogP<T>) {
        lp.normal(&self.y, x, &1.0);
    }
}

struct OneFactor {
    y: Vec<f64>,
    z: Vec<f64>,
}

impl Model for OneFactor {
    type Parameters<T: Real> = (T, T, T);

    /// The logarithm of b as a real parameter: a positive one would bring the Jacobian of its transform into the likelihood.
    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> (T, T, T) {
        (space.real("a"), space.real("log_b"), space.real("x"))
    }

    fn log_prior<T: Real>(&self, (_, _, x): &(T, T, T), lp: &mut LogP<T>) {
        lp.normal(x, &0.0, &1.0);
    }

    fn log_likelihood<T: Real>(&self, &(a, log_b, x): &(T, T, T), lp: &mut LogP<T>) {
        let mean: Vec<T> = self.z.iter().map(|&z| a + log_b.exp() * x * z).collect();
        lp.normal(&self.y, &mean, &1.0);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = Stream::new(1);
    let shifts = Shifts { y: (0..100).map(|_| 1.0 + 2_f64.sqrt() * rng.normal()).collect() };
    let exact = shifts.y.iter().sum::<f64>() / 100.0;
    let em = ParticleEm::coin(Svgd::default(), &["theta"]).n_particles(50).n_iterations(500);
    let estimate = em.run(&shifts, 1)?;
    println!("Shifts, 100 latent variables, 50 particles: theta, exactly {exact:.6}");
    for t in [10, 50, 100, 500] {
        println!("  after {t:>3} iterations {:.6}", estimate.trace()[[t, 0]]);
    }
    let marginal = em.n_iterations(100).run_marginal(&shifts, |x| vec![x.mean().unwrap_or(0.0)], 1)?;
    println!("  in closed form, after 100 {:.6}", marginal.trace()[[100, 0]]);
    for warning in estimate.particles().warnings() {
        println!("  {warning}");
    }

    let factor = OneFactor { y: vec![3.1, 0.9, 5.3, 1.2, -1.5], z: vec![1.0, -0.4, 1.8, 0.6, -1.1] };
    println!("One factor: a, exactly 1.0209; b, exactly 2.0893");
    for n_particles in [10, 20, 50] {
        let em = ParticleEm::coin(Svgd::default(), &["a", "log_b"]).n_particles(n_particles).n_iterations(3000);
        let estimate = em.run(&factor, 1)?;
        let value = |name| estimate.parameters().get(name).map_or(f64::NAN, |x| x[0]);
        println!("  {n_particles:>3} particles: a {:.4}, b {:.4}", value("a"), value("log_b").exp());
    }
    Ok(())
}
