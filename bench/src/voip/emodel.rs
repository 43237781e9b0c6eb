//! How a call sounds, reckoned from what was lost: the E-model of ITU-T G.107, with its default values for all that a network
//! does not change.
//!
//! R = 93.2 - Id - Ie,eff: a perfect line less what the delay costs and less what loss costs. Simplified: the delay counts by
//! the two straight lines of Cole and Rosenbluth (2001), which follow G.107's Id within a point; loss as in G.107 7.5, with the
//! burst ratio measured. The codec is G.711 without concealment of losses (G.113 appendix I: Ie 0, Bpl 4.3), the least
//! forgiving that there is.

use serde::{Deserialize, Serialize};

/// R of a line without loss and delay.
const R_BEST: f64 = 93.2;
/// G.711: the impairment of the codec itself, and how robust it is against loss.
const IE: f64 = 0.0;
const BPL: f64 = 4.3;

/// A rating.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rating {
    /// The transmission rating: above 80 users are satisfied, below 60 nearly all are not (G.107 annex B).
    pub(crate) r: f64,
    /// The mean opinion score that goes with it: 1 to 4.5.
    pub(crate) mos: f64,
}

impl Rating {
    /// Of packets in the order of sending, `true` where one was lost, with `delay_ms` from mouth to ear.
    pub(crate) fn of(lost: &[bool], delay_ms: f64) -> Self {
        let loss = lost.iter().filter(|&&lost| lost).count() as f64 / lost.len().max(1) as f64;
        let r = (R_BEST - delay(delay_ms) - impairment(loss, burst_ratio(lost, loss))).max(0.0);
        Self { r, mos: mos(r) }
    }
}

/// Id, by the delay in milliseconds.
fn delay(ms: f64) -> f64 {
    0.024 * ms + 0.11 * (ms - 177.3).max(0.0)
}

/// Ie,eff (G.107, 7.5), by the share of packets lost.
fn impairment(loss: f64, burst_ratio: f64) -> f64 {
    let percent = loss * 100.0;
    IE + (95.0 - IE) * percent / (percent / burst_ratio + BPL)
}

/// How much longer the losses are in a row than random ones would be.
fn burst_ratio(lost: &[bool], loss: f64) -> f64 {
    let rows = lost.split(|&lost| !lost).filter(|row| !row.is_empty());
    let (rows, packets) =
        rows.fold((0.0, 0.0), |(rows, packets), row| (rows + 1.0, packets + row.len() as f64));
    if rows == 0.0 || loss >= 1.0 { 1.0 } else { (packets / rows * (1.0 - loss)).max(1.0) }
}

/// G.107 annex B.
fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 0.01, "{value}, not {expected}");
    }

    #[test]
    fn a_perfect_line_has_the_best_rating() {
        let best = Rating::of(&[false; 100], 0.0);
        near(best.r, 93.2);
        near(best.mos, 4.41);
    }

    #[test]
    fn random_loss_counts_as_in_the_recommendation() {
        // 5 in 100, far apart: 95 * 5 / (5 / 1 + 4.3).
        let lost: Vec<bool> = (0..100).map(|packet| packet % 20 == 10).collect();
        near(93.2 - Rating::of(&lost, 0.0).r, 51.075);
    }

    #[test]
    fn losses_in_a_row_are_worse_than_the_same_number_apart() {
        let apart: Vec<bool> = (0..250).map(|packet| packet % 50 == 0).collect();
        let row: Vec<bool> = (0..250).map(|packet| packet < 5).collect();
        assert!(Rating::of(&row, 60.0).r < Rating::of(&apart, 60.0).r);
    }

    #[test]
    fn nothing_at_all_is_the_worst() {
        let worst = Rating::of(&[true; 10], 60.0);
        assert!(worst.mos < 1.5 && worst.mos >= 1.0, "{worst:?}");
        assert_eq!(Rating::of(&[], 0.0).r, R_BEST, "no packet, no loss");
    }

    #[test]
    fn delay_counts_more_beyond_the_knee() {
        near(delay(100.0), 2.4);
        near(delay(277.3), 6.6552 + 11.0);
    }
}
