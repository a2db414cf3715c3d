//! The measured times, for people.

use offramp_run::Summary;

use super::Document;
use crate::table;

/// One table a batch size and number of threads.
pub(crate) fn print(document: &Document, macs: &[u64]) {
    println!("{}, {} engine", document.hardware, document.engine);
    if let Some(policy) = &document.policy {
        println!("policy: {policy}");
    }
    let full = macs.last().map_or(1.0, |&macs| macs as f64);
    for m in &document.measurements {
        let threads = m
            .threads
            .map_or(String::new(), |n| format!(", threads {n}"));
        println!("\nbatch {}{threads}", m.batch);
        let row = |name: String, share: f64, summary: &Summary| {
            let ms = [summary.p50_ms, summary.p95_ms, summary.p99_ms];
            let mut cells = vec![name, format!("{:.1} %", 100.0 * share)];
            cells.extend(ms.map(|ms| format!("{ms:.3}")));
            cells.push(format!("{:.0}", summary.images_per_second));
            let speed = summary.images_per_second / m.single.images_per_second;
            cells.push(format!("{speed:.2}"));
            cells
        };
        let mut rows = vec![row("last exit alone".to_owned(), 1.0, &m.single)];
        for (exit, (summary, &macs)) in m.exits.iter().zip(macs).enumerate() {
            rows.push(row(
                format!("all to exit {exit}"),
                macs as f64 / full,
                summary,
            ));
        }
        if let Some(policy) = &m.policy {
            rows.push(row(
                "with the policy".to_owned(),
                policy.macs_share,
                &policy.times,
            ));
        }
        let header = [
            "", "MACs", "p50 ms", "p95 ms", "p99 ms", "images/s", "speed",
        ];
        print!("{}", table::render(&header, &rows));
    }
}
