//! Training of the scores of EENet.

use super::adam::Adam;
use crate::fit::msdnet::quota_thresholds;
use crate::{
    AnyPolicy, Criterion, ExitPolicy, FitRows, Fitted, PastExit, PolicyError, SchedulerPolicy,
    Scorer, Target, Thresholds, choose, policies::certainties, table::check_macs,
};

const STEPS: usize = 200;
const RATE: f64 = 0.02;
/// Of the scorers' weights, as the authors have it.
const DECAY: f64 = 0.01;
/// Scores are kept this far from 0 and 1 where their cross-entropy is taken.
const CLIP: f64 = 0.01;
/// Hidden units of the network that assigns samples to exits.
const HIDDEN: usize = 8;
/// Weights of the two terms that the assignment is trained with.
const MATCH: f64 = 1e-3;
const BUDGET: f64 = 1e-2;
/// Budgets tried for a target in accuracy.
const BUDGETS: usize = 12;

/// The [`SchedulerPolicy`] that meets `target`: trained for the budget and for somewhat smaller ones,
/// or, for a drop in accuracy, for 12 budgets from the first exit's cost to the last one's.
///
/// For a budget `B`, two functions of what exit `k` shows are trained together over the rows. Scores
/// `q_k` (see [`Scorer`]) learn whether the exit is right; assignments `r_k`, whose softmax over the
/// exits is the share of the sample that should leave at each, decide how much each score matters
/// where, and meet the budget:
///
/// ```text
/// L_q = 1/K sum_k sum_i w_ik BCE(clip q_k(i), [exit k is right]),  w_ik = r_ik / sum_i r_ik
/// L_r = 1e-3 mean_{i,k} q' (ln q' - ln r_ik) + 1e-2 |sum_k macs_k mean_i r_ik - B| / B
/// ```
///
/// with `q'_ik = clip q_ik / sum_k clip q_ik`; no gradient flows from one into the other, nor from a
/// score into the scores before. Then exit `k` gets the threshold with which the share `mean_i r_ik` of
/// the rows leaves there, found as MSDNet's.
///
/// Ilhan et al., EENet, WACV 2024. This is what the released code means to do: as released its loss
/// returns a name that does not exist, and gradients are never cleared between steps. Ours also
/// differs in: all rows a step and 200 steps of rate 0.02 (theirs: batches of 512, 1,000 epochs, rate
/// 3e-5, with gradients piling up), scores that start as the confidence instead of at random, clipped
/// scores that still learn, and an assignment that sees the confidence, the certainty and the past
/// scores and is not squashed (theirs sees the softmax too and passes a sigmoid before the softmax,
/// with which no exit can get more than `e / (e + K - 1)` of the samples).
///
/// # Errors
/// [`PolicyError::OneExit`], and those of [`choose`].
pub(crate) fn fit_scheduler(
    rows: &FitRows,
    macs: &[u64],
    target: Target,
) -> Result<Fitted, PolicyError> {
    target.check()?;
    let exits = rows.table().exits();
    if exits < 2 {
        return Err(PolicyError::OneExit);
    }
    check_macs(macs, exits)?;
    let (least, most) = (macs[0] as f64, macs[exits - 1] as f64);
    let budgets: Vec<f64> = match target {
        // The shares are met up to ties and to what the training leaves.
        Target::MaxMacs(budget) => [1.0, 0.97, 0.9].map(|f| f * budget).to_vec(),
        Target::MaxDrop(_) => {
            let step = (most - least) / (BUDGETS - 1) as f64;
            (0..BUDGETS).map(|i| least + step * i as f64).collect()
        }
    };
    let candidates = budgets
        .into_iter()
        .map(|budget| train(rows, macs, budget.clamp(least, most)))
        .collect::<Result<Vec<_>, _>>()?;
    choose(rows, candidates, macs, target)
}

fn train(rows: &FitRows, macs: &[u64], budget: f64) -> Result<AnyPolicy, PolicyError> {
    let table = rows.table();
    let exits = table.exits();
    let full = macs[exits - 1].max(1) as f64;
    let costs: Vec<f64> = macs.iter().map(|&macs| macs as f64 / full).collect();
    let budget = budget / full;
    let mut scores: Vec<Scores> = (0..exits).map(|exit| Scores::new(rows, exit)).collect();
    let mut assignments: Vec<Assignment> = (0..exits).map(Assignment::new).collect();
    let mut shares = vec![0.0; exits];
    for _ in 0..STEPS {
        let mut past = vec![Vec::with_capacity(exits); table.samples()];
        let mut logits = vec![Vec::with_capacity(exits); table.samples()];
        for (score, assignment) in scores.iter_mut().zip(&assignments) {
            for (sample, (past, logits)) in past.iter_mut().zip(&mut logits).enumerate() {
                let input = score.input(sample, past);
                logits.push(assignment.logit(&input));
                past.push(score.value(sample, past).clamp(0.0, 1.0));
            }
        }
        let assigned: Vec<Vec<f64>> = logits.iter().map(|row| softmax(row)).collect();
        shares = mean(&assigned, exits);
        let spent: f64 = shares
            .iter()
            .zip(&costs)
            .map(|(share, cost)| share * cost)
            .sum();
        let over = (spent - budget).signum() / budget;
        let slopes: Vec<Vec<f64>> = (past.iter().zip(&assigned))
            .map(|(q, r)| assignment_slopes(q, r, &costs, spent, over, table.samples()))
            .collect();
        for (exit, (score, assignment)) in scores.iter_mut().zip(&mut assignments).enumerate() {
            let inputs = |sample: usize| score.input(sample, &past[sample][..exit]);
            assignment.step((0..table.samples()).map(|i| (inputs(i), slopes[i][exit])));
            let total = shares[exit] * table.samples() as f64;
            score.step(&past, |sample| {
                assigned[sample][exit] / total / exits as f64
            });
        }
    }
    scores.pop();
    let scorers: Vec<Scorer> = scores.into_iter().map(|score| score.scorer()).collect();
    with_shares(rows, scorers, &shares)
}

/// The policy with which the given shares of the rows leave.
fn with_shares(
    rows: &FitRows,
    scorers: Vec<Scorer>,
    shares: &[f64],
) -> Result<AnyPolicy, PolicyError> {
    let table = rows.table();
    let never = Criterion::Confidence.never();
    let open = Thresholds::new(vec![never; table.exits()])?;
    let policy = SchedulerPolicy::new(open, scorers)?;
    let scores: Vec<Vec<PastExit>> = (0..table.samples())
        .map(|sample| {
            let mut past: Vec<PastExit> = Vec::with_capacity(table.exits());
            for exit in 0..table.exits() {
                let view = table.view(sample, exit);
                let score = policy.score(exit, &view, &past);
                past.push(PastExit {
                    prediction: view.evidence.prediction,
                    score,
                });
            }
            past
        })
        .collect();
    let count = |share: &f64| (share * table.samples() as f64).floor() as usize;
    let quotas: Vec<usize> = shares.iter().map(count).collect();
    let score = |sample: usize, exit: usize| scores[sample][exit].score;
    let thresholds = quota_thresholds(table.samples(), &quotas, score);
    let mut thresholds: Vec<f64> = thresholds.iter().map(|t| t.unwrap_or(never)).collect();
    thresholds[table.exits() - 1] = Criterion::Confidence.always();
    let policy = SchedulerPolicy::new(Thresholds::new(thresholds)?, policy.scorers().to_vec())?;
    Ok(AnyPolicy::Scheduler(policy))
}

/// The gradient of `L_r` by the assignment's logits of one sample. By the shares `r` it is
/// `-1e-3 q' / (r N K)` and `1e-2 cost sign / (B N)`; through the softmax, `r (g - sum r g)`.
fn assignment_slopes(
    q: &[f64],
    r: &[f64],
    costs: &[f64],
    spent: f64,
    over: f64,
    samples: usize,
) -> Vec<f64> {
    let n = samples as f64;
    let clip = |q: &f64| q.clamp(CLIP, 1.0 - CLIP);
    let total: f64 = q.iter().map(clip).sum();
    let by_share = |k: usize| {
        let wanted = clip(&q[k]) / total;
        -MATCH * wanted / (r[k] * n * q.len() as f64) + BUDGET * costs[k] * over / n
    };
    // The cost term is taken around the mean cost: a common offset does nothing through a softmax.
    let by_share: Vec<f64> = (0..q.len())
        .map(|k| by_share(k) - BUDGET * spent * over / n)
        .collect();
    let mean: f64 = by_share.iter().zip(r).map(|(g, r)| g * r).sum();
    by_share
        .iter()
        .zip(r)
        .map(|(g, r)| r * (g - mean))
        .collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = logits.iter().map(|z| (z - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

fn mean(rows: &[Vec<f64>], columns: usize) -> Vec<f64> {
    let column = |k: usize| rows.iter().map(|row| row[k]).sum::<f64>() / rows.len() as f64;
    (0..columns).map(column).collect()
}

/// The scorer of one exit while it is trained; weights in the order classes, two certainties, past.
struct Scores<'a> {
    rows: &'a FitRows,
    exit: usize,
    weights: Vec<f64>,
    adam: Adam,
}

impl<'a> Scores<'a> {
    fn new(rows: &'a FitRows, exit: usize) -> Self {
        let classes = rows.table().classes();
        let mut weights = vec![0.0; classes + 2 + exit];
        weights[classes] = 1.0;
        Self {
            rows,
            exit,
            adam: Adam::new(weights.len(), RATE),
            weights,
        }
    }

    /// What the assignment sees: a 1, the two certainties, the past scores.
    fn input(&self, sample: usize, past: &[f64]) -> Vec<f64> {
        let [confidence, certainty] = certainties(&self.rows.table().view(sample, self.exit));
        [&[1.0, confidence, certainty], past].concat()
    }

    fn value(&self, sample: usize, past: &[f64]) -> f64 {
        let view = self.rows.table().view(sample, self.exit);
        let (classes, rest) = self.weights.split_at(view.probabilities.len());
        let seen = certainties(&view);
        let by_class = classes.iter().zip(view.probabilities);
        by_class.map(|(w, &p)| w * f64::from(p)).sum::<f64>()
            + rest
                .iter()
                .zip(seen.iter().chain(past))
                .map(|(w, x)| w * x)
                .sum::<f64>()
    }

    /// One step on `L_q`; `past` has the scores of all exits, of which those before count.
    fn step(&mut self, past: &[Vec<f64>], weight: impl Fn(usize) -> f64) {
        let table = self.rows.table();
        let mut gradient: Vec<f64> = self.weights.iter().map(|w| DECAY * w).collect();
        for (sample, past) in past.iter().enumerate() {
            let past = &past[..self.exit];
            let q = self.value(sample, past).clamp(CLIP, 1.0 - CLIP);
            let right = f64::from(u8::from(table.correct(sample, self.exit)));
            let slope = weight(sample) * (q - right) / (q * (1.0 - q));
            let view = table.view(sample, self.exit);
            let (by_class, rest) = gradient.split_at_mut(view.probabilities.len());
            for (sum, &p) in by_class.iter_mut().zip(view.probabilities) {
                *sum += slope * f64::from(p);
            }
            for (sum, x) in rest.iter_mut().zip(certainties(&view).iter().chain(past)) {
                *sum += slope * x;
            }
        }
        self.adam.step(&mut self.weights, &gradient);
    }

    fn scorer(mut self) -> Scorer {
        let past = self.weights.split_off(self.weights.len() - self.exit);
        let certain = self.weights.split_off(self.weights.len() - 2);
        Scorer {
            classes: self.weights,
            confidence: certain[0],
            certainty: certain[1],
            past,
        }
    }
}

/// `r_k = c + sum_h v_h sigmoid(W_h x)`, with a 1 in front of `x` as bias.
struct Assignment {
    inputs: usize,
    weights: Vec<f64>,
    adam: Adam,
}

impl Assignment {
    fn new(exit: usize) -> Self {
        let inputs = 3 + exit;
        // The outer layer starts at 0, so that all exits get equal shares; the inner one must differ
        // from unit to unit. Fractions of the golden ratio do that without a generator.
        let spread = |i: usize| 2.0 * (i as f64 * 0.618_033_988_749_895).fract() - 1.0;
        let mut weights: Vec<f64> = (1..=HIDDEN * inputs).map(spread).collect();
        weights.resize(HIDDEN * inputs + HIDDEN + 1, 0.0);
        Self {
            inputs,
            adam: Adam::new(weights.len(), RATE),
            weights,
        }
    }

    fn hidden(&self, input: &[f64]) -> Vec<f64> {
        let inner = self.weights.chunks_exact(self.inputs).take(HIDDEN);
        inner
            .map(|w| {
                let sum: f64 = w.iter().zip(input).map(|(w, x)| w * x).sum();
                1.0 / (1.0 + (-sum).exp())
            })
            .collect()
    }

    fn outer(&self) -> &[f64] {
        &self.weights[HIDDEN * self.inputs..]
    }

    fn logit(&self, input: &[f64]) -> f64 {
        let (v, c) = self.outer().split_at(HIDDEN);
        v.iter()
            .zip(self.hidden(input))
            .map(|(v, h)| v * h)
            .sum::<f64>()
            + c[0]
    }

    /// One step, from inputs and the loss's slope by the logit.
    fn step(&mut self, rows: impl Iterator<Item = (Vec<f64>, f64)>) {
        let mut gradient = vec![0.0; self.weights.len()];
        let (inner, outer) = gradient.split_at_mut(HIDDEN * self.inputs);
        for (input, slope) in rows {
            for (unit, h) in self.hidden(&input).into_iter().enumerate() {
                outer[unit] += slope * h;
                let through = slope * self.outer()[unit] * h * (1.0 - h);
                let inner = &mut inner[unit * self.inputs..][..self.inputs];
                for (sum, x) in inner.iter_mut().zip(&input) {
                    *sum += through * x;
                }
            }
            outer[HIDDEN] += slope;
        }
        self.adam.step(&mut self.weights, &gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `L_r` of one of `n` samples, the cost term linearised around the present spending as in the
    /// gradient's sign.
    fn loss(logits: &[f64], q: &[f64], costs: &[f64], over: f64, n: f64) -> f64 {
        let r = softmax(logits);
        let clip = |q: &f64| q.clamp(CLIP, 1.0 - CLIP);
        let total: f64 = q.iter().map(clip).sum();
        let divergence: f64 = (q.iter().zip(&r))
            .map(|(q, r)| clip(q) / total * ((clip(q) / total).ln() - r.ln()))
            .sum();
        let cost: f64 = r.iter().zip(costs).map(|(r, c)| r * c).sum();
        MATCH * divergence / (n * q.len() as f64) + BUDGET * over * cost / n
    }

    #[test]
    fn the_gradient_is_that_of_differences() {
        let (q, costs, logits) = ([0.3, 0.9, 1.4], [0.2, 0.5, 1.0], vec![0.3, -0.2, 0.1]);
        let r = softmax(&logits);
        let spent = 0.77;
        let slopes = assignment_slopes(&q, &r, &costs, spent, -2.0, 5);
        for (k, slope) in slopes.iter().enumerate() {
            let moved = |by: f64| {
                let mut logits = logits.clone();
                logits[k] += by;
                loss(&logits, &q, &costs, -2.0, 5.0)
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!(
                (slope - expected).abs() < 1e-9,
                "{k}: {slope} for {expected}"
            );
        }
    }

    #[test]
    fn the_inner_layer_learns() {
        let mut assignment = Assignment::new(1);
        let input = vec![1.0, 0.5, 0.25, 0.9];
        assert_eq!(assignment.logit(&input), 0.0, "equal shares at first");
        for _ in 0..200 {
            let slope = assignment.logit(&input) - 2.0;
            assignment.step([(input.clone(), slope)].into_iter());
        }
        assert!((assignment.logit(&input) - 2.0).abs() < 0.05);
    }
}
