//! Pictures: what is in them, and what cannot be drawn.

use posterity::plot::{Curve, CurvesPlot, GenealogyPlot, Generation, PlotError, save};

fn generation(ancestors: &[u32], weights: &[f64], finished: &[bool]) -> Generation {
    Generation { ancestors: ancestors.to_vec(), weights: weights.to_vec(), finished: finished.to_vec(), resampled: true }
}

fn two() -> Vec<Generation> {
    vec![generation(&[0, 1, 2], &[0.2, 0.5, 0.3], &[false; 3]), generation(&[1, 1, 2], &[0.5, 0.5, 0.0], &[true, false, false])]
}

fn count(svg: &str, what: &str) -> usize {
    svg.matches(what).count()
}

#[test]
fn a_genealogy_shows_every_particle_and_every_line() {
    let svg = GenealogyPlot::new(two()).title("a < b & c").step_label("sentence").svg().unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    // Each with a white rim, and one of each in the legend without.
    assert_eq!(count(&svg, "<circle"), 2 * 5 + 2);
    // The background, the particle with its rim, the legend.
    assert_eq!(count(&svg, "<rect"), 1 + 2 + 1);
    for words in ["a &lt; b &amp; c", "sentence", "particle", "survives", "dies out", "finished", "resampled"] {
        assert!(svg.contains(words), "{words}");
    }
    // Only the lineage through the second particle leads to weight.
    let plain = two().into_iter().map(|generation| Generation { resampled: false, finished: vec![false; 3], ..generation });
    let plain = GenealogyPlot::new(plain.collect()).svg().unwrap();
    assert!(!plain.contains("finished") && !plain.contains("resampled"));
    assert_eq!(count(&plain, "<circle"), 2 * 6 + 2);
}

#[test]
fn a_genealogy_of_any_size_can_be_drawn() {
    let many = |n: usize, t: usize| {
        let one = Generation { ancestors: vec![0; n], weights: vec![1e300; n], finished: vec![false; n], resampled: false };
        GenealogyPlot::new(vec![one; t]).svg()
    };
    for (n, t) in [(1, 1), (1, 50), (500, 2), (40, 300)] {
        assert!(many(n, t).is_ok(), "{n} {t}");
    }
    // Particles without weight, and populations that change their size.
    let generations = vec![generation(&[0, 0], &[0.0, 0.0], &[false; 2]), generation(&[1], &[0.0], &[true])];
    assert!(GenealogyPlot::new(generations).size(200, 200).svg().is_ok());
}

#[test]
fn what_is_no_genealogy_is_refused_by_its_place() {
    let changed = |change: fn(&mut Vec<Generation>)| {
        let mut generations = two();
        change(&mut generations);
        GenealogyPlot::new(generations).svg().unwrap_err()
    };
    assert!(matches!(changed(Vec::clear), PlotError::Empty { what: "particles" }));
    assert!(matches!(changed(|g| g[1] = generation(&[], &[], &[])), PlotError::Empty { .. }));
    assert!(matches!(
        changed(|g| g[1].ancestors[2] = 3),
        PlotError::Ancestor { generation: 1, slot: 2, ancestor: 3, n_before: 3 }
    ));
    assert!(matches!(
        changed(|g| g[1].finished.truncate(1)),
        PlotError::Length { generation: 1, what: "finished", expected: 3, found: 1 }
    ));
    for bad in [f64::NAN, -0.1, f64::INFINITY] {
        let mut generations = two();
        generations[0].weights[1] = bad;
        let error = GenealogyPlot::new(generations).svg().unwrap_err();
        assert!(matches!(error, PlotError::Weight { generation: 0, slot: 1, .. }), "{error:?}");
    }
    for (width, height) in [(0, 300), (300, 20), (20_000, 300)] {
        let error = GenealogyPlot::new(two()).size(width, height).svg().unwrap_err();
        assert!(matches!(error, PlotError::Size { .. }), "{error:?}");
    }
}

fn curves() -> Vec<Curve> {
    vec![
        Curve::new("ours", [(1.0, 0.4, 0.3, 0.5), (4.0, 0.6, 0.5, 0.7), (64.0, 0.8, 0.7, 0.9)]),
        Curve::new("theirs", [(1.0, 0.4, 0.3, 0.5), (4.0, 0.5, 0.4, 0.6)]),
        Curve::new("left out", []),
    ]
}

#[test]
fn curves_show_every_point_and_name() {
    let svg = CurvesPlot::new(curves()).title("Accuracy").labels("generations N", "accuracy").svg().unwrap();
    assert_eq!(count(&svg, "<circle"), 2 * 5);
    for words in ["ours", "theirs", "Accuracy", "generations N", "accuracy", "\n64\n", "\n32\n", "\n0.6\n"] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(!svg.contains("left out"));
    for points in [vec![(3.0, 0.5, 0.5, 0.5)], vec![(1e-300, 0.0, -1e300, 1e300), (1e300, 0.0, 0.0, 0.0)]] {
        assert!(CurvesPlot::new(vec![Curve::new("odd", points)]).svg().is_ok());
    }
    assert!(CurvesPlot::new(curves()).y_range(0.0, 1.0).size(400, 300).svg().is_ok());
}

#[test]
fn points_without_a_place_are_refused_by_name() {
    let refused = |point: (f64, f64, f64, f64)| match CurvesPlot::new(vec![Curve::new("c", [(1.0, 0.5, 0.5, 0.5), point])]).svg()
    {
        Err(PlotError::Point { curve, point: 1, what, .. }) if curve == "c" => what,
        other => panic!("{other:?}"),
    };
    for x in [0.0, -1.0, f64::NAN, f64::INFINITY, 1.0] {
        assert_eq!(refused((x, 0.5, 0.4, 0.6)), "x");
    }
    for y in [f64::NAN, f64::INFINITY] {
        assert_eq!(refused((2.0, y, 0.4, 0.6)), "y");
    }
    for (lower, upper, what) in
        [(0.6, 0.7, "lower"), (f64::NAN, 0.7, "lower"), (0.4, 0.4, "upper"), (0.4, f64::INFINITY, "upper")]
    {
        assert_eq!(refused((2.0, 0.5, lower, upper)), what);
    }
    assert!(matches!(CurvesPlot::new(vec![]).svg(), Err(PlotError::Empty { what: "points" })));
    assert!(matches!(CurvesPlot::new(vec![Curve::new("none", [])]).svg(), Err(PlotError::Empty { .. })));
    for (low, high) in [(1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        assert!(CurvesPlot::new(curves()).y_range(low, high).svg().is_err());
    }
}

#[test]
fn pictures_are_saved() {
    let path = std::env::temp_dir().join(format!("posterity-plot-{}.svg", std::process::id()));
    save("<svg/>", &path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "<svg/>");
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(save("<svg/>", path.join("below")), Err(PlotError::Io { .. })));
}
