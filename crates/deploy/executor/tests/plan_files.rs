//! Plans as files: what is loaded computes the same, what is damaged is refused.

mod support;

use std::fs;
use std::path::Path;

use offramp_executor::{About, MultiExitExecutor, MultiExitPlan, Options};
use support::{Random, residual_network};

fn answers(plan: MultiExitPlan, images: &[f32]) -> Vec<u32> {
    let mut executor = MultiExitExecutor::new(plan);
    let answers = executor.run(2, images, |_, _, _| false).unwrap();
    answers.logits.iter().map(|x| x.to_bits()).collect()
}

fn plans() -> [MultiExitPlan; 2] {
    let graphs = [residual_network(&[16, 32])];
    let images = Random::new(1).values(4 * 3072);
    let options = Options {
        threads: 2,
        ..Options::default()
    };
    [
        MultiExitPlan::compile(&graphs, 2, options).unwrap(),
        MultiExitPlan::quantized(&graphs, 2, options, 4, &images).unwrap(),
    ]
}

#[test]
fn a_file_gives_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.offramp");
    let images = Random::new(2).values(2 * 3072);
    for plan in plans() {
        plan.save(&path).unwrap();
        let loaded = MultiExitPlan::load(&path).unwrap();
        assert_eq!(loaded.segments()[0].options(), plan.segments()[0].options());
        let expected = answers(plan, &images);
        assert_eq!(answers(loaded.with_threads(1), &images), expected);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_is_known_of_a_network_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.offramp");
    let [plan, _] = plans();
    plan.save(&path).unwrap();
    assert_eq!(MultiExitPlan::load(&path).unwrap().about(), None);
    let logits = plan.segments()[0].program().parts().outputs[0].words();
    let about = About {
        model: "5c1e".to_owned(),
        classes: (0..logits).map(|class| format!("\u{e9} {class}")).collect(),
        image: [3, 32, 32],
        resize: [36, 36],
        mean: [0.1, 0.2, 0.3],
        std: [0.4, 0.5, 0.6],
        macs: vec![7],
    };
    let known = plan.clone().with_about(about.clone()).unwrap();
    known.save(&path).unwrap();
    assert_eq!(MultiExitPlan::load(&path).unwrap().about(), Some(&about));
    let other = About {
        macs: vec![7, 8],
        ..about
    };
    let error = plan.with_about(other).unwrap_err().to_string();
    assert!(error.contains("2 costs for 1 exits"), "{error}");
}

#[test]
fn damage_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.offramp");
    let [plan, _] = plans();
    plan.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        MultiExitPlan::load(&path).unwrap_err().to_string()
    };
    for len in [0, 7, 63, 64, 1000, whole.len() - 1] {
        let message = error(&whole[..len]);
        assert!(message.contains("plan.offramp"), "{message}");
    }
    for at in (0..whole.len())
        .step_by(whole.len() / 40 + 1)
        .chain([9, 13, 17, 25, 33, 70])
    {
        // The rest of the first 64 bytes is unused.
        if (36..64).contains(&at) {
            continue;
        }
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        error(&bytes);
    }
    let mut newer = whole.clone();
    newer[8] = 9;
    assert!(error(&newer).contains("version 9 of plans, 2 is known"));
    let missing = MultiExitPlan::load(Path::new("/nowhere/plan")).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/plan"));
}

/// Descriptions with a right checksum and wrong numbers: refused, or they compute something inside
/// their own memory.
#[test]
fn wrong_numbers_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.offramp");
    let images = vec![0.5; 2 * 3072];
    let mut random = Random::new(7);
    let (mut refused, mut served) = (0, 0);
    for plan in plans() {
        plan.save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let described = u64::from_le_bytes(whole[16..24].try_into().unwrap()) as usize;
        let digits: Vec<usize> = (64..64 + described)
            .filter(|&at| whole[at].is_ascii_digit())
            .collect();
        for _ in 0..300 {
            let mut bytes = whole.clone();
            let at = digits[((random.value() + 1.0) / 2.0 * digits.len() as f32) as usize];
            let digit = ((random.value() + 1.0) * 5.0) as u8;
            bytes[at] = b'0' + digit.min(9);
            let sum = crc32fast::hash(&bytes[64..64 + described]).to_le_bytes();
            bytes[12..16].copy_from_slice(&sum);
            fs::write(&path, &bytes).unwrap();
            match MultiExitPlan::load(&path) {
                Err(_) => refused += 1,
                Ok(plan) => {
                    let threads = plan.segments()[0].options().threads.min(2);
                    let mut executor = MultiExitExecutor::new(plan.with_threads(threads));
                    // A batch or a port may have become smaller.
                    let _ = executor.run(2, &images, |_, _, _| false);
                    served += 1;
                }
            }
        }
    }
    assert!(
        refused > 100 && served > 100,
        "{refused} refused, {served} served"
    );
}
