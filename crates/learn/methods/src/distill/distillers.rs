//! All distillers of a recipe.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{ExitOutputs, MapShape};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_losses::Targets;
use offramp_nn::Init;
use offramp_teachers::ExternalTeacher;

use super::{
    AnyDistiller, DistillBatch, DistillConfig, DistillError, DistillInfo, Distiller, ExitFeatures,
    ExitShapes, TeacherCount, TeacherInfo, Uses,
};
use crate::{LossTerms, Ramp, StepContext};

/// The network that learns, before its first step.
#[derive(Clone, Copy, Debug)]
pub struct Student<'a> {
    /// The network.
    pub net: &'a MultiExitNet,
    /// Its settings.
    pub config: &'a NetConfig,
    /// Shape of an image.
    pub image: MapShape,
    /// Number of training images.
    pub train_images: usize,
    /// Images per batch.
    pub batch_size: usize,
}

/// The inputs and outputs of a step: images, the outputs of student and teachers, labels.
#[derive(Clone, Copy, Debug)]
pub struct StepBatch<'a> {
    /// The images, normalised as the student expects them, `[N, 3, H, W]`.
    pub images: &'a Tensor<4>,
    /// Index of every image in the training set, `[N]`.
    pub indices: &'a [usize],
    /// The student's outputs.
    pub outputs: &'a ExitOutputs,
    /// The teachers' outputs, in the order in which the teachers were given; ignored for those of
    /// which [`Distillers::uses`] says nothing is used.
    pub teachers: &'a [ExitOutputs],
    /// Labels.
    pub targets: &'a Targets,
    /// The position of the step in the training.
    pub context: &'a StepContext,
}

/// Every distiller of a recipe, set up for its student: an instance per exit that learns, and per
/// teacher where a distiller takes one teacher.
#[derive(Module, Debug)]
pub struct Distillers {
    tables: Vec<Table>,
    #[module(skip)]
    exit_stages: Vec<usize>,
    /// The same for every teacher.
    #[module(skip)]
    teacher_stages: Vec<Vec<usize>>,
}

/// One `[distill.NAME]`.
#[derive(Module, Debug)]
struct Table {
    instances: Vec<Instance>,
    #[module(skip)]
    name: String,
    #[module(skip)]
    weight: f64,
    #[module(skip)]
    ramp: Ramp,
}

/// The distiller of one exit and its teacher or teachers.
#[derive(Module, Debug)]
struct Instance {
    distiller: AnyDistiller,
    #[module(skip)]
    exit: usize,
    #[module(skip)]
    teachers: Vec<usize>,
    #[module(skip)]
    uses: Uses,
    /// The end of its terms' names: `2`, or `2/resnet56` where several teachers teach one by one.
    #[module(skip)]
    label: String,
    /// Its share of the table's weight.
    #[module(skip)]
    share: f64,
}

impl Distillers {
    /// Sets every table of a recipe up, in the order of their names.
    ///
    /// # Errors
    /// [`DistillError`] with the table and the value at fault.
    pub fn new(
        configs: &BTreeMap<String, DistillConfig>,
        student: &Student,
        teachers: &[ExternalTeacher],
        init: &mut Init,
    ) -> Result<Self, DistillError> {
        let shape = |teacher: &ExternalTeacher| {
            let deepest = teacher.net().num_exits() - 1;
            ExitShapes::of(teacher.net(), teacher.image(), deepest)
        };
        let shapes: Vec<_> = if configs.is_empty() {
            Vec::new()
        } else {
            teachers.iter().map(shape).collect()
        };
        let teacher_infos: Vec<TeacherInfo> = (teachers.iter().zip(shapes))
            .map(|(teacher, shape)| TeacherInfo { teacher, shape })
            .collect();
        let tables = configs
            .iter()
            .map(|(name, config)| Table::new(name, config, student, &teacher_infos, init))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tables,
            exit_stages: student.net.exit_stages().to_vec(),
            teacher_stages: (teachers.iter())
                .map(|teacher| teacher.net().exit_stages().to_vec())
                .collect(),
        })
    }

    /// Whether the recipe has no distiller.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// What the distillers use of the teacher with the given index.
    pub fn uses(&self, teacher: usize) -> Uses {
        let instances = self.tables.iter().flat_map(|table| &table.instances);
        let using = instances.filter(|instance| instance.teachers.contains(&teacher));
        using
            .map(|instance| instance.uses)
            .max()
            .unwrap_or_default()
    }

    /// Whether a distiller uses the teacher with the given index.
    pub fn uses_teacher(&self, teacher: usize) -> bool {
        let mut instances = self.tables.iter().flat_map(|table| &table.instances);
        instances.any(|instance| instance.teachers.contains(&teacher))
    }

    /// Adds the terms of a batch, named `TABLE/EXIT`; `TABLE/EXIT/TEACHER` where several teachers
    /// teach one by one, `TABLE-WORD/EXIT` for distillers with several terms.
    pub fn push_losses(&self, terms: &mut LossTerms, batch: &StepBatch) {
        for table in &self.tables {
            let weight = table.weight * table.ramp.factor(batch.context);
            for instance in &table.instances {
                for term in instance
                    .distiller
                    .losses(&self.distill_batch(instance, batch))
                {
                    let word = match term.name.as_str() {
                        "" => String::new(),
                        word => format!("-{word}"),
                    };
                    let name = format!("{}{word}/{}", table.name, instance.label);
                    terms.push(name, term.value, term.weight * weight * instance.share);
                }
            }
        }
    }

    /// To be called after the optimiser's step, with the batch that the losses were computed from.
    pub fn after_step(&mut self, batch: &StepBatch) {
        let mut tables = std::mem::take(&mut self.tables);
        for instance in tables.iter_mut().flat_map(|table| &mut table.instances) {
            let distill_batch = self.distill_batch(instance, batch);
            instance.distiller.after_step(&distill_batch);
        }
        self.tables = tables;
    }

    /// Copies what teachers and student share into the student; see [`Distiller::share`].
    pub fn share(&self, student: MultiExitNet) -> MultiExitNet {
        let instances = self.tables.iter().flat_map(|table| &table.instances);
        instances.fold(student, |student, instance| {
            instance.distiller.share(instance.exit, student)
        })
    }

    fn distill_batch<'a>(&self, instance: &Instance, batch: &StepBatch<'a>) -> DistillBatch<'a> {
        let teacher = |&teacher: &usize| {
            let stages = &self.teacher_stages[teacher];
            ExitFeatures::new(&batch.teachers[teacher], stages, stages.len() - 1)
        };
        let used = match instance.uses {
            Uses::Nothing => &[][..],
            _ => &instance.teachers,
        };
        DistillBatch {
            student: ExitFeatures::new(batch.outputs, &self.exit_stages, instance.exit),
            teachers: used.iter().map(teacher).collect(),
            targets: batch.targets,
            images: batch.images,
            indices: batch.indices,
            context: batch.context,
        }
    }
}

impl Table {
    fn new(
        name: &str,
        config: &DistillConfig,
        student: &Student,
        teacher_infos: &[TeacherInfo],
        init: &mut Init,
    ) -> Result<Self, DistillError> {
        let table = || name.to_owned();
        if !(config.weight.is_finite() && config.weight >= 0.0) {
            return Err(DistillError::Weight {
                table: table(),
                weight: config.weight,
            });
        }
        let groups = groups(name, config, teacher_infos)?;
        let last = student.net.num_exits() - 1;
        let exits = if config.exits.is_empty() {
            (0..=last).collect()
        } else {
            config.exits.clone()
        };
        let mut instances: Vec<Instance> = Vec::new();
        for exit in exits {
            let taken = |instance: &Instance| instance.exit == exit;
            if instances.iter().any(taken) {
                return Err(DistillError::Twice {
                    table: table(),
                    key: "exits",
                    value: exit.to_string(),
                });
            }
            if exit > last {
                return Err(DistillError::Exit {
                    table: table(),
                    exit,
                    last,
                });
            }
            let shape = ExitShapes::of(student.net, student.image, exit);
            for group in &groups {
                let info = DistillInfo {
                    student: shape.clone(),
                    exit,
                    net: student.config,
                    image: student.image,
                    teachers: group.iter().map(|&at| teacher_infos[at].clone()).collect(),
                    train_images: student.train_images,
                    batch_size: student.batch_size,
                };
                let distiller = (config.loss)
                    .init(&info, &mut init.fork())
                    .map_err(|source| DistillError::Distiller {
                        table: table(),
                        exit,
                        source,
                    })?;
                let label = match groups.len() {
                    1 => exit.to_string(),
                    _ => format!("{exit}/{}", teacher_infos[group[0]].teacher.name()),
                };
                instances.push(Instance {
                    distiller,
                    exit,
                    teachers: group.clone(),
                    uses: config.loss.uses(),
                    label,
                    share: 1.0 / groups.len() as f64,
                });
            }
        }
        Ok(Self {
            instances,
            name: table(),
            weight: config.weight,
            ramp: config.ramp,
        })
    }
}

/// The teachers of each instance, by index into `teacher_infos`.
fn groups(
    name: &str,
    config: &DistillConfig,
    teacher_infos: &[TeacherInfo],
) -> Result<Vec<Vec<usize>>, DistillError> {
    let names: Vec<&str> = teacher_infos
        .iter()
        .map(|info| info.teacher.name())
        .collect();
    let find = |wanted: &String| {
        let place = names.iter().position(|name| name == wanted);
        place.ok_or_else(|| DistillError::Teacher {
            table: name.to_owned(),
            name: wanted.clone(),
            known: if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            },
        })
    };
    let chosen: Vec<usize> = if config.teachers.is_empty() {
        (0..teacher_infos.len()).collect()
    } else {
        config.teachers.iter().map(find).collect::<Result<_, _>>()?
    };
    let again = |&(at, place): &(usize, &usize)| chosen[..at].contains(place);
    if let Some((_, &place)) = chosen.iter().enumerate().find(again) {
        return Err(DistillError::Twice {
            table: name.to_owned(),
            key: "teachers",
            value: names[place].to_owned(),
        });
    }
    let count = config.loss.teachers();
    if count == TeacherCount::None && !config.teachers.is_empty() {
        return Err(DistillError::Unwanted {
            table: name.to_owned(),
            loss: config.loss.name(),
        });
    }
    if chosen.is_empty() && count != TeacherCount::None {
        return Err(DistillError::NoTeacher {
            table: name.to_owned(),
        });
    }
    Ok(match count {
        TeacherCount::None => vec![Vec::new()],
        TeacherCount::One => chosen.into_iter().map(|at| vec![at]).collect(),
        TeacherCount::All => vec![chosen],
    })
}
