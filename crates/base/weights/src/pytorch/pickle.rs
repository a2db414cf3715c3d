//! Pickles, read as data.
//!
//! The opcodes are those that Python's pickler writes in protocols 2 to 5 (Python's
//! `pickletools.py` describes each). Nothing is imported and nothing is called: a name becomes a
//! [`Function`](super::objects::Function) if it is one of a state_dict, and an error otherwise.

use std::collections::HashMap;

use super::objects::{Function, Id, Object, Objects};
use super::rebuild;
use crate::Problem;

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle {
    pub objects: Objects,
    pub root: Id,
    /// Bytes that it took.
    pub length: usize,
}

/// Reads the pickle at the beginning of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle, Problem> {
    let mut objects = Objects::default();
    let none = objects.add(Object::None)?;
    let mut machine = Machine {
        bytes,
        at: 0,
        objects,
        none,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = machine.run()?;
    Ok(Pickle {
        objects: machine.objects,
        root,
        length: machine.at,
    })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Objects,
    none: Id,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, Problem> {
        loop {
            let start = self.at;
            let [opcode] = self.array()?;
            match opcode {
                b'.' => return self.pop(),
                0x80 => self.protocol()?,
                // A frame only says how much to read at once.
                0x95 => self.skip(8)?,
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'N' => self.stack.push(self.none),
                0x88 => self.push(Object::Bool(true))?,
                0x89 => self.push(Object::Bool(false))?,
                b'J' => {
                    let number = i32::from_le_bytes(self.array()?);
                    self.push(Object::Int(number.into()))?;
                }
                b'K' => {
                    let [number] = self.array()?;
                    self.push(Object::Int(number.into()))?;
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.array()?);
                    self.push(Object::Int(number.into()))?;
                }
                0x8a => self.long()?,
                b'G' => {
                    self.skip(8)?;
                    self.push(Object::Other("a float"))?;
                }
                b'X' | b'T' => self.text(4)?,
                0x8c | b'U' => self.text(1)?,
                0x8d => self.text(8)?,
                b'C' => self.binary(1)?,
                b'B' => self.binary(4)?,
                0x8e => self.binary(8)?,
                b')' => self.push(Object::Tuple(Vec::new()))?,
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Object::Tuple(items))?;
                }
                b']' => self.push(Object::List(Vec::new()))?,
                b'a' => {
                    let item = self.pop()?;
                    self.extend_list(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.extend_list(items)?;
                }
                b'}' => self.push(Object::Dict(Vec::new()))?,
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.extend_dict(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.extend_dict(&items)?;
                }
                0x8f => self.push(Object::Other("a set"))?,
                0x90 => drop(self.pop_mark()?),
                0x91 => {
                    self.pop_mark()?;
                    self.push(Object::Other("a set"))?;
                }
                b'q' => {
                    let [key] = self.array()?;
                    self.memorise(key.into())?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.memorise(key)?;
                }
                0x94 => self.memorise(self.memo.len() as u32)?,
                b'h' => {
                    let [key] = self.array()?;
                    self.recall(key.into())?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.array()?);
                    self.recall(key)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.function(&module, &name)?;
                }
                0x93 => self.function_of_stack()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b'Q' => {
                    let id = self.pop()?;
                    let storage = rebuild::storage(&self.objects, id);
                    let storage = storage.map_err(|reason| self.problem(reason))?;
                    self.push(Object::Storage(storage.into()))?;
                }
                _ => {
                    self.at = start;
                    return Err(self.problem(format!(
                        "opcode {:?} is none that torch.save writes",
                        [opcode].escape_ascii().to_string()
                    )));
                }
            }
        }
    }

    fn problem(&self, reason: impl Into<String>) -> Problem {
        Problem::Pickle {
            at: self.at,
            reason: reason.into(),
        }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Problem> {
        let left = &self.bytes[self.at..];
        match usize::try_from(count)
            .ok()
            .and_then(|count| left.get(..count))
        {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(Problem::Truncated {
                what: "the pickle",
                at: self.at,
                needed: count,
                left: left.len(),
            }),
        }
    }

    fn skip(&mut self, count: u64) -> Result<(), Problem> {
        self.take(count).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    /// Bytes after their number, which itself takes `width` bytes.
    fn counted(&mut self, width: u64) -> Result<&'a [u8], Problem> {
        let mut count = [0; 8];
        count[..width as usize].copy_from_slice(self.take(width)?);
        self.take(u64::from_le_bytes(count))
    }

    fn line(&mut self) -> Result<String, Problem> {
        let left = &self.bytes[self.at..];
        let end = left.iter().position(|&byte| byte == b'\n');
        let line = self.take(end.map_or(left.len() as u64 + 1, |end| end as u64 + 1))?;
        Ok(String::from_utf8_lossy(&line[..line.len() - 1]).into_owned())
    }

    fn push(&mut self, object: Object) -> Result<(), Problem> {
        let id = self.objects.add(object)?;
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, Problem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() > floor {
            self.stack
                .pop()
                .ok_or_else(|| self.problem("an empty stack"))
        } else {
            Err(self.problem("an empty stack"))
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Problem> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.problem("no mark on the stack")),
        }
    }

    /// The object on top of the stack, which stays there.
    fn top(&mut self) -> Result<Id, Problem> {
        let id = self.pop()?;
        self.stack.push(id);
        Ok(id)
    }

    fn protocol(&mut self) -> Result<(), Problem> {
        match self.array()? {
            [2..=5] => Ok(()),
            [other] => Err(self.problem(format!("protocol {other}; 2 to 5 are read"))),
        }
    }

    fn long(&mut self) -> Result<(), Problem> {
        let bytes = self.counted(1)?;
        if bytes.len() > 16 {
            return Err(self.problem(format!("an integer of {} bytes", bytes.len())));
        }
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut all = [if negative { 0xff } else { 0 }; 16];
        all[..bytes.len()].copy_from_slice(bytes);
        self.push(Object::Int(i128::from_le_bytes(all)))
    }

    fn text(&mut self, width: u64) -> Result<(), Problem> {
        // Python 2 wrote its strings as bytes; names of parameters are ASCII in both.
        let text = String::from_utf8_lossy(self.counted(width)?);
        self.push(Object::Text(text.into()))
    }

    fn binary(&mut self, width: u64) -> Result<(), Problem> {
        self.counted(width)?;
        self.push(Object::Other("bytes"))
    }

    fn tuple(&mut self, count: usize) -> Result<(), Problem> {
        let mut items = vec![self.none; count];
        for item in items.iter_mut().rev() {
            *item = self.pop()?;
        }
        self.push(Object::Tuple(items))
    }

    fn extend_list(&mut self, items: Vec<Id>) -> Result<(), Problem> {
        let list = self.top()?;
        match self.objects.get_mut(list) {
            Object::List(list) => list.extend(items),
            other => {
                let kind = other.kind();
                return Err(self.problem(format!("something is appended to {kind}")));
            }
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Id]) -> Result<(), Problem> {
        let dict = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        match self.objects.get_mut(dict) {
            Object::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            Object::Dict(_) => return Err(self.problem("a key without a value")),
            other => {
                let kind = other.kind();
                return Err(self.problem(format!("an item is set in {kind}")));
            }
        }
        Ok(())
    }

    fn memorise(&mut self, key: u32) -> Result<(), Problem> {
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), Problem> {
        match self.memo.get(&key) {
            Some(id) => {
                self.stack.push(*id);
                Ok(())
            }
            None => Err(self.problem(format!("object {key} is used before it is made"))),
        }
    }

    fn function(&mut self, module: &str, name: &str) -> Result<(), Problem> {
        match Function::named(module, name) {
            Some(function) => self.push(Object::Function(function)),
            None => {
                let name = format!("{module}.{name}");
                // A name may be as long as the file.
                let name = name.chars().take(200).collect();
                Err(Problem::Global { name })
            }
        }
    }

    fn function_of_stack(&mut self) -> Result<(), Problem> {
        let (name, module) = (self.pop()?, self.pop()?);
        let texts = self.objects.text(module).zip(self.objects.text(name));
        match texts.map(|(module, name)| (module.clone(), name.clone())) {
            Some((module, name)) => self.function(&module, &name),
            None => Err(self.problem("a function whose name is no text")),
        }
    }

    fn reduce(&mut self) -> Result<(), Problem> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Object::Function(function) = *self.objects.get(callable) else {
            let kind = self.objects.get(callable).kind();
            return Err(self.problem(format!("{kind} is called")));
        };
        let Object::Tuple(arguments) = self.objects.get(arguments) else {
            return Err(self.problem("arguments that are no tuple"));
        };
        let made = rebuild::call(&self.objects, function, arguments);
        let made = made.map_err(|reason| self.problem(reason))?;
        self.push(made)
    }

    /// Attributes of an object: those of a dictionary (`_metadata`) say nothing of tensors, and
    /// no other object that is known here has any.
    fn build(&mut self) -> Result<(), Problem> {
        self.pop()?;
        let object = self.top()?;
        match self.objects.get(object) {
            Object::Dict(_) => Ok(()),
            other => {
                let kind = other.kind();
                Err(self.problem(format!("attributes are set on {kind}")))
            }
        }
    }
}
