//! What MATE-R becomes at the ends of its settings.

use crate::support::{
    END, Z, assert_close, device, matrix, method, network, outputs, targets, values, with_scores,
};
use offramp_core::ExitOutputs;
use offramp_losses::kl_divergence;
use offramp_methods::{LossTerms, Method, NetworkInfo};

fn net() -> NetworkInfo {
    network(3, 3, 2)
}

fn exits() -> ExitOutputs {
    outputs(&Z, Some(&[[1.0, 0.5], [0.2, 2.0], [0.7, 0.0]]), &device())
}

fn losses(table: &str) -> LossTerms {
    method(table, &net()).losses(&exits(), &targets(&[0]), &END)
}

#[track_caller]
fn assert_equal_terms(a: &LossTerms, b: &LossTerms) {
    let describe = |terms: &LossTerms| {
        let term = |term: &offramp_methods::LossTerm| {
            (
                term.name.clone(),
                term.weight,
                values(term.value.clone())[0],
            )
        };
        terms.iter().map(term).collect::<Vec<_>>()
    };
    let (a, b) = (describe(a), describe(b));
    assert_eq!(a.len(), b.len(), "{a:?}\n{b:?}");
    for (a, b) in a.iter().zip(&b) {
        assert_eq!((&a.0, a.1), (&b.0, b.1));
        assert!((a.2 - b.2).abs() <= 1e-6, "{a:?} {b:?}");
    }
}

#[test]
fn equal_fixed_weights_and_equal_shares_are_eed() {
    let mate = r#"
        name = "mate"
        lambda = 0.3333333333333333
        weights = "uniform"
        feature-weight = 0.5
    "#;
    let eed = "name = \"eed\"\nform = \"kl\"\nfeature-weight = 0.5";
    assert_equal_terms(&losses(mate), &losses(eed));
}

#[test]
fn teachers_that_are_the_last_exit_are_last_exit_teaching() {
    let last = [0.0, 0.0, 1e3];
    let mate = with_scores(
        method("name = \"mate\"\nteacher-weight = 0.0", &net()),
        [last; 3],
    );
    let mut mate: Vec<_> = mate
        .losses(&exits(), &targets(&[0]), &END)
        .into_iter()
        .collect();
    let zero = mate.pop().expect("the last exit's term");
    assert_eq!(zero.name, "kd/2");
    assert_eq!(values(zero.value), [0.0]);

    let mut rest = LossTerms::new();
    for term in mate {
        rest.push(term.name, term.value, term.weight);
    }
    assert_equal_terms(&rest, &losses("name = \"last-exit\""));
}

#[test]
fn with_the_whole_share_only_the_primary_teacher_counts() {
    let mate = with_scores(
        method("name = \"mate\"\nlambda = 1.0", &net()),
        [[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 2.0]],
    );
    let terms = mate.losses(&exits(), &targets(&[0]), &END);
    // e_i of T1.
    let ensembles = [
        [1.42479, 0.212395, -0.909969],
        [2.0, 0.5, -0.788058],
        [2.57521, 0.787605, -0.334759],
    ];
    for (i, (z, e)) in Z.iter().zip(ensembles).enumerate() {
        let own = kl_divergence(matrix(&[*z], &device()), matrix(&[e], &device()), 3.0);
        let term = terms.get(&format!("kd/{i}")).expect("a term an exit");
        assert_close(term.value.clone(), f64::from(values(own)[0]));
    }
}

#[test]
fn weights_that_are_one_exit_pull_nothing() {
    let mate = with_scores(
        method("name = \"mate\"", &net()),
        [[1e3, 0.0, 0.0], [0.0, 1e3, 0.0], [0.0, 0.0, 1e3]],
    );
    let terms = mate.losses(&exits(), &targets(&[0]), &END);
    for k in 0..3 {
        assert_eq!(
            values(terms.get(&format!("pull/{k}")).unwrap().value.clone()),
            [0.0]
        );
    }
}

#[test]
fn the_ramp_scales_what_is_taught_and_nothing_else() {
    let start = offramp_methods::StepContext {
        epoch: 0.0,
        epochs: 24.0,
        ..END
    };
    let terms = method("name = \"mate\"", &net()).losses(&exits(), &targets(&[0]), &start);
    for term in &terms {
        let expected = if term.name.starts_with("kd/") {
            (-5.0_f64).exp()
        } else {
            1.0
        };
        assert_eq!(term.weight, expected, "{}", term.name);
    }
}
