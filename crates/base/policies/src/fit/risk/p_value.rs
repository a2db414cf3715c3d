//! p-values of a small mean loss, if the true risk were above a level.
//!
//! Each function is a p-value of the hypothesis `E[loss] > alpha`: over independent losses for which it
//! holds, the value is at most `u` with probability at most `u`, for every `u`.

/// Hoeffding-Bentkus, for losses in [0, 1]:
/// `min(exp(-n h(min(r, alpha), alpha)), e P(Bin(n, alpha) <= ceil(n r)))`, with `r` the mean of `n` losses and
/// `h(a, b) = a ln(a / b) + (1 - a) ln((1 - a) / (1 - b))`.
///
/// Bates, Angelopoulos, Lei, Malik, Jordan, Distribution-Free, Risk-Controlling Prediction Sets, Journal of the ACM
/// 2021; as used in Angelopoulos, Bates, Candes, Jordan, Lei, Learn then Test, 2021 (Annals of Applied
/// Statistics 2025).
///
/// 1 for no losses.
pub(crate) fn hoeffding_bentkus_p_value(mean: f64, n: usize, alpha: f64) -> f64 {
    let n_f = n as f64;
    let relative = |a: f64, b: f64| {
        let term = |a: f64, b: f64| if a == 0.0 { 0.0 } else { a * (a / b).ln() };
        term(a, b) + term(1.0 - a, 1.0 - b)
    };
    let hoeffding = (-n_f * relative(mean.clamp(0.0, alpha), alpha)).exp();
    // A mean of whole losses times n should be whole, and must not be rounded up to the next.
    let count = (n_f * mean - 1e-9).ceil().max(0.0) as usize;
    let bentkus = std::f64::consts::E * binomial_p_value(count, n, alpha);
    hoeffding.min(bentkus).min(1.0)
}

/// `P(Bin(n, alpha) <= count)`: exact for losses that are 0 or 1, `count` of which are 1.
///
/// Never larger than [`hoeffding_bentkus_p_value`] of the same losses' Bentkus part.
pub(crate) fn binomial_p_value(count: usize, n: usize, alpha: f64) -> f64 {
    if count >= n {
        return 1.0;
    }
    // Terms relative to the first, in logarithms: (1 - alpha)^n alone can leave the range of f64.
    let odds = (alpha / (1.0 - alpha)).ln();
    let mut ln_term = n as f64 * (-alpha).ln_1p();
    let mut ln_sum = ln_term;
    for k in 1..=count {
        ln_term += ((n - k + 1) as f64 / k as f64).ln() + odds;
        let (high, low) = (ln_sum.max(ln_term), ln_sum.min(ln_term));
        ln_sum = high + (low - high).exp().ln_1p();
    }
    ln_sum.exp().min(1.0)
}

/// By betting, for losses in `[low, high]`: one over the most that a player gains who bets, loss after loss, that
/// the next is below `alpha`.
///
/// With `x = (loss - low) / (high - low)` and `m` the same of `alpha`, the player's capital is multiplied by
/// `1 - b_i (x_i - m)`, where `b_i = min(sqrt(2 ln(1 / delta) / (n v_{i-1})), 3 / (4 (1 - m)))` and `v` the variance so far,
/// `v_i = (1/4 + sum_{j <= i} (x_j - u_j)^2) / (i + 1)`, `u_i = (1/2 + sum_{j <= i} x_j) / (i + 1)`. If `E[x] >= m`, capital
/// does not grow on average, and by Ville's inequality ever reaches `1 / u` with probability at most `u`. Where
/// losses vary little it needs far fewer rows than Hoeffding-Bentkus.
///
/// The bets depend on the order: losses must come in an order that does not depend on them. `delta`
/// only tunes the bets; the p-value is valid for any.
///
/// Waudby-Smith, Ramdas, Estimating Means of Bounded Random Variables by Betting, Journal of the Royal Statistical
/// Society B 2024.
pub(crate) fn betting_p_value(losses: &[i8], range: (i8, i8), alpha: f64, delta: f64) -> f64 {
    let (low, high) = (f64::from(range.0), f64::from(range.1));
    let scaled = |loss: f64| (loss - low) / (high - low);
    let m = scaled(alpha);
    let n = losses.len() as f64;
    let most = 0.75 / (1.0 - m);
    let (mut ln_capital, mut best) = (0.0f64, 0.0f64);
    let (mut sum, mut squares, mut variance) = (0.5, 0.25, 0.25);
    for (i, &loss) in losses.iter().enumerate() {
        let x = scaled(loss.into());
        let bet = (2.0 * (1.0 / delta).ln() / (n * variance)).sqrt().min(most);
        ln_capital += (-bet * (x - m)).ln_1p();
        best = best.max(ln_capital);
        let seen = (i + 2) as f64;
        sum += x;
        squares += (x - sum / seen).powi(2);
        variance = squares / seen;
    }
    (-best).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python, exact fractions: `sum(comb(n, i) * a**i * (1 - a)**(n - i) for i in range(k + 1))`.
    #[test]
    fn binomial_tails() {
        for (count, n, alpha, expected) in [
            (3, 20, 0.1, 0.867_046_676_565_664_9),
            (10, 2000, 0.01, 0.010_522_510_740_822_036),
            (0, 2000, 0.01, 1.863_756_602_992_266e-9),
            (60, 10_000, 0.01, 9.947_000_465_979_528e-6),
            (700, 10_000, 0.08, 9.359_320_947_852_511e-5),
        ] {
            let found = binomial_p_value(count, n, alpha);
            assert!(
                (found / expected - 1.0).abs() < 1e-9,
                "{count} of {n}: {found}"
            );
        }
        assert_eq!(binomial_p_value(5, 5, 0.1), 1.0);
        assert_eq!(binomial_p_value(0, 0, 0.1), 1.0);
    }

    /// Python, `h` and the minimum as in the documentation.
    #[test]
    fn hoeffding_bentkus() {
        for (mean, n, alpha, expected) in [
            (0.005, 2000, 0.01, 0.028_603_149_736_541_666),
            (0.0, 500, 0.01, 0.006_570_483_042_414_418_6),
            (0.02, 500, 0.05, 0.001_250_429_088_405_123_9),
            (0.0123, 1000, 0.02, 0.173_646_258_517_743_43),
        ] {
            let found = hoeffding_bentkus_p_value(mean, n, alpha);
            assert!(
                (found / expected - 1.0).abs() < 1e-9,
                "{mean} of {n}: {found}"
            );
        }
        assert_eq!(hoeffding_bentkus_p_value(0.5, 100, 0.1), 1.0);
        assert_eq!(hoeffding_bentkus_p_value(0.0, 0, 0.1), 1.0);
    }

    /// Python, the recursion of the documentation on the losses `0 1 0 0 -1` eight times over.
    #[test]
    fn betting() {
        let losses = [0, 1, 0, 0, -1].repeat(8);
        let found = betting_p_value(&losses, (-1, 1), 0.3, 0.05);
        assert!(
            (found / 0.013_208_409_712_405_899 - 1.0).abs() < 1e-9,
            "{found}"
        );
        assert_eq!(betting_p_value(&[], (0, 1), 0.3, 0.05), 1.0);
        assert_eq!(betting_p_value(&[1, 1, 1], (0, 1), 0.3, 0.05), 1.0);
    }
}
