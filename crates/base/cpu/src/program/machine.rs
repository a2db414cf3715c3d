//! Memory and threads for programs.

use std::ptr::null;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::check::MAX_PORTS;
use super::frame::Frame;
use super::team::Team;
use super::{Layout, Program, ProgramError};
use crate::memory::Buffer;

/// Runs programs of limited size on some threads.
///
/// Two ways of sharing the work: with few images all threads go through the steps side by side, each
/// doing a part of every step; with many each thread takes a *group* of images through all steps on
/// its own, and no thread waits.
pub struct Machine {
    team: Team,
    arena: Buffer,
    scratch: Buffer,
    /// Words of scratch memory of a thread.
    scratch_words: usize,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Machine({} threads)", self.team.members())
    }
}

/// Pointers for the threads of one run.
struct Memory {
    arena: *mut f32,
    scratch: *mut f32,
    inputs: [*const f32; MAX_PORTS],
    outputs: [*mut f32; MAX_PORTS],
}

// SAFETY: threads touch disjoint parts: of the arena and scratch by their number, of ports by image
// or, side by side, by task.
unsafe impl Sync for Memory {}

impl Machine {
    /// A machine of so many threads without memory.
    pub fn new(threads: usize) -> Self {
        Self {
            team: Team::new(threads),
            arena: Buffer::new(0),
            scratch: Buffer::new(0),
            scratch_words: 0,
        }
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.team.members()
    }

    /// Memory for this program, `group` images a thread. It serves smaller programs as well.
    pub fn reserve(&mut self, program: &Program, group: usize) {
        let threads = self.threads();
        let arena = program.parts.arena * group.max(1) * threads;
        if self.arena.len() < arena {
            self.arena = Buffer::zeroed(arena);
        }
        let scratch = program.parts.steps.iter().map(super::Step::scratch).max();
        let scratch = scratch.unwrap_or(0).next_multiple_of(16);
        if self.scratch_words < scratch {
            self.scratch = Buffer::zeroed(scratch * threads);
            self.scratch_words = scratch;
        }
    }

    /// Runs a program over `images` images.
    ///
    /// `group` is the number of images that a thread takes at once; where the memory is too small for
    /// it, the first such run reserves more. Any other number of images allocates nothing.
    ///
    /// # Shapes
    /// - `inputs`, `outputs`: for each port as many words as `images` images of its layout have
    ///
    /// # Errors
    /// [`ProgramError::Port`] when a port is missing or of another length.
    pub fn run(
        &mut self,
        program: &Program,
        images: usize,
        group: usize,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
    ) -> Result<(), ProgramError> {
        let parts = &program.parts;
        let found = inputs.iter().map(|port| port.len());
        check_ports("input", &parts.inputs, images, found)?;
        let found = outputs.iter().map(|port| port.len());
        check_ports("output", &parts.outputs, images, found)?;
        if images == 0 {
            return Ok(());
        }
        self.reserve(program, group);
        let mut memory = Memory {
            arena: self.arena.as_mut_ptr(),
            scratch: self.scratch.as_mut_ptr(),
            inputs: [null(); MAX_PORTS],
            outputs: [null::<f32>().cast_mut(); MAX_PORTS],
        };
        for (pointer, port) in memory.inputs.iter_mut().zip(inputs) {
            *pointer = port.as_ptr();
        }
        for (pointer, port) in memory.outputs.iter_mut().zip(outputs) {
            *pointer = port.as_mut_ptr();
        }
        let threads = self.threads();
        // SAFETY: the memory was reserved for groups of this size, the program was checked and the
        // ports have their lengths.
        unsafe {
            if side_by_side(images, threads) && images <= threads * group.max(1) {
                self.together(program, &memory, images)
            } else {
                self.apart(program, &memory, images, group.max(1))
            }
        }
        Ok(())
    }

    /// # Safety
    /// The memory is enough for `threads` groups of one image or more each, and `images <= threads *
    /// group`.
    unsafe fn together(&mut self, program: &Program, memory: &Memory, images: usize) {
        let (scratch, threads) = (self.scratch_words, self.threads());
        self.team.run(&|member, meeting| {
            let memory: &Memory = memory;
            // SAFETY: each thread has scratch memory of its own.
            let scratch = unsafe { memory.scratch.add(member * scratch) };
            let frame = memory.frame(program, memory.arena, scratch, [0, images]);
            for step in &program.parts.steps {
                // SAFETY: each thread is one task, and the meeting is after the whole step.
                unsafe { step.run(&frame, member, threads) };
                meeting.wait();
            }
        });
    }

    /// # Safety
    /// The memory is enough for `threads` groups of `group` images.
    unsafe fn apart(&mut self, program: &Program, memory: &Memory, images: usize, group: usize) {
        let (scratch, threads) = (self.scratch_words, self.threads());
        let groups = images.div_ceil(group).next_multiple_of(threads).min(images);
        let next = AtomicUsize::new(0);
        let words = program.parts.arena * group;
        self.team.run(&|member, _| {
            let memory: &Memory = memory;
            // SAFETY: each thread has memory of its own.
            let (arena, scratch) = unsafe {
                (
                    memory.arena.add(member * words),
                    memory.scratch.add(member * scratch),
                )
            };
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= groups {
                    break;
                }
                let first = images * i / groups;
                let count = images * (i + 1) / groups - first;
                let mut frame = memory.frame(program, arena, scratch, [first, count]);
                for phase in &program.parts.phases {
                    let size = phase.images.min(count);
                    for from in (0..count).step_by(size) {
                        (frame.from, frame.images) = (from, size.min(count - from));
                        for step in &program.parts.steps[phase.first..phase.end] {
                            // SAFETY: this thread alone works on these images.
                            unsafe { step.run(&frame, 0, 1) };
                        }
                    }
                }
            }
        });
    }
}

/// Whether all threads work on each step: where whole images do not go round evenly.
fn side_by_side(images: usize, threads: usize) -> bool {
    threads > 1 && images < 2 * threads && !images.is_multiple_of(threads)
}

impl Memory {
    fn frame(
        &self,
        program: &Program,
        arena: *mut f32,
        scratch: *mut f32,
        [first, images]: [usize; 2],
    ) -> Frame<'_> {
        Frame {
            arena,
            room: images,
            from: 0,
            images,
            inputs: &self.inputs,
            outputs: &self.outputs,
            first,
            weights: program.weights.as_ptr(),
            scratch,
        }
    }
}

fn check_ports(
    kind: &'static str,
    layouts: &[Layout],
    images: usize,
    mut found: impl ExactSizeIterator<Item = usize>,
) -> Result<(), ProgramError> {
    let count = found.len();
    for port in 0..layouts.len().max(count) {
        let expected = match layouts.get(port) {
            Some(layout) => images.checked_mul(layout.words()),
            None => Some(0),
        };
        let found = found.next();
        if found.is_none() || found != expected {
            return Err(ProgramError::Port {
                kind,
                port,
                images,
                expected: expected.unwrap_or(usize::MAX),
                found: found.unwrap_or(0),
            });
        }
    }
    Ok(())
}
