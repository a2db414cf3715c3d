//! Runs that repeat one experiment with other seeds.

use std::collections::BTreeMap;

use crate::chart::Table;
use crate::run::Run;
use crate::stats::Spread;
use offramp_run::{EvalReport, known};

/// Runs whose recipes differ in the seed alone.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Places in the list of runs.
    pub(crate) runs: Vec<usize>,
    /// Every exit of those runs that have scores, shallowest first.
    pub(crate) exits: Vec<ExitSpread>,
    pub(crate) ensemble: Option<Spread>,
}

/// One exit over the seeds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExitSpread {
    /// MACs, equal in all runs of a group.
    pub(crate) macs: f64,
    pub(crate) top1: Option<Spread>,
    pub(crate) ece: Option<Spread>,
}

/// Groups repetitions, in the order in which their first runs were named.
pub(crate) fn groups(runs: &[Run]) -> Vec<Group> {
    let mut places: Vec<(String, Vec<usize>)> = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let key = match (&run.recipe, exits(run)) {
            (Some(recipe), exits) => format!("{exits:?} {}", recipe.experiment()),
            // Nothing says that it repeats another one.
            (None, _) => format!("run {index}"),
        };
        match places.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(index),
            None => places.push((key, vec![index])),
        }
    }
    let mut groups: Vec<Group> = places.into_iter().map(|(_, m)| group(runs, m)).collect();
    tell_apart(&mut groups, runs);
    groups
}

fn exits(run: &Run) -> Option<Vec<u64>> {
    let scores = run.scores.as_ref()?;
    Some(scores.exits.iter().map(|exit| exit.macs).collect())
}

fn group(runs: &[Run], members: Vec<usize>) -> Group {
    let scores: Vec<&EvalReport> = (members.iter())
        .filter_map(|&member| runs[member].scores.as_ref())
        .collect();
    let exits = scores.first().map_or(0, |scores| scores.exits.len());
    let exit = |exit: usize| ExitSpread {
        macs: scores[0].exits[exit].macs as f64,
        top1: Spread::of(scores.iter().map(|s| known(s.exits[exit].top1))),
        ece: Spread::of(scores.iter().map(|s| known(s.exits[exit].ece))),
    };
    let ensemble = |scores: &&EvalReport| known(scores.ensemble.top1);
    Group {
        name: runs[members[0]].name(),
        exits: (0..exits).map(exit).collect(),
        ensemble: Spread::of(scores.iter().map(ensemble)),
        runs: members,
    }
}

/// Groups of one name, whose recipes differ, get the folder of their first run added.
fn tell_apart(groups: &mut [Group], runs: &[Run]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for group in groups.iter() {
        *counts.entry(group.name.clone()).or_default() += 1;
    }
    for group in groups.iter_mut().filter(|group| counts[&group.name] > 1) {
        let label = runs[group.runs[0]].label();
        if label != group.name {
            group.name = format!("{} ({label})", group.name);
        }
    }
}

/// Top-1 of every exit with its spread over seeds.
pub(crate) fn table(groups: &[Group]) -> Table {
    let exits = groups
        .iter()
        .map(|group| group.exits.len())
        .max()
        .unwrap_or(0);
    let mut header = vec!["experiment".to_owned(), "runs".to_owned()];
    header.extend((0..exits).map(|exit| format!("exit {exit}, top-1 %")));
    header.extend([
        "all exits, top-1 %".to_owned(),
        "MACs of exits, M".to_owned(),
    ]);
    let row = |group: &Group| {
        let mut cells = vec![group.name.clone(), group.runs.len().to_string()];
        let exit = |exit| {
            group
                .exits
                .get(exit)
                .and_then(|exit: &ExitSpread| exit.top1)
        };
        cells.extend((0..exits).map(|k| spread(exit(k))));
        cells.push(spread(group.ensemble));
        let macs = group
            .exits
            .iter()
            .map(|exit| format!("{:.2}", exit.macs / 1e6));
        cells.push(macs.collect::<Vec<_>>().join(" / "));
        cells
    };
    Table {
        rows: groups.iter().map(row).collect(),
        header,
        remark: Some("Mean ± standard deviation over seeds (n − 1); a single run has none.".into()),
    }
}

fn spread(spread: Option<Spread>) -> String {
    match spread {
        None => "–".to_owned(),
        Some(Spread {
            mean,
            deviation: Some(deviation),
            count,
        }) => format!("{mean:.2} ± {deviation:.2} (n = {count})"),
        Some(Spread { mean, .. }) => format!("{mean:.2}"),
    }
}
