//! dev
use posterity::model::zoo::*;
use posterity::smc::*;
use posterity::weights::Scheme;
fn col(f: &str, c: usize) -> Vec<f64> {
    std::fs::read_to_string(format!("/work/shared/data/smc/{f}"))
        .unwrap()
        .lines()
        .skip(1)
        .map(|l| l.split(',').nth(c).unwrap().parse().unwrap())
        .collect()
}
#[test]
fn lg() {
    let m = Ar1 { rho: 0.9, sigma_x: 1., sigma_y: 1., y: col("lg1d_T1000.csv", 1) };
    for (name, ll) in [
        ("boot", Smc::new(Bootstrap(&m), SmcConfig::new(10000, 1)).unwrap().run().unwrap()),
        ("guided", Smc::new(Guided(&m), SmcConfig::new(10000, 1)).unwrap().run().unwrap()),
        ("apf", Smc::new(Auxiliary(Guided(&m)), SmcConfig::new(10000, 1)).unwrap().run().unwrap()),
        ("apfb", Smc::new(Auxiliary(Bootstrap(&m)), SmcConfig::new(10000, 1)).unwrap().run().unwrap()),
    ] {
        println!("{name} {ll:?}");
    }
    let s = StochasticVolatility { mu: -1.02, rho: 0.9702, sigma: 0.178, y: col("sv_T1000.csv", 1) };
    println!("sv {:?}", Smc::new(Bootstrap(&s), SmcConfig::new(10000, 1)).unwrap().run().unwrap());
    let (a, b) = (col("track2d_lin_T1000.csv", 4), col("track2d_lin_T1000.csv", 5));
    let tr = Track2d { damping: 0.98, q: 0.05, sigma_y: 1.0, y: a.into_iter().zip(b).map(|(a, b)| [a, b]).collect() };
    println!("track {:?}", Smc::new(Bootstrap(&tr), SmcConfig::new(10000, 1)).unwrap().run().unwrap());
    let (a, b) = (col("bearings2_T1000.csv", 4), col("bearings2_T1000.csv", 5));
    let br = Bearings {
        damping: 0.98,
        pull: 0.02,
        sigma_x: 0.1,
        sigma_y: 0.05,
        y: a.into_iter().zip(b).map(|(a, b)| [a, b]).collect(),
    };
    println!("bear {:?}", Smc::new(Bootstrap(&br), SmcConfig::new(10000, 1)).unwrap().run().unwrap());
    let _ = Scheme::Systematic;
}
