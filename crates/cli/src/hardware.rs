//! A description of the machine.

use std::fs;

/// Number of processors and what they are, such as `2 processors of AMD EPYC 9B45`.
pub(crate) fn hardware() -> String {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let name = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| model_name(&text))
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    match count {
        1 => format!("1 processor of {name}"),
        n => format!("{n} processors of {name}"),
    }
}

/// The first `model name` of Linux's list of processors.
fn model_name(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let name = line.split_once(':')?.1.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 9B45\nmodel name\t: another\n";
        assert_eq!(model_name(text).as_deref(), Some("AMD EPYC 9B45"));
        assert_eq!(model_name("model name\t:\n"), None);
        assert!(hardware().contains(" processor"));
    }
}
