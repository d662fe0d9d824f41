//! Log density, gradient and constrained values of posteriordb models against Stan's, at three points each.

use std::f64::consts::LN_2;

use posterity::model::zoo::posteriordb::ReferencePosterior;
use serde_json::Value as Json;

use crate::data;

/// Number of half-priors, each of which carries ln 2 here and not in the fixtures. `None`: not in the zoo.
fn n_half_priors(name: &str) -> Option<usize> {
    Some(match name {
        "arma-arma11" | "eight_schools-eight_schools_centered" | "eight_schools-eight_schools_noncentered" => 1,
        "gp_pois_regr-gp_pois_regr" => 1,
        // The generated Stan code of this one does truncate its half-t prior.
        "diamonds-diamonds" => 0,
        "garch-garch11" | "hmm_example-hmm_example" | "kilpisjarvi_mod-kilpisjarvi" | "nes1972-nes" => 0,
        "low_dim_gauss_mix-low_dim_gauss_mix" => 2,
        _ => return None,
    })
}

fn numbers(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn densities_agree_with_stan() {
    let (Some(fixtures), Some(folder)) = (data::path("posteriordb_logp_fixtures.json"), data::path("posteriordb")) else {
        return;
    };
    let text = std::fs::read_to_string(fixtures).unwrap();
    let fixtures: Json = serde_json::from_str(&text).unwrap();
    let mut n_checked = 0;
    for (name, fixture) in fixtures.as_object().unwrap() {
        let Some(n_half) = n_half_priors(name) else { continue };
        let posterior = ReferencePosterior::read(folder.join(format!("{name}.json"))).unwrap();
        let mut evaluator = posterior.target.evaluator().unwrap();
        for point in fixture["points"].as_array().unwrap() {
            let position = numbers(&point["x"]);
            let mut gradient = vec![f64::NAN; position.len()];
            let value = evaluator.log_density_gradient(&position, &mut gradient).unwrap();
            let expected = point["logp"].as_f64().unwrap() + n_half as f64 * LN_2;
            assert!((value - expected).abs() <= 1e-8 * expected.abs(), "{name}: log density {value}, Stan {expected}");

            let expected = numbers(&point["grad"]);
            let scale = expected.iter().fold(1.0_f64, |m, g| m.max(g.abs()));
            for (i, (g, e)) in gradient.iter().zip(&expected).enumerate() {
                assert!((g - e).abs() <= 1e-8 * scale, "{name}: gradient[{i}] {g}, Stan {e}");
            }

            let mut constrained = Vec::new();
            posterior.target.constrain(&position, &mut constrained).unwrap();
            let expected = numbers(&point["constrained"]);
            assert_eq!(constrained.len(), expected.len(), "{name}");
            for (i, (x, e)) in constrained.iter().zip(&expected).enumerate() {
                assert!((x - e).abs() <= 1e-10 * e.abs().max(1.0), "{name}: constrained[{i}] {x}, Stan {e}");
            }
        }
        n_checked += 1;
    }
    assert_eq!(n_checked, 10);
}

/// Every file of the collection but the two differential equations is read, and its reference means lie where the posterior has mass:
/// at a position with these constrained means the density and its gradient are finite.
#[test]
fn all_reference_posteriors_are_read() {
    let Some(folder) = data::path("posteriordb") else { return };
    let mut n_read = 0;
    let mut unknown = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let posterior = match ReferencePosterior::read(&path) {
            Ok(posterior) => posterior,
            Err(posterity::Error::UnknownModel { name }) => {
                unknown.push(name);
                continue;
            }
            Err(error) => panic!("{}: {error}", path.display()),
        };
        assert_eq!(posterior.quantities.len(), posterior.param_names.len());
        let mut start = posterity::model::Values::new();
        for variable in posterior.target.variables().unwrap() {
            let mut entries = vec![0.0; variable.size()];
            for (quantity, &mean) in posterior.quantities.iter().zip(&posterior.mean) {
                if quantity.variable == variable.name {
                    entries[quantity.entry] = mean;
                }
            }
            start.set_array(&variable.name, &variable.shape, entries);
        }
        let position = posterior.target.unconstrain(&start).unwrap();
        let mut gradient = vec![0.0; position.len()];
        let value = posterior.target.evaluator().unwrap().log_density_gradient(&position, &mut gradient).unwrap();
        assert!(value.is_finite(), "{}", posterior.name);
        n_read += 1;
    }
    unknown.sort();
    assert_eq!(unknown, ["lotka_volterra", "one_comp_mm_elim_abs"]);
    assert_eq!(n_read, 37);
}
