//! Matching the tensors of a file to those of a network.

mod error;
mod rename;

use std::collections::{BTreeMap, BTreeSet};

use offramp_core::nearest;

pub use error::{NameError, Unmatched};
pub use rename::Rename;

/// Wrappers whose name stands before every other: `DataParallel`, `torch.compile`, Lightning.
const WRAPPERS: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// Names of the classifier in other programs, without `.weight` and `.bias`.
const CLASSIFIERS: [&str; 5] = ["fc", "linear", "classifier", "head", "head.fc"];

/// The counterparts of a network's tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Name in the file by name in the network.
    pub pairs: BTreeMap<String, String>,
    /// Tensors of the network that have none; empty unless that was allowed.
    pub missing: Vec<Unmatched>,
    /// Names of the file that were left out on purpose: counters of batches, and what a
    /// [`Rename`] empties.
    pub left_out: Vec<String>,
}

/// Shapes by name.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// Finds for every tensor of a network its counterpart in a file.
///
/// A name of the file loses the wrappers (`module.`) that all names have, then the renames are
/// applied in their order. It then stands for the tensor of the network that is called so, or so
/// after `backbone.`; `shortcut` may stand for `downsample`, and `fc`, `linear`, `classifier`,
/// `classifier.N` or `head` for the deepest exit's `fc`.
///
/// # Errors
/// When a tensor of the file has no counterpart, one of the network has none and `allow_missing`
/// is not set, or shapes differ.
pub(crate) fn match_names(
    network: &Shapes,
    file: &Shapes,
    renames: &[Rename],
    allow_missing: bool,
) -> Result<Mapping, NameError> {
    let mut mapping = Mapping::default();
    let mut unexpected = Vec::new();
    for (file_name, plain) in plain_names(file.keys(), renames) {
        let Some(plain) = plain else {
            mapping.left_out.push(file_name.to_owned());
            continue;
        };
        match counterpart(&plain, network) {
            Some(name) => {
                if let Some(first) = mapping.pairs.insert(name.clone(), file_name.to_owned()) {
                    return Err(NameError::Twice {
                        name,
                        first,
                        second: file_name.to_owned(),
                    });
                }
            }
            None => unexpected.push((file_name.to_owned(), plain)),
        }
    }
    let missing: Vec<&String> = network
        .keys()
        .filter(|name| !mapping.pairs.contains_key(*name))
        .collect();
    let unmatched = |name: &str, shapes: &Shapes, nearest: Option<&str>| Unmatched {
        name: name.to_owned(),
        shape: shapes.get(name).cloned().unwrap_or_default(),
        nearest: nearest.map(str::to_owned),
    };
    let without_part = |name: &str| name.trim_start_matches("backbone.").to_owned();
    mapping.missing = (missing.iter())
        .map(|name| {
            let candidates = unexpected.iter().map(|(_, plain)| plain.as_str());
            unmatched(name, network, nearest(&without_part(name), candidates))
        })
        .collect();
    let short: Vec<String> = missing.iter().map(|name| without_part(name)).collect();
    let unexpected: Vec<Unmatched> = (unexpected.iter())
        .map(|(name, plain)| {
            let candidates = short.iter().map(String::as_str);
            unmatched(name, file, nearest(plain, candidates))
        })
        .collect();
    if !unexpected.is_empty() || !(allow_missing || mapping.missing.is_empty()) {
        return Err(NameError::Unmatched {
            missing: mapping.missing,
            unexpected,
        });
    }
    check_shapes(&mapping.pairs, network, file)?;
    Ok(mapping)
}

fn check_shapes(
    pairs: &BTreeMap<String, String>,
    network: &Shapes,
    file: &Shapes,
) -> Result<(), NameError> {
    for (name, file_name) in pairs {
        if let (Some(expected), Some(found)) = (network.get(name), file.get(file_name))
            && expected != found
        {
            return Err(NameError::Shape {
                name: name.clone(),
                file_name: file_name.clone(),
                expected: expected.clone(),
                found: found.clone(),
            });
        }
    }
    Ok(())
}

/// Rows of the classifier of a file: its number of classes.
pub(crate) fn classes(file: &Shapes, renames: &[Rename]) -> Option<usize> {
    let mut rows = plain_names(file.keys(), renames).filter_map(|(file_name, plain)| {
        let plain = plain?;
        let is_classifier = classifier_part(&plain) == Some("weight")
            || (plain.starts_with("heads.") && plain.ends_with(".fc.weight"));
        is_classifier.then(|| file.get(file_name)?.first().copied())?
    });
    let first = rows.next()?;
    rows.all(|other| other == first).then_some(first)
}

/// Names of a file with their names without wrappers and after the renames; `None` for
/// those that are left out.
fn plain_names<'a>(
    names: impl Iterator<Item = &'a String>,
    renames: &[Rename],
) -> impl Iterator<Item = (&'a str, Option<String>)> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let wrapper = wrapper(&names);
    names.into_iter().map(move |name| {
        let mut plain = name[wrapper..].to_owned();
        for rename in renames {
            plain = rename.apply(&plain);
        }
        let counter = plain.ends_with("num_batches_tracked");
        (name, (!counter && !plain.is_empty()).then_some(plain))
    })
}

/// Length of the wrappers that stand before all names.
fn wrapper(names: &[&str]) -> usize {
    let mut length = 0;
    while let Some(next) = WRAPPERS.iter().find(|wrapper| {
        !names.is_empty()
            && names
                .iter()
                .all(|name| name[length..].starts_with(**wrapper))
    }) {
        length += next.len();
    }
    length
}

fn counterpart(plain: &str, network: &Shapes) -> Option<String> {
    let known = |name: String| network.contains_key(&name).then_some(name);
    let usual: Vec<&str> = (plain.split('.'))
        .map(|part| match part {
            "shortcut" => "downsample",
            part => part,
        })
        .collect();
    known(plain.to_owned())
        .or_else(|| known(format!("backbone.{plain}")))
        .or_else(|| known(format!("backbone.{}", usual.join("."))))
        .or_else(|| {
            known(format!(
                "{}.{}",
                deepest_fc(network)?,
                classifier_part(plain)?
            ))
        })
}

/// `weight` or `bias` if that is what is named, of a classifier.
fn classifier_part(plain: &str) -> Option<&str> {
    let (layer, part) = plain.rsplit_once('.')?;
    let layer = match layer.rsplit_once('.') {
        // torchvision's `classifier = Sequential(Dropout, Linear)`.
        Some(("classifier", index)) if index.parse::<usize>().is_ok() => "classifier",
        _ => layer,
    };
    (CLASSIFIERS.contains(&layer) && ["weight", "bias"].contains(&part)).then_some(part)
}

/// The classifier of the deepest exit, such as `heads.2.fc`.
fn deepest_fc(network: &Shapes) -> Option<String> {
    let number = |name: &String| -> Option<usize> {
        let number = name.strip_prefix("heads.")?.strip_suffix(".fc.weight")?;
        number.parse().ok()
    };
    let numbers: BTreeSet<usize> = network.keys().filter_map(number).collect();
    numbers.last().map(|number| format!("heads.{number}.fc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(names: &[(&str, &[usize])]) -> Shapes {
        let owned = |(name, shape): &(&str, &[usize])| ((*name).to_owned(), shape.to_vec());
        names.iter().map(owned).collect()
    }

    fn network() -> Shapes {
        shapes(&[
            ("backbone.conv1.weight", &[4, 3, 3, 3]),
            ("backbone.layer2.0.downsample.0.weight", &[8, 4, 1, 1]),
            ("heads.0.fc.weight", &[10, 8]),
            ("heads.0.fc.bias", &[10]),
        ])
    }

    fn file(names: [&str; 4]) -> Shapes {
        let shapes = network().into_values();
        names.into_iter().map(str::to_owned).zip(shapes).collect()
    }

    fn matched(names: [&str; 4], renames: &[&str]) -> Result<Mapping, NameError> {
        let renames: Vec<_> = renames.iter().map(|r| Rename::parse(r).unwrap()).collect();
        match_names(&network(), &file(names), &renames, false)
    }

    #[test]
    fn usual_names_need_no_rename() {
        for (prefix, shortcut, classifier) in [
            ("", "downsample", "fc"),
            ("module.", "shortcut", "linear"),
            ("module._orig_mod.", "downsample", "classifier"),
            ("model.", "shortcut", "classifier.1"),
            ("", "downsample", "head.fc"),
        ] {
            let names = [
                format!("{prefix}conv1.weight"),
                format!("{prefix}layer2.0.{shortcut}.0.weight"),
                // The shapes are in the order of the network's names, bias before weight.
                format!("{prefix}{classifier}.bias"),
                format!("{prefix}{classifier}.weight"),
            ];
            let found = matched(names.each_ref().map(String::as_str), &[]).unwrap();
            assert_eq!(found.pairs["heads.0.fc.weight"], names[3]);
            assert_eq!(
                found.pairs["backbone.layer2.0.downsample.0.weight"],
                names[1]
            );
        }
    }

    #[test]
    fn our_own_names_are_known() {
        let names = network().into_keys().collect::<Vec<_>>();
        let names: [&str; 4] = std::array::from_fn(|i| names[i].as_str());
        assert_eq!(matched(names, &[]).unwrap().pairs.len(), 4);
    }

    #[test]
    fn what_does_not_match_is_listed_with_the_nearest() {
        let names = [
            "conv_1.weight",
            "layer2.0.downsample.0.weight",
            "fc.bias",
            "fc.weight",
        ];
        let error = matched(names, &[]).unwrap_err().to_string();
        assert!(
            error.contains("backbone.conv1.weight [4, 3, 3, 3], nearest: conv_1.weight"),
            "{error}"
        );
        assert!(
            error.contains("  conv_1.weight [4, 3, 3, 3], nearest: conv1.weight"),
            "{error}"
        );
        assert!(matched(names, &["conv_(\\d)=conv$1"]).is_ok());
    }

    #[test]
    fn a_rename_to_nothing_leaves_out_and_counters_always_are() {
        let mut file = file([
            "conv1.weight",
            "layer2.0.downsample.0.weight",
            "fc.bias",
            "fc.weight",
        ]);
        file.insert("bn1.num_batches_tracked".into(), vec![]);
        file.insert("aux.fc.weight".into(), vec![10, 4]);
        let error = match_names(&network(), &file, &[], true)
            .unwrap_err()
            .to_string();
        assert!(error.contains("aux.fc.weight"), "{error}");
        let rename = Rename::parse(r"^aux\..*=").unwrap();
        let found = match_names(&network(), &file, &[rename], false).unwrap();
        assert_eq!(found.left_out, ["aux.fc.weight", "bn1.num_batches_tracked"]);
    }

    #[test]
    fn missing_tensors_need_permission() {
        let mut file = file([
            "conv1.weight",
            "layer2.0.downsample.0.weight",
            "fc.bias",
            "fc.weight",
        ]);
        file.remove("fc.bias");
        let error = match_names(&network(), &file, &[], false).unwrap_err();
        assert!(
            error.to_string().contains("heads.0.fc.bias [10]"),
            "{error}"
        );
        let found = match_names(&network(), &file, &[], true).unwrap();
        assert_eq!(found.missing[0].name, "heads.0.fc.bias");
    }

    #[test]
    fn shapes_and_doubles_are_checked() {
        let mut other = network();
        other.insert("heads.0.fc.weight".into(), vec![100, 8]);
        let error = match_names(&network(), &other, &[], false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("[100, 8]") && error.contains("classes"),
            "{error}"
        );
        let mut twice = network();
        twice.insert("linear.bias".into(), vec![10]);
        let error = match_names(&network(), &twice, &[], false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("linear.bias") && error.contains("heads.0.fc.bias"),
            "{error}"
        );
        let error = Rename::parse("(=x").unwrap_err().to_string();
        assert!(error.contains("(=x"), "{error}");
        assert!(
            Rename::parse("x")
                .unwrap_err()
                .to_string()
                .contains("REGEX=NAME")
        );
    }

    #[test]
    fn the_classes_are_the_rows_of_the_classifier() {
        let file = file([
            "conv1.weight",
            "a.weight",
            "module.linear.bias",
            "linear.weight",
        ]);
        assert_eq!(classes(&file, &[]), Some(10));
        assert_eq!(classes(&network(), &[]), Some(10));
        assert_eq!(
            classes(&shapes(&[("conv1.weight", &[4, 3, 3, 3])]), &[]),
            None
        );
    }
}
