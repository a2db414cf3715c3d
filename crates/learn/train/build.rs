//! Tells the program from which commit it was built, where git knows.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=OFFRAMP_COMMIT");
    if std::env::var_os("OFFRAMP_COMMIT").is_some() {
        return;
    }
    // Written at every commit and checkout; without it there is no repository to ask. As a package of a
    // registry the crate lies elsewhere, perhaps in somebody else's repository.
    let log = Path::new("../../../.git/logs/HEAD");
    if !log.exists() || !Path::new("../../../crates/learn/train").exists() {
        println!("cargo::rerun-if-changed=build.rs");
        if let Some(commit) = packaged_commit() {
            println!("cargo::rustc-env=OFFRAMP_COMMIT={commit}");
        }
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

/// The commit that cargo noted when it packaged the crate.
fn packaged_commit() -> Option<String> {
    let info = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let after = info.split_once("\"sha1\"")?.1;
    let commit = after.split('"').nth(1)?;
    let hexadecimal = |byte: u8| byte.is_ascii_hexdigit();
    let whole = !commit.is_empty() && commit.bytes().all(hexadecimal);
    // Packaged with changes that are in no commit.
    let mark = if info.contains("\"dirty\": true") {
        "-changed"
    } else {
        ""
    };
    whole.then(|| format!("{commit}{mark}"))
}
