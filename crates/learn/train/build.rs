//! Tells the program from which commit it was built, where git knows.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=OFFRAMP_COMMIT");
    if std::env::var_os("OFFRAMP_COMMIT").is_some() {
        return;
    }
    // Written at every commit and checkout; without it there is no repository to ask.
    let log = Path::new("../../../.git/logs/HEAD");
    if !log.exists() {
        println!("cargo::rerun-if-changed=build.rs");
        return;
    }
    println!("cargo::rerun-if-changed={}", log.display());
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    if let Some(commit) = git(&["rev-parse", "HEAD"]) {
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
        let mark = match changed.as_deref() {
            Some("") | None => "",
            Some(_) => "-changed",
        };
        println!("cargo::rustc-env=OFFRAMP_COMMIT={commit}{mark}");
    }
}
