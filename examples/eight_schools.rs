//! Coaching in eight schools: one model in two parameterisations, of which one can be sampled and the other cannot.
//!
//! ```text
//! cargo run --release --example eight_schools [-- --seed 2]
//!
//! mu ~ N(0, 5)    tau ~ half-Cauchy(5)    theta[j] ~ N(mu, tau)    y[j] ~ N(theta[j], sigma[j])
//! ```
//! *Centred*, the parameters are mu, tau and theta. As tau goes to 0 all theta are squeezed onto mu: a funnel whose neck is too narrow for a
//! step size that suits its mouth. The sampler seldom gets down there, so that the mean of tau tends to come out too large, and the summary
//! says that the run is not to be trusted. *Non-centred*, the parameters are mu, tau and z ~ N(0, 1), with theta = mu + tau z computed from
//! them: no funnel.
//!
//! Both runs use the defaults. With other seeds a few non-centred draws may diverge too; the summary then says so, and
//! `target_acceptance(0.95)` helps, as it does not in the centred run. The reference is posteriordb's
//! `eight_schools-eight_schools_noncentered`: 10 chains of Stan, 10,000 draws that
//! are nearly independent.

mod reference;

use posterity::prelude::*;
use reference::{Known, compare};

/// The effect of coaching in eight schools (Rubin 1981), non-centred.
struct EightSchools {
    y: Vec<f64>,
    sigma: Vec<f64>,
}

struct Schools<T> {
    mu: T,
    tau: T,
    z: Vec<T>,
}

impl<T: Real> Schools<T> {
    fn theta(&self) -> Vec<T> {
        self.z.iter().map(|&z| self.mu + self.tau * z).collect()
    }
}

impl Model for EightSchools {
    type Parameters<T: Real> = Schools<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Schools<T> {
        Schools { mu: space.real("mu"), tau: space.positive("tau"), z: space.vector("z", self.y.len()) }
    }

    fn log_prior<T: Real>(&self, p: &Schools<T>, lp: &mut LogP<T>) {
        lp.normal(&p.mu, &0.0, &5.0);
        lp.half_cauchy(&p.tau, &5.0);
        lp.normal(&p.z, &0.0, &1.0);
    }

    fn log_likelihood<T: Real>(&self, p: &Schools<T>, lp: &mut LogP<T>) {
        lp.normal(&self.y, &p.theta(), &self.sigma);
    }

    fn generated(&self, p: &Schools<Value>, _: &mut Stream, out: &mut Values) {
        out.set_vector("theta", &p.theta());
    }

    // Optional: names for dimensions, and simulated observations for predictive checks.

    fn labels(&self, labels: &mut Labels) {
        for variable in ["z", "theta", "y"] {
            labels.dims(variable, &["school"]);
        }
        labels.coords("school", &["A", "B", "C", "D", "E", "F", "G", "H"]);
    }

    fn predict(&self, p: &Schools<Value>, rng: &mut Stream, out: &mut Values) {
        let y: Vec<f64> = p.theta().iter().zip(&self.sigma).map(|(t, s)| t.value() + s * rng.normal()).collect();
        out.set_vector("y", &y);
    }
}

/// The same model, centred.
struct Centred(EightSchools);

struct CentredSchools<T> {
    mu: T,
    tau: T,
    theta: Vec<T>,
}

impl Model for Centred {
    type Parameters<T: Real> = CentredSchools<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> CentredSchools<T> {
        CentredSchools { mu: space.real("mu"), tau: space.positive("tau"), theta: space.vector("theta", self.0.y.len()) }
    }

    fn log_prior<T: Real>(&self, p: &CentredSchools<T>, lp: &mut LogP<T>) {
        lp.normal(&p.mu, &0.0, &5.0);
        lp.half_cauchy(&p.tau, &5.0);
        lp.normal(&p.theta, &p.mu, &p.tau);
    }

    fn log_likelihood<T: Real>(&self, p: &CentredSchools<T>, lp: &mut LogP<T>) {
        lp.normal(&self.0.y, &p.theta, &self.0.sigma);
    }
}

fn eight_schools() -> EightSchools {
    EightSchools {
        y: vec![28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0],
        sigma: vec![15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0],
    }
}

/// Means and standard deviations of posteriordb's reference draws.
fn posteriordb() -> Vec<Known> {
    [
        ("mu", 4.4105, 3.3093),
        ("tau", 3.6021, 3.1985),
        ("theta[0]", 6.1505, 5.6159),
        ("theta[1]", 4.9396, 4.6456),
        ("theta[2]", 3.9059, 5.2807),
        ("theta[3]", 4.7960, 4.7709),
        ("theta[4]", 3.6144, 4.6147),
        ("theta[5]", 4.0511, 4.7962),
        ("theta[6]", 6.3172, 5.0029),
        ("theta[7]", 4.8840, 5.3177),
    ]
    .map(|(element, mean, sd)| Known::from_draws(element, mean, sd, 10_000.0))
    .into()
}

fn main() -> Result<(), posterity::Error> {
    let seed = reference::seed(2)?;

    println!("CENTRED\n");
    let draws = Nuts::default().sample(&Centred(eight_schools()), Run::new(seed).chains(4))?;
    println!("{}", draws.summary());
    compare(&draws, &posteriordb())?;

    println!("NON-CENTRED\n");
    let schools = eight_schools();
    let draws = Nuts::default().sample(&schools, Run::new(seed).chains(4))?;
    println!("{}", draws.summary());
    compare(&draws, &posteriordb())?;

    // Would data of this model look like the data? One replicate per draw.
    let replicates = posterior_predictive(&schools, &draws, seed)?;
    let largest = schools.y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let maxima = replicates.values().map_axis(ndarray::Axis(2), |y| y.fold(f64::NEG_INFINITY, |m, &x| m.max(x)));
    let share = maxima.iter().filter(|&&m| m >= largest).count() as f64 / maxima.len() as f64;
    println!("Of the replicates, {:.0} % have a largest effect of at least the observed {largest}.", 100.0 * share);
    Ok(())
}
