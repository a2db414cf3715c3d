//! The table of policies for files and command lines; registration of policies of other crates.

use std::any::TypeId;
use std::fmt::Debug;
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::BUILT_IN;
use crate::{
    AnyPolicy, Criterion, Decision, ExitPolicy, ExitView, FitRows, Fitted, PastExit, PolicyError,
    Target, named,
};

/// A policy with a name, by which files and command lines know it.
///
/// Its fields are what a file holds beside the name; reading must check them.
pub trait NamedPolicy:
    ExitPolicy + Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name, kebab-case: `name` in files, `--policy` on the command line.
    const NAME: &'static str;
    /// What it does, in one line.
    const DOC: &'static str;
    /// What its thresholds compare with; `None` for a policy that looks at something else.
    const CRITERION: Option<Criterion> = None;
    /// Whether it is made from measured times and a limit ([`from_times`](Self::from_times)) instead
    /// of being fitted on rows.
    const TIMED: bool = false;

    /// The policy of this kind with which every sample reaches the deepest of `num_exits` exits.
    ///
    /// # Errors
    /// [`PolicyError::NoExits`] for 0 exits.
    fn deepest(num_exits: usize) -> Result<Self, PolicyError>;

    /// The policy of this kind that meets a target on the rows; costs as in [`fit()`](crate::fit()).
    ///
    /// # Errors
    /// When no policy of this kind meets the target.
    fn fit(rows: &FitRows, macs: &[u64], target: Target) -> Result<Fitted, PolicyError>;

    /// The policy that answers within `limit_ms`, where exit `k` answers after `exit_ms[k]`, both
    /// milliseconds.
    ///
    /// # Errors
    /// [`PolicyError::NoTimes`] unless the policy is [`TIMED`](Self::TIMED).
    fn from_times(exit_ms: Vec<f64>, limit_ms: f64) -> Result<Self, PolicyError> {
        let _ = (exit_ms, limit_ms);
        Err(PolicyError::NoTimes { name: Self::NAME })
    }
}

/// One line of the [`registry`]: a [`NamedPolicy`] without its type.
#[derive(Clone, Copy, Debug)]
pub struct PolicyEntry {
    /// See [`NamedPolicy::NAME`].
    pub name: &'static str,
    /// See [`NamedPolicy::DOC`].
    pub doc: &'static str,
    /// See [`NamedPolicy::CRITERION`].
    pub criterion: Option<Criterion>,
    /// See [`NamedPolicy::TIMED`].
    pub timed: bool,
    /// See [`NamedPolicy::deepest`].
    pub deepest: fn(num_exits: usize) -> Result<AnyPolicy, PolicyError>,
    /// See [`NamedPolicy::fit`].
    pub fit: fn(&FitRows, &[u64], Target) -> Result<Fitted, PolicyError>,
    /// See [`NamedPolicy::from_times`].
    pub from_times: fn(exit_ms: Vec<f64>, limit_ms: f64) -> Result<AnyPolicy, PolicyError>,
    pub(super) read: fn(Value) -> serde_json::Result<AnyPolicy>,
    pub(super) type_id: fn() -> TypeId,
}

/// The entry of a [`NamedPolicy`] whose values `$wrap` makes an [`AnyPolicy`] of.
macro_rules! entry {
    ($policy:ty, $wrap:expr) => {
        $crate::policies::registry::PolicyEntry {
            name: <$policy as NamedPolicy>::NAME,
            doc: <$policy as NamedPolicy>::DOC,
            criterion: <$policy as NamedPolicy>::CRITERION,
            timed: <$policy as NamedPolicy>::TIMED,
            deepest: |num_exits| <$policy as NamedPolicy>::deepest(num_exits).map($wrap),
            fit: <$policy as NamedPolicy>::fit,
            from_times: |exit_ms, limit_ms| {
                <$policy as NamedPolicy>::from_times(exit_ms, limit_ms).map($wrap)
            },
            read: |fields| serde_json::from_value::<$policy>(fields).map($wrap),
            type_id: std::any::TypeId::of::<$policy>,
        }
    };
}

/// Policies of other crates.
static REGISTERED: RwLock<Vec<PolicyEntry>> = RwLock::new(Vec::new());

/// Every policy: those of this crate, then those that were [registered](register). Help, tables and the
/// tests that run over all policies read this list.
pub fn registry() -> Vec<PolicyEntry> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    BUILT_IN.iter().chain(&*registered).copied().collect()
}

/// Adds a policy of another crate to the [`registry`]: from now on files and command lines of this
/// process can name it. A second call for the same type changes nothing.
///
/// # Errors
/// [`PolicyError::NameTaken`] when another policy has the name.
///
/// ```
/// use offramp_policies::*;
/// use serde::{Deserialize, Serialize};
///
/// /// Stops when two classes hold at least this much probability together.
/// #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
/// #[serde(rename_all = "kebab-case", deny_unknown_fields)]
/// struct TopTwo {
///     num_exits: usize,
///     threshold: f64,
/// }
///
/// impl ExitPolicy for TopTwo {
///     fn num_exits(&self) -> usize {
///         self.num_exits
///     }
///
///     fn score(&self, _exit: usize, view: &ExitView<'_>, _past: &[PastExit]) -> f64 {
///         view.top_k(2).iter().map(|&c| f64::from(view.probabilities[c])).sum()
///     }
///
///     fn decide(&self, exit: usize, score: f64) -> Decision {
///         if score >= self.threshold || exit + 1 >= self.num_exits {
///             Decision::Exit
///         } else {
///             Decision::Continue
///         }
///     }
/// }
///
/// impl NamedPolicy for TopTwo {
///     const NAME: &'static str = "top-two";
///     const DOC: &'static str = "stop when two classes are probable enough together";
///
///     fn deepest(num_exits: usize) -> Result<Self, PolicyError> {
///         if num_exits == 0 {
///             return Err(PolicyError::NoExits);
///         }
///         Ok(Self { num_exits, threshold: 2.0 })
///     }
///
///     fn fit(rows: &FitRows, macs: &[u64], target: Target) -> Result<Fitted, PolicyError> {
///         let num_exits = rows.table().exits();
///         let thresholds = (0..=100).map(|i| f64::from(i) / 100.0);
///         let all = thresholds.map(|threshold| AnyPolicy::custom(Self { num_exits, threshold }));
///         choose(rows, all, macs, target)
///     }
/// }
///
/// register::<TopTwo>()?;
/// let json = r#"{"name":"top-two","num-exits":2,"threshold":0.9}"#;
/// let policy: AnyPolicy = serde_json::from_str(json)?;
/// assert_eq!(policy, AnyPolicy::custom(TopTwo { num_exits: 2, threshold: 0.9 }));
/// assert_eq!(PolicyEntry::named("top-two")?.doc, TopTwo::DOC);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn register<P: NamedPolicy>() -> Result<(), PolicyError> {
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let taken = (BUILT_IN.iter().chain(&*registered)).find(|entry| entry.name == P::NAME);
    match taken {
        None => {
            registered.push(PolicyEntry::custom::<P>());
            Ok(())
        }
        Some(entry) if (entry.type_id)() == TypeId::of::<P>() => Ok(()),
        Some(_) => Err(PolicyError::NameTaken { name: P::NAME }),
    }
}

impl PolicyEntry {
    /// The entry called `name`.
    ///
    /// # Errors
    /// [`PolicyError::UnknownName`], with the names there are.
    pub fn named(name: &str) -> Result<Self, PolicyError> {
        let all = registry();
        let entry = all.iter().find(|entry| entry.name == name);
        entry.copied().ok_or_else(|| PolicyError::UnknownName {
            what: "policy",
            name: name.to_owned(),
            known: named::list(all.iter().map(|entry| entry.name)),
        })
    }

    fn custom<P: NamedPolicy>() -> Self {
        entry!(P, AnyPolicy::custom)
    }
}

/// Makes [`AnyPolicy`] and the table of this crate's policies from lines `Variant(Type),`; each type is
/// a [`NamedPolicy`].
macro_rules! policies {
    ($($variant:ident($policy:ty),)+) => {
        /// Any policy that a file or a command line can name.
        ///
        /// In JSON the key `name` has its name in the [`registry`]; earlier formats called the key
        /// `kind`:
        ///
        /// ```
        /// use offramp_policies::{AnyPolicy, Criterion};
        ///
        /// let thresholds = vec![0.3, f64::NEG_INFINITY, 0.0];
        /// let policy = AnyPolicy::with_thresholds(Criterion::Entropy, thresholds)?;
        /// let json = r#"{"name":"entropy","thresholds":[0.3,"-inf",0.0]}"#;
        /// assert_eq!(serde_json::to_string(&policy)?, json);
        /// assert_eq!(serde_json::from_str::<AnyPolicy>(json)?, policy);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum AnyPolicy {
            $(
                #[doc = concat!("See [`", stringify!($policy), "`].")]
                $variant($policy),
            )+
            /// A policy of another crate, see [`register`].
            Custom($crate::CustomPolicy),
        }

        $(
            impl From<$policy> for AnyPolicy {
                fn from(policy: $policy) -> Self {
                    Self::$variant(policy)
                }
            }
        )+

        impl AnyPolicy {
            /// Its name in the [`registry`].
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => <$policy as NamedPolicy>::NAME,)+
                    Self::Custom(policy) => policy.name(),
                }
            }

            /// What the thresholds compare with; `None` for a policy that looks at something else.
            pub fn criterion(&self) -> Option<Criterion> {
                match self {
                    $(Self::$variant(_) => <$policy as NamedPolicy>::CRITERION,)+
                    Self::Custom(policy) => policy.criterion(),
                }
            }

            fn inner(&self) -> &dyn $crate::ExitPolicy {
                match self {
                    $(Self::$variant(policy) => policy,)+
                    Self::Custom(policy) => policy.inner(),
                }
            }
        }

        impl serde::Serialize for AnyPolicy {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$variant(policy) => $crate::named::serialize(self.name(), policy, out),)+
                    Self::Custom(policy) => policy.serialize(out),
                }
            }
        }

        /// The policies of this crate.
        const BUILT_IN: &[PolicyEntry] = &[$(registry::entry!($policy, AnyPolicy::$variant)),+];
    };
}

pub(super) use {entry, policies};

impl<'de> Deserialize<'de> for AnyPolicy {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let (name, fields) = named::deserialize(input)?;
        let entry = PolicyEntry::named(&name).map_err(serde::de::Error::custom)?;
        (entry.read)(fields).map_err(serde::de::Error::custom)
    }
}

impl AnyPolicy {
    /// Refuses a policy made for another number of exits.
    ///
    /// # Errors
    /// [`PolicyError::ExitCount`].
    pub fn check_exits(&self, exits: usize) -> Result<(), PolicyError> {
        check_exits(self, exits)
    }

    /// Refuses a policy fitted for another number of classes.
    ///
    /// # Errors
    /// [`PolicyError::Classes`].
    pub fn check_classes(&self, classes: usize) -> Result<(), PolicyError> {
        check_classes(self, classes)
    }
}

impl ExitPolicy for AnyPolicy {
    fn num_exits(&self) -> usize {
        self.inner().num_exits()
    }

    fn score(&self, exit: usize, view: &ExitView<'_>, past: &[PastExit]) -> f64 {
        self.inner().score(exit, view, past)
    }

    fn decide(&self, exit: usize, score: f64) -> Decision {
        self.inner().decide(exit, score)
    }

    fn thresholds(&self) -> &[f64] {
        self.inner().thresholds()
    }

    fn classes(&self) -> Option<usize> {
        self.inner().classes()
    }
}

pub(crate) fn check_exits(
    policy: &(impl ExitPolicy + ?Sized),
    expected: usize,
) -> Result<(), PolicyError> {
    let found = policy.num_exits();
    if found == expected {
        return Ok(());
    }
    let what = match policy.thresholds() {
        [] => "exits of the policy",
        _ => "thresholds",
    };
    Err(PolicyError::ExitCount {
        what,
        found,
        expected,
    })
}

pub(crate) fn check_classes(
    policy: &(impl ExitPolicy + ?Sized),
    expected: usize,
) -> Result<(), PolicyError> {
    match policy.classes() {
        Some(found) if found != expected => Err(PolicyError::Classes { found, expected }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, exit_taken};

    fn view(evidence: Evidence) -> ExitView<'static> {
        ExitView {
            evidence,
            probabilities: &[1.0, 0.0, 0.0],
        }
    }

    #[test]
    fn every_entry_is_what_it_says() {
        let certain = view(Evidence::from_logits(&[500.0, 0.0, 0.0]));
        for entry in registry() {
            let policy = (entry.deepest)(3).unwrap();
            let json = serde_json::to_value(&policy).unwrap();
            assert_eq!(json["name"], entry.name);
            assert_eq!(policy.name(), entry.name);
            assert_eq!(serde_json::from_value::<AnyPolicy>(json).unwrap(), policy);
            assert_eq!(policy.criterion(), entry.criterion);
            assert_eq!(policy.num_exits(), 3);
            assert_eq!(exit_taken(&policy, |_| certain), 2, "{}", entry.name);
            assert!((entry.deepest)(0).is_err(), "{}", entry.name);
            assert!(!entry.doc.contains('\n'));
            assert_eq!(PolicyEntry::named(entry.name).unwrap().name, entry.name);
        }
        let fitted: Vec<_> = registry()
            .iter()
            .filter_map(|entry| entry.criterion)
            .collect();
        assert_eq!(fitted, Criterion::ALL);
        let error = PolicyEntry::named("patient").unwrap_err().to_string();
        assert!(
            error.contains("`patient`") && error.contains("patience, gates"),
            "{error}"
        );
    }

    #[test]
    fn the_last_exit_stops_even_broken_evidence() {
        let broken = view(Evidence::from_logits(&[f32::NAN, 0.0]));
        for criterion in Criterion::ALL {
            let eager = AnyPolicy::with_thresholds(criterion, vec![criterion.always(); 3]).unwrap();
            let score = eager.score(0, &broken, &[]);
            assert_eq!(eager.decide(0, score), Decision::Continue, "{criterion}");
            assert_eq!(eager.decide(2, score), Decision::Exit, "{criterion}");
            assert_eq!(eager.decide(7, score), Decision::Exit, "{criterion}");
            assert_eq!(exit_taken(&eager, |_| broken), 2, "{criterion}");
        }
    }

    #[test]
    fn a_policy_of_another_depth_is_refused() {
        let policy = AnyPolicy::with_thresholds(Criterion::Margin, vec![0.5, 0.0]).unwrap();
        assert!(policy.check_exits(2).is_ok());
        assert_eq!(
            policy.check_exits(3).unwrap_err().to_string(),
            "2 thresholds for 3 exit(s); give one for each exit, shallowest first"
        );
    }

    #[test]
    fn unknown_kinds_and_fields_are_refused() {
        for json in [
            r#"{"name":"impatience","thresholds":[1.0]}"#,
            r#"{"name":"confidence","thresholds":[0.5,0.5],"treshold":1}"#,
            r#"{"name":"confidence"}"#,
        ] {
            assert!(serde_json::from_str::<AnyPolicy>(json).is_err(), "{json}");
        }
    }
}
