//! The progress of a fetch on stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use offramp_data::fetch::Progress;

/// The progress of a fetch, shown the way that suits stderr.
pub(crate) enum FetchProgress {
    /// A bar that is drawn over and over.
    Bar(ProgressBar),
    /// Lines.
    Lines(Lines<io::Stderr>),
}

impl FetchProgress {
    /// The progress of fetching `name`.
    pub(crate) fn new(name: &str) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines(Lines::new(name, io::stderr()));
        }
        let template = "{prefix} {msg:<11} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} \
                        {decimal_bytes_per_sec} {eta}";
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::new(0).with_prefix(name.to_owned());
        // The template is a constant; without it the bar looks plainer.
        Self::Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Shows a step.
    pub(crate) fn show(&mut self, progress: &Progress) {
        match self {
            Self::Bar(bar) => draw(bar, progress),
            Self::Lines(lines) => lines.show(progress),
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    if let Progress::Retrying { reason } = progress {
        bar.println(retrying(reason));
    }
    let Some(step) = Step::of(progress) else {
        return;
    };
    if bar.message() != step.verb {
        bar.set_message(step.verb);
        // Neither speed nor time left carries over to another kind of work, nor do they count what
        // an earlier attempt downloaded.
        bar.reset();
        bar.set_position(step.done);
        bar.reset_eta();
    }
    bar.set_length(step.total.unwrap_or(step.done).max(step.done));
    bar.set_position(step.done);
}

/// A line at the beginning of each kind of work and, where it may take minutes, one at each tenth.
pub(crate) struct Lines<W> {
    name: String,
    out: W,
    last: Option<(&'static str, u64)>,
}

impl<W: Write> Lines<W> {
    fn new(name: &str, out: W) -> Self {
        Self {
            name: name.to_owned(),
            out,
            last: None,
        }
    }

    fn show(&mut self, progress: &Progress) {
        let line = match (progress, Step::of(progress)) {
            (Progress::Retrying { reason }, _) => retrying(reason),
            (_, Some(step)) => {
                let part = (step.verb, step.tenths());
                if self.last.replace(part) == Some(part) {
                    return;
                }
                step.line()
            }
            _ => return,
        };
        // If stderr is closed, there is nothing to report to.
        let _ = writeln!(self.out, "{}: {line}", self.name);
    }
}

/// A step of work that has an extent.
struct Step {
    verb: &'static str,
    done: u64,
    total: Option<u64>,
}

/// Without a total, a line each time this many bytes have come.
const UNKNOWN_TENTH: u64 = 50_000_000;

impl Step {
    fn of(progress: &Progress) -> Option<Self> {
        let (verb, done, total) = match *progress {
            Progress::Downloading { done, total } => ("downloading", done, total),
            Progress::Checking { done, total } => ("checking", done, Some(total)),
            // The total is rounded, a bar beyond its end would look broken.
            Progress::Unpacking { done, total } => ("unpacking", done.min(total), Some(total)),
            _ => return None,
        };
        Some(Self { verb, done, total })
    }

    fn tenths(&self) -> u64 {
        match self.total {
            _ if self.verb == "checking" => 0,
            Some(total) => (self.done.saturating_mul(10))
                .checked_div(total)
                .unwrap_or(10),
            None => self.done / UNKNOWN_TENTH,
        }
    }

    fn line(&self) -> String {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let (verb, done) = (self.verb, megabytes(self.done));
        match self.total {
            Some(total) => format!("{verb}, {done:.1} of {:.1} MB", megabytes(total)),
            None => format!("{verb}, {done:.1} MB"),
        }
    }
}

fn retrying(reason: &str) -> String {
    format!("the connection broke ({reason}), trying again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_few_and_whole() {
        let mut lines = Lines::new("x", Vec::new());
        for done in (0..=1000).map(|i| i * 1000) {
            let total = Some(1_000_000);
            lines.show(&Progress::Downloading { done, total });
            if done == 500_000 {
                lines.show(&Progress::Retrying {
                    reason: "cut".into(),
                });
            }
        }
        for done in [0, 7, 20] {
            lines.show(&Progress::Checking { done, total: 20 });
        }
        lines.show(&Progress::Unpacking {
            done: 30,
            total: 20,
        });
        let text = String::from_utf8(lines.out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 11 + 1 + 1 + 1, "{text}");
        assert_eq!(lines[3], "x: downloading, 0.3 of 1.0 MB");
        assert_eq!(lines[6], "x: the connection broke (cut), trying again");
    }
}
