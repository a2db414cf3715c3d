//! All distillers of a training.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_core::{ExitOutputs, MapShape};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_losses::Targets;
use offramp_nn::Init;
use offramp_teachers::ExternalTeacher;

use super::{
    AnyDistiller, DistillConfig, DistillError, Distiller, Lesson, LessonPlan, TeacherPlan,
    Teachers, Uses, View, ViewShape,
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
    /// Number of training rows.
    pub rows: usize,
    /// Images a batch.
    pub batch_size: usize,
}

/// One batch: what the student and its teachers made of it.
#[derive(Clone, Copy, Debug)]
pub struct TaughtBatch<'a> {
    /// The images as the student takes them, `[N, 3, H, W]`.
    pub images: &'a Tensor<4>,
    /// Place of every image among the training rows, `[N]`.
    pub rows: &'a [usize],
    /// The student's outputs.
    pub outputs: &'a ExitOutputs,
    /// The teachers' outputs, in the order in which the teachers were given; of those that
    /// [`Distillers::uses`] says nothing is used of, anything.
    pub teachers: &'a [ExitOutputs],
    /// Labels.
    pub targets: &'a Targets,
    /// Where in the training the step is.
    pub context: &'a StepContext,
}

/// Every distiller of a recipe, ready for its student: an instance for each exit that learns,
/// and for each teacher where a distiller listens to one.
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
    lessons: Vec<Seat>,
    #[module(skip)]
    name: String,
    #[module(skip)]
    weight: f64,
    #[module(skip)]
    ramp: Ramp,
}

/// One exit that learns from one teacher, or from several at once.
#[derive(Module, Debug)]
struct Seat {
    distiller: AnyDistiller,
    #[module(skip)]
    exit: usize,
    #[module(skip)]
    teachers: Vec<usize>,
    #[module(skip)]
    uses: Uses,
    /// What the names of its terms end with: `2`, or `2/resnet56` where several teach.
    #[module(skip)]
    label: String,
    /// Its part of the table's weight.
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
            ViewShape::of(teacher.net(), teacher.image(), deepest)
        };
        let shapes: Vec<_> = match configs.is_empty() {
            true => Vec::new(),
            false => teachers.iter().map(shape).collect(),
        };
        let faculty: Vec<TeacherPlan> = (teachers.iter().zip(shapes))
            .map(|(teacher, shape)| TeacherPlan { teacher, shape })
            .collect();
        let tables = configs
            .iter()
            .map(|(name, config)| Table::new(name, config, student, &faculty, init))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tables,
            exit_stages: student.net.exit_stages().to_vec(),
            teacher_stages: (teachers.iter())
                .map(|teacher| teacher.net().exit_stages().to_vec())
                .collect(),
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// What is used of the teacher at a place, over all tables.
    pub fn uses(&self, teacher: usize) -> Uses {
        let seats = self.tables.iter().flat_map(|table| &table.lessons);
        let heard = seats.filter(|seat| seat.teachers.contains(&teacher));
        heard.map(|seat| seat.uses).max().unwrap_or_default()
    }

    /// Whether some table listens to the teacher at a place.
    pub fn hears(&self, teacher: usize) -> bool {
        let mut seats = self.tables.iter().flat_map(|table| &table.lessons);
        seats.any(|seat| seat.teachers.contains(&teacher))
    }

    /// Adds the terms of a batch: `TABLE/EXIT`, with the teacher behind where several teach one
    /// by one, and `TABLE-WORD/EXIT` for distillers of several terms.
    pub fn push_losses(&self, terms: &mut LossTerms, batch: &TaughtBatch) {
        for table in &self.tables {
            let weight = table.weight * table.ramp.factor(batch.context);
            for seat in &table.lessons {
                for term in seat.distiller.losses(&self.lesson(seat, batch)) {
                    let word = match term.name.as_str() {
                        "" => String::new(),
                        word => format!("-{word}"),
                    };
                    let name = format!("{}{word}/{}", table.name, seat.label);
                    terms.push(name, term.value, term.weight * weight * seat.share);
                }
            }
        }
    }

    /// To be called after the optimiser's step, with the batch that the losses were computed from.
    pub fn after_step(&mut self, batch: &TaughtBatch) {
        let mut tables = std::mem::take(&mut self.tables);
        for seat in tables.iter_mut().flat_map(|table| &mut table.lessons) {
            let lesson = self.lesson(seat, batch);
            seat.distiller.after_step(&lesson);
        }
        self.tables = tables;
    }

    /// Puts what teachers and student share into the student; see [`Distiller::share`].
    pub fn share(&self, student: MultiExitNet) -> MultiExitNet {
        let seats = self.tables.iter().flat_map(|table| &table.lessons);
        seats.fold(student, |student, seat| {
            seat.distiller.share(seat.exit, student)
        })
    }

    fn lesson<'a>(&self, seat: &Seat, batch: &TaughtBatch<'a>) -> Lesson<'a> {
        let teacher = |&teacher: &usize| {
            let stages = &self.teacher_stages[teacher];
            View::new(&batch.teachers[teacher], stages, stages.len() - 1)
        };
        let heard = match seat.uses {
            Uses::Nothing => &[][..],
            _ => &seat.teachers,
        };
        Lesson {
            student: View::new(batch.outputs, &self.exit_stages, seat.exit),
            teachers: heard.iter().map(teacher).collect(),
            targets: batch.targets,
            images: batch.images,
            rows: batch.rows,
            context: batch.context,
        }
    }
}

impl Table {
    fn new(
        name: &str,
        config: &DistillConfig,
        student: &Student,
        faculty: &[TeacherPlan],
        init: &mut Init,
    ) -> Result<Self, DistillError> {
        let table = || name.to_owned();
        if !(config.weight.is_finite() && config.weight >= 0.0) {
            return Err(DistillError::Weight {
                table: table(),
                weight: config.weight,
            });
        }
        let groups = groups(name, config, faculty)?;
        let last = student.net.num_exits() - 1;
        let exits = match config.exits.is_empty() {
            true => (0..=last).collect(),
            false => config.exits.clone(),
        };
        let mut lessons: Vec<Seat> = Vec::new();
        for exit in exits {
            let seated = |seat: &Seat| seat.exit == exit;
            if lessons.iter().any(seated) {
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
            let shape = ViewShape::of(student.net, student.image, exit);
            for group in &groups {
                let plan = LessonPlan {
                    student: shape.clone(),
                    exit,
                    net: student.config,
                    image: student.image,
                    teachers: group.iter().map(|&at| faculty[at].clone()).collect(),
                    rows: student.rows,
                    batch_size: student.batch_size,
                };
                let distiller = (config.loss)
                    .init(&plan, &mut init.fork())
                    .map_err(|source| DistillError::Distiller {
                        table: table(),
                        exit,
                        source,
                    })?;
                let label = match groups.len() {
                    1 => exit.to_string(),
                    _ => format!("{exit}/{}", faculty[group[0]].teacher.name()),
                };
                lessons.push(Seat {
                    distiller,
                    exit,
                    teachers: group.clone(),
                    uses: config.loss.entry().uses,
                    label,
                    share: 1.0 / groups.len() as f64,
                });
            }
        }
        Ok(Self {
            lessons,
            name: table(),
            weight: config.weight,
            ramp: config.ramp,
        })
    }
}

/// Who teaches together, by place in the faculty.
fn groups(
    name: &str,
    config: &DistillConfig,
    faculty: &[TeacherPlan],
) -> Result<Vec<Vec<usize>>, DistillError> {
    let names: Vec<&str> = faculty.iter().map(|plan| plan.teacher.name()).collect();
    let find = |wanted: &String| {
        let place = names.iter().position(|name| name == wanted);
        place.ok_or_else(|| DistillError::Teacher {
            table: name.to_owned(),
            name: wanted.clone(),
            known: match names.is_empty() {
                true => "none".to_owned(),
                false => names.join(", "),
            },
        })
    };
    let chosen: Vec<usize> = match config.teachers.is_empty() {
        true => (0..faculty.len()).collect(),
        false => config.teachers.iter().map(find).collect::<Result<_, _>>()?,
    };
    let again = |&(at, place): &(usize, &usize)| chosen[..at].contains(place);
    if let Some((_, &place)) = chosen.iter().enumerate().find(again) {
        return Err(DistillError::Twice {
            table: name.to_owned(),
            key: "teachers",
            value: names[place].to_owned(),
        });
    }
    let listens = config.loss.entry().teachers;
    if listens == Teachers::None && !config.teachers.is_empty() {
        return Err(DistillError::Unwanted {
            table: name.to_owned(),
            loss: config.loss.name(),
        });
    }
    if chosen.is_empty() && listens != Teachers::None {
        return Err(DistillError::NoTeacher {
            table: name.to_owned(),
        });
    }
    Ok(match listens {
        Teachers::None => vec![Vec::new()],
        Teachers::One => chosen.into_iter().map(|at| vec![at]).collect(),
        Teachers::All => vec![chosen],
    })
}
