//! dev
#[path = "it/reasoning/exact.rs"]
mod exact;
use exact::markov;
use posterity::reasoning::*;
use posterity::smc::{Smc, SmcConfig};
use posterity::weights::Scheme;

fn ms(v: &[f64]) -> (f64, f64) {
    let n = v.len() as f64;
    let m = v.iter().sum::<f64>() / n;
    (m, (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

#[test]
fn long_wor() {
    for (n, k, base, temp, p, runs) in [
        (1, 1, Base::Sampled, 1.0, Potential::last(), 60_000u64),
        (2, 3, Base::Sampled, 1.0, Potential::product(), 30_000),
        (4, 2, Base::Power(1.0), 2.0, Potential::product(), 20_000),
    ] {
        let exact = markov().enumerate(&p);
        let e = exact.mean(|x| f64::from(x.text().ends_with('G')));
        let (mut r, mut a) = (vec![], vec![]);
        for seed in 0..runs {
            let (mut g, mut w) = (markov().at_temperature(temp), markov());
            let d =
                WithoutReplacement::new(DecoderConfig::new(n, 900_000 + seed).n_candidates(k).base(base).potential(p.clone()))
                    .decode(&mut Models::new(&mut g, &mut w), &Prefix::prompt(""))
                    .unwrap();
            let ratio = d.evidence.unwrap().log.exp() / exact.evidence;
            r.push(ratio);
            a.push(ratio * d.mean(|x| f64::from(x.written().ends_with('G'))));
        }
        let (m, s) = ms(&r);
        let (am, asd) = ms(&a);
        let q = (runs as f64).sqrt();
        println!(
            "WOR N={n} k={k}: {m} +- {} (z {:.2}); answer {am} vs {e} z {:.2}",
            s / q,
            (m - 1.0) / s * q,
            (am - e) / asd * q
        );
    }
}

#[test]
fn long_gibbs() {
    for (name, p, scheme, thr, aspl, base, temp) in [
        ("product gen", Potential::product(), Scheme::Systematic, 2.0, false, Base::Sampled, 1.0),
        ("product as", Potential::product(), Scheme::Systematic, 2.0, true, Base::Sampled, 1.0),
        ("last as ess", Potential::last(), Scheme::Multinomial, 0.6, true, Base::Power(1.0), 2.0),
        (
            "odds strat as",
            Potential::product().link(Link::Odds).inverse_temperature(0.3),
            Scheme::Stratified,
            2.0,
            true,
            Base::Sampled,
            1.0,
        ),
        ("min killing gen", Potential::min(), Scheme::Killing, 2.0, false, Base::Sampled, 1.0),
    ] {
        let table = markov().at_temperature(temp);
        let exact = markov().enumerate(&p);
        let (mut g, mut w) = (table.clone(), table.clone());
        let dc = DecoderConfig::new(3, 777).potential(p).scheme(scheme).ess_threshold(thr).base(base);
        let d = GibbsDecoder::new(GibbsConfig::new(dc, 60_000).burn_in(50).ancestor_sampling(aspl))
            .decode(&mut Models::new(&mut g, &mut w), &Prefix::prompt(""))
            .unwrap();
        for len in 1..=5 {
            for last in ['G', 'B'] {
                let f = |s: &str| f64::from(s.len() == len && s.ends_with(last));
                let e = exact.mean(|x| f(&x.text()));
                let b: Vec<f64> =
                    d.chain.chunks(500).map(|c| c.iter().map(|x| f(&x.prefix.written())).sum::<f64>() / 500.0).collect();
                let (m, s) = ms(&b);
                let se = s / (b.len() as f64).sqrt();
                println!("{name} {len}{last}: {e:.5} {m:.5} z {:.2}", (m - e) / se);
            }
        }
    }
}

#[test]
fn long_sd() {
    for (name, p, n, runs) in [
        ("product", Potential::product(), 16, 8000u64),
        ("product", Potential::product(), 64, 3000),
        ("terminal", Potential::terminal(), 16, 8000),
        ("terminal", Potential::terminal(), 64, 3000),
    ] {
        let exact = markov().enumerate(&p).evidence;
        for (scheme, thr) in
            [(Scheme::Systematic, 0.5), (Scheme::Systematic, 2.0), (Scheme::Multinomial, 0.5), (Scheme::Multinomial, 2.0)]
        {
            let (mut logs, mut v, mut zero, mut ratios) = (vec![], vec![], 0, vec![]);
            for seed in 0..runs / if thr > 1.0 { 2 } else { 1 } {
                let (mut g, mut w) = (markov(), markov());
                let mut models = Models::new(&mut g, &mut w);
                let model = TextModel::new(&mut models, DecoderConfig::new(n, seed).potential(p.clone()), Prefix::prompt(""));
                let mut smc = Smc::new(model, SmcConfig::new(n, 5_000_000 + seed).scheme(scheme).ess_threshold(thr)).unwrap();
                let s = smc.run().unwrap();
                logs.push(s.log_evidence);
                ratios.push((s.log_evidence.exp() / exact - 1.0).powi(2));
                zero += u32::from(s.relative_variance <= 0.0);
                v.push(s.relative_variance);
            }
            println!(
                "{name} N={n} {scheme} {thr}: sd(log) {:.4} true relvar {:.5} mean V {:.5} share V<=0 {:.3}",
                ms(&logs).1,
                ms(&ratios).0,
                ms(&v).0,
                f64::from(zero) / v.len() as f64
            );
        }
    }
}
