//! The posterior of twenty probabilities, most of them close to 0: mirrored SVGD with coin betting and with learning rates, beside the exact answer.
//!
//! 100 observations fall into three of twenty kinds (90, 5 and 5), the prior is uniform, and the posterior is Dirichlet(91, 6, 6, 1, .., 1). Run it with
//! `cargo run --release --example simplex`.

use ndarray::Array2;
use posterity::distributions::Dirichlet;
use posterity::model::{Density, WithGradient};
use posterity::parvi::mirrored::{EntropicSimplex, MirroredSvgd};
use posterity::parvi::{CloudStart, ParticleFlow};
use posterity::rng::Stream;
use posterity::step_rules::{Coin, RmsProp, StepRule};
use posterity::{DensityError, Error};
use rand_distr::Distribution;

/// The posterior by its first nineteen probabilities.
struct Posterior {
    alpha: Vec<f64>,
}

impl Density for Posterior {
    fn dim(&self) -> usize {
        self.alpha.len() - 1
    }

    fn log_density_gradient(&self, theta: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let (last, rest) = (self.alpha[theta.len()] - 1.0, 1.0 - theta.iter().sum::<f64>());
        let mut value = last * rest.ln();
        for ((theta, alpha), g) in theta.iter().zip(&self.alpha).zip(gradient) {
            value += (alpha - 1.0) * theta.ln();
            *g = (alpha - 1.0) / theta - last / rest;
        }
        Ok(value)
    }
}

/// Fifty draws of Dirichlet(5, .., 5).
fn start(n_kinds: usize) -> Result<CloudStart, Error> {
    let (dirichlet, mut stream) = (Dirichlet::new(vec![5.0; n_kinds])?, Stream::new(1));
    let mut positions = Array2::zeros((50, n_kinds - 1));
    for mut row in positions.rows_mut() {
        row.iter_mut().zip(dirichlet.sample(&mut stream)).for_each(|(to, from)| *to = from);
    }
    Ok(CloudStart::Positions(positions))
}

fn run(target: &WithGradient<Posterior>, rule: impl StepRule + 'static) -> Result<Array2<f64>, Error> {
    let flow = ParticleFlow::new(MirroredSvgd::new(EntropicSimplex), rule).n_iterations(500).start(start(target.0.alpha.len())?);
    Ok(flow.run(target, 1)?.positions().to_owned())
}

fn main() -> Result<(), Error> {
    let mut alpha = vec![1.0; 20];
    for (alpha, count) in alpha.iter_mut().zip([90.0, 5.0, 5.0]) {
        *alpha += count;
    }
    let total: f64 = alpha.iter().sum();
    let target = WithGradient(Posterior { alpha });

    let coin = run(&target, Coin::default())?;
    let tuned = run(&target, RmsProp::new(0.01))?;
    let small = run(&target, RmsProp::new(0.001))?;
    let large = run(&target, RmsProp::new(0.5))?;
    println!("mean and standard deviation of the probabilities, 50 particles, 500 iterations");
    println!("kind    exact            coin             rate 0.01        rate 0.001       rate 0.5");
    for (kind, alpha) in target.0.alpha.iter().enumerate().take(5) {
        let (mean, sd) = (alpha / total, (alpha * (total - alpha) / (total * total * (total + 1.0))).sqrt());
        print!("{kind:>4}    {mean:.4} ± {sd:.4}");
        for cloud in [&coin, &tuned, &small, &large] {
            let column = cloud.column(kind);
            print!("  {:.4} ± {:.4}", column.mean().unwrap_or(f64::NAN), column.std(0.0));
        }
        println!();
    }
    let sums = coin.rows().into_iter().map(|theta| theta.sum()).fold(0.0, f64::max);
    let smallest = coin.iter().copied().fold(1.0, f64::min);
    println!("by coin the smallest probability of a particle is {smallest:.1e}, and the sum of nineteen at most {sums:.6}");
    let mean = coin.column(0).mean().unwrap_or(f64::NAN);
    assert!((mean - target.0.alpha[0] / total).abs() < 0.003 && smallest > 0.0 && sums < 1.0);
    Ok(())
}
