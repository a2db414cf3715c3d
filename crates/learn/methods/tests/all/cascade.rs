//! Methods on cascades: BoostNet and OFA by numbers of `python/golden.py`, and distillers that use a
//! classifier alone.

use crate::by_hand::{IMAGE, external, model};
use crate::support::{
    END, Z, assert_all_close, assert_close, device, method, network, outputs, targets,
};
use burn::tensor::Tensor;
use offramp_core::MapShape;
use offramp_heads::MultiExitNet;
use offramp_methods::distill::{DistillInfo, DistillerConfig, ExitShapes, TeacherInfo};
use offramp_methods::{Method, MethodError};
use offramp_nn::Init;
use offramp_teachers::ExternalTeacher;
use serde_json::{Value, json};

const SPACE: MapShape = MapShape {
    channels: 64,
    height: 4,
    width: 4,
};

fn net(config: Value) -> MultiExitNet {
    let mut init = Init::new(1, &device());
    model(config).init(3, IMAGE, &mut init).unwrap()
}

/// A cascade whose heads return the logits `Z` for every input.
fn boosted(decay: f64) -> MultiExitNet {
    let cascade = json!({"name": "boost", "decay": decay});
    let net = net(json!({"backbone": "resnet8", "cascade": cascade}));
    let mut tensors = offramp_core::params::collect(&net);
    for (exit, logits) in Z.iter().enumerate() {
        for (part, values) in [("weight", None), ("bias", Some(logits))] {
            let data = tensors.get_mut(&format!("heads.{exit}.fc.{part}")).unwrap();
            let values = values.map_or(vec![0.0; data.num_elements()], |z| z.to_vec());
            *data = burn::tensor::TensorData::new(values, data.shape().clone());
        }
    }
    offramp_core::params::apply(net, tensors).unwrap()
}

/// BoostNet (Yu et al., AAAI 2023): `loss_k = CE(z_k + sg F_{k-1})`, `F_k = (z_k + F_{k-1}) r`, `F_0 = 0`; with
/// `r = 1/2` the loss is .605523 and `F_3 = [2.125, .625, -.375]`.
#[test]
fn plain_on_a_boosted_network_is_boostnet() {
    let net = boosted(0.5);
    let outputs = net.forward(Tensor::zeros([1, 3, 16, 16], &device()));
    let plain = method("name = \"plain\"", &network(3, 3, 2));
    let terms = plain.losses(&outputs, &targets(&[0]), &END);
    assert_close(terms.total(), 0.605523);
    let last = outputs.exits[2].logits.clone();
    assert_all_close(last.clone() * 0.5, &[2.125, 0.625, -0.375]);

    // Each weak learner learns from its own loss: softmax(G_k) - onehot(0), and no later one's.
    let gradients = terms.total().backward();
    for (exit, output) in outputs.exits.iter().enumerate() {
        let bias = net.classifier(exit).bias.as_ref().unwrap().val();
        let found = crate::support::values(bias.grad(&gradients).unwrap());
        let logits = crate::support::values(output.logits.clone());
        let sum: f64 = logits.iter().map(|z| f64::from(*z).exp()).sum();
        for (class, z) in logits.into_iter().enumerate() {
            let hit = if class == 0 { 1.0 } else { 0.0 };
            let expected = f64::from(z).exp() / sum - hit;
            assert!((f64::from(found[class]) - expected).abs() < 1e-6, "{exit}");
        }
    }
}

/// IMTA's one-for-all loss (Li et al., ICCV 2019) divides the KL divergence by the number of classes too:
/// `0.1 CE(z_1) + 0.9 KL_3(z_1 || z_3) / 3`.
#[test]
fn the_last_exit_of_imta() {
    let table = "name = \"last-exit\"\nce-weights = [0.1, 0.0]\nkd-weight = 0.3\ntemperature = 3.0";
    let last_exit = method(table, &network(2, 3, 2));
    let outputs = outputs(&[Z[0], Z[2]], None, &device());
    let terms = last_exit.losses(&outputs, &targets(&[0]), &END);
    assert_close(terms.total(), 0.078201);
}

/// The error of a distiller for a student and teachers of the given networks.
fn refusal(loss: &str, student: Value, teachers: &[&ExternalTeacher]) -> Option<MethodError> {
    let config: DistillerConfig = serde_json::from_value(loss.into()).unwrap();
    let shape = ExitShapes {
        classes: 3,
        map: SPACE,
        stages: Vec::new(),
    };
    let info = DistillInfo {
        student: shape.clone(),
        exit: 1,
        net: &model(student),
        image: IMAGE,
        teachers: (teachers.iter())
            .map(|teacher| TeacherInfo {
                teacher,
                shape: shape.clone(),
            })
            .collect(),
        train_images: 10,
        batch_size: 3,
    };
    config.init(&info, &mut Init::new(7, &device())).err()
}

fn teacher(cascade: &str) -> ExternalTeacher {
    let config = json!({"backbone": "resnet8", "cascade": cascade});
    external("big", net(config.clone()), &model(config))
}

#[test]
fn a_classifier_is_not_taken_out_of_a_cascade() {
    let (alone, linked, ztw) = (teacher("none"), teacher("boost"), teacher("ztw"));
    let head = json!({"name": "projector", "width": 64, "size": 4});
    let student = |cascade: &str| json!({"backbone": "resnet8", "head": head, "cascade": cascade});
    for loss in ["simkd", "atsc", "srrl", "ca-mkd"] {
        let both = |teacher| match loss {
            "ca-mkd" => vec![&alone, teacher],
            _ => vec![teacher],
        };
        assert_eq!(
            refusal(loss, student("none"), &both(&alone)),
            None,
            "{loss}"
        );
        // Its last exit answers by its classifier alone.
        assert_eq!(refusal(loss, student("none"), &both(&ztw)), None, "{loss}");
        let message = refusal(loss, student("none"), &both(&linked)).unwrap();
        let message = message.to_string();
        assert!(
            message.contains(loss) && message.contains("\"big\""),
            "{message}"
        );

        let shared = refusal(loss, student("isc"), &both(&alone));
        match loss {
            "simkd" | "atsc" => {
                let message = shared.unwrap().to_string();
                assert!(
                    message.contains(loss) && message.contains("\"isc\""),
                    "{message}"
                );
            }
            _ => assert_eq!(shared, None),
        }
    }
    assert_eq!(refusal("kd", student("boost"), &[&linked]), None);
}
