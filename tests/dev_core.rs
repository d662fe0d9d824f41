//! dev
use posterity::model::zoo::*;
use posterity::model::*;
use posterity::rng::Stream;
use std::fmt::Write;
#[test]
fn make() {
    let mut r = Stream::new(11);
    let (mut s, mut x) = (String::from("x,y\n"), 2.294157338705618 * r.normal());
    for t in 0..200 {
        let y = x + r.normal();
        if t == 60 || t == 61 {
            writeln!(s, "{x:.6},").unwrap();
        } else {
            writeln!(s, "{x:.6},{y:.6}").unwrap();
        }
        x = 0.9 * x + r.normal();
    }
    std::fs::write("examples/data/lg1d.csv", s).unwrap();
    let m = StochasticVolatility { mu: -1.0, rho: 0.96, sigma: 0.2, y: vec![] };
    let mut x = m.initial(&mut r);
    let mut s = String::from("x,y\n");
    for t in 0..500 {
        let y = (0.5 * x).exp() * r.normal();
        writeln!(s, "{x:.6},{y:.6}").unwrap();
        x = m.transition(t, &x, &mut r);
    }
    std::fs::write("examples/data/sv.csv", s).unwrap();
    let m = Track2d { damping: 0.98, q: 0.05, sigma_y: 1.0, y: vec![] };
    let mut x = m.initial(&mut r);
    let mut s = String::from("px,py,yx,yy\n");
    for t in 0..100 {
        writeln!(s, "{:.6},{:.6},{:.6},{:.6}", x[0], x[1], x[0] + r.normal(), x[1] + r.normal()).unwrap();
        x = m.transition(t, &x, &mut r);
    }
    std::fs::write("examples/data/track2d.csv", s).unwrap();
    let m = Bearings { damping: 0.98, pull: 0.02, sigma_x: 0.1, sigma_y: 0.05, y: vec![] };
    let mut x = m.initial(&mut r);
    let mut s = String::from("px,py,b1,b2\n");
    for t in 0..100 {
        let b = Bearings::bearings(&x);
        writeln!(s, "{:.6},{:.6},{:.6},{:.6}", x[0], x[1], b[0] + 0.05 * r.normal(), b[1] + 0.05 * r.normal()).unwrap();
        x = m.transition(t, &x, &mut r);
    }
    std::fs::write("examples/data/bearings.csv", s).unwrap();
}
