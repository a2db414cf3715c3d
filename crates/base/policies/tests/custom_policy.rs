//! A policy that lives outside the crate: fitted, evaluated, written, read and run like any other.

mod support;

use offramp_policies::{
    AnyPolicy, Decision, ExitPolicy, ExitView, FitRows, Fitted, NamedPolicy, PastExit, PolicyEntry,
    PolicyError, Rule, SampleState, Target, choose, evaluate, exits_taken, register, registry,
};
use serde::{Deserialize, Serialize};
use support::{t8, val};

const MACS: [u64; 3] = [10, 20, 40];

/// Stops once the confidences so far add up to a sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SumPolicy {
    num_exits: usize,
    sum: f64,
}

impl ExitPolicy for SumPolicy {
    fn num_exits(&self) -> usize {
        self.num_exits
    }

    fn score(&self, _exit: usize, view: &ExitView<'_>, past: &[PastExit]) -> f64 {
        past.last().map_or(0.0, |last| last.score) + f64::from(view.evidence.confidence)
    }

    fn decide(&self, exit: usize, score: f64) -> Decision {
        if score >= self.sum || exit + 1 >= self.num_exits {
            Decision::Exit
        } else {
            Decision::Continue
        }
    }
}

impl NamedPolicy for SumPolicy {
    const NAME: &'static str = "confidence-sum";
    const DOC: &'static str = "stop when the confidences so far add up to a sum";

    fn deepest(num_exits: usize) -> Result<Self, PolicyError> {
        match num_exits {
            0 => Err(PolicyError::NoExits),
            _ => Ok(Self {
                num_exits,
                sum: 1e8,
            }),
        }
    }

    fn fit(rows: &FitRows, macs: &[u64], target: Target) -> Result<Fitted, PolicyError> {
        let num_exits = rows.table().exits();
        let sums = (0..=30).map(|i| f64::from(i) / 10.0);
        let all = sums.map(|sum| AnyPolicy::custom(Self { num_exits, sum }));
        choose(rows, all, macs, target)
    }
}

/// Another type under the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Impostor;

impl ExitPolicy for Impostor {
    fn num_exits(&self) -> usize {
        1
    }

    fn score(&self, _exit: usize, _view: &ExitView<'_>, _past: &[PastExit]) -> f64 {
        0.0
    }

    fn decide(&self, _exit: usize, _score: f64) -> Decision {
        Decision::Exit
    }
}

impl NamedPolicy for Impostor {
    const NAME: &'static str = SumPolicy::NAME;
    const DOC: &'static str = "has a name that is taken";

    fn deepest(_num_exits: usize) -> Result<Self, PolicyError> {
        Ok(Self)
    }

    fn fit(_: &FitRows, _: &[u64], _: Target) -> Result<Fitted, PolicyError> {
        Err(PolicyError::NoExits)
    }
}

/// The exits by hand: the first at which the running sum of confidences is enough.
fn by_hand(rows: &FitRows, sum: f64) -> Vec<usize> {
    let table = rows.table();
    let exit = |sample| {
        let mut total = 0.0;
        let enough = |exit| {
            total += f64::from(table.evidence(sample, exit).confidence);
            total >= sum
        };
        (0..table.exits() - 1).position(enough)
    };
    (0..table.samples())
        .map(|sample| exit(sample).unwrap_or(table.exits() - 1))
        .collect()
}

#[test]
fn it_is_evaluated_without_being_known() {
    let rows = val(t8());
    let policy = SumPolicy {
        num_exits: 3,
        sum: 1.2,
    };
    let expected = by_hand(&rows, 1.2);
    assert!([0, 1, 2].iter().any(|exit| !expected.contains(exit)) || expected.len() > 2);
    let boxed: Box<dyn ExitPolicy> = Box::new(policy.clone());
    assert_eq!(exits_taken(&*boxed, rows.table()).unwrap(), expected);
    let point = evaluate(&*boxed, rows.table(), &MACS).unwrap();
    assert_eq!(evaluate(&policy, rows.table(), &MACS).unwrap(), point);
    let any = AnyPolicy::custom(policy);
    assert_eq!(evaluate(&any, rows.table(), &MACS).unwrap(), point);

    // The runners step through the exits with a rule.
    let table = rows.table();
    let rule = Rule::from(any);
    for (sample, &exit) in expected.iter().enumerate() {
        let mut state = SampleState::default();
        let stops = (0..3).find(|&k| {
            let logits = &table.logits(k)[sample * table.classes()..][..table.classes()];
            state.step(&rule, logits).1 == Decision::Exit
        });
        assert_eq!(stops, Some(exit));
    }
}

#[test]
fn once_registered_it_is_fitted_written_and_read_by_its_name() {
    register::<SumPolicy>().unwrap();
    register::<SumPolicy>().unwrap();
    let same = |entry: &&PolicyEntry| entry.name == SumPolicy::NAME;
    assert_eq!(registry().iter().filter(same).count(), 1);

    let rows = val(t8());
    let entry = PolicyEntry::named("confidence-sum").unwrap();
    let fitted = (entry.fit)(&rows, &MACS, Target::MaxMacs(25.0)).unwrap();
    assert!(fitted.on_fit.mean_macs <= 25.0);
    let AnyPolicy::Custom(custom) = &fitted.policy else {
        panic!("{:?}", fitted.policy);
    };
    let sum = custom.downcast_ref::<SumPolicy>().unwrap().sum;
    assert_eq!(
        exits_taken(&fitted.policy, rows.table()).unwrap(),
        by_hand(&rows, sum)
    );

    let text = serde_json::to_string(&fitted.policy).unwrap();
    assert_eq!(
        serde_json::from_str::<AnyPolicy>(&text).unwrap(),
        fitted.policy
    );
    let json = serde_json::to_value(&fitted.policy).unwrap();
    assert_eq!(json["name"], "confidence-sum");
    assert_eq!(json["num-exits"], 3);
    let wrong = r#"{"name":"confidence-sum","num-exits":3,"sum":1.0,"spare":1}"#;
    let error = serde_json::from_str::<AnyPolicy>(wrong).unwrap_err();
    assert!(
        error.to_string().contains("unknown field `spare`"),
        "{error}"
    );
}

#[test]
fn a_name_belongs_to_one_policy() {
    register::<SumPolicy>().unwrap();
    let error = register::<Impostor>().unwrap_err();
    assert!(error.to_string().contains("`confidence-sum`"), "{error}");
}
