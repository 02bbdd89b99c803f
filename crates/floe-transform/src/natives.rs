//! What programs can call: the interpreter's own library, less what reaches outside, and with loops that can be stopped.
//!
//! Programs can't define loops of their own (see `check`), so every loop is one of `range`, `recurse`, `while` and `until`,
//! or goes over the items of a value (see `rewrite`). Each of their turns passes through [`Watch::turn`].

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use jaq_core::{
    DataT, Exn, Lut, Native, ValX,
    data::HasLut,
    load::{self, parse::Def},
    native::{self, Filter, bome, v},
};
use jaq_json::{Error, Val};

use crate::{
    json,
    limits::{OUTPUT_BYTES_MAX, TURNS_MAX},
};

/// Loops, as the library has them but for the turn.
const LOOPS: &str = "
def recurse(f): def rec: ., (f | if turn then rec else . end); rec;
def recurse: recurse(.[]?);
def recurse(f; cond): recurse(f | if cond then . else {}[] end);
def while(cond; update): def rec: if cond then ., (update | if turn then rec else . end) else {}[] end; rec;
def combinations: .[][] |= [.] | reduce .[] as $a ([]; (. + $a[]) | if turn then . else . end);
def until(cond; update): def rec: if cond then . else update | if turn then rec else . end end; rec;
";

/// Definitions of the library that are left out or replaced, with how many arguments they have.
const LEFT_OUT_DEFINITIONS: [(&str, usize); 14] = [
    ("recurse", 0),
    ("recurse", 1),
    ("recurse", 2),
    ("while", 2),
    ("until", 2),
    ("repeat", 1),
    ("combinations", 0),
    ("combinations", 1),
    ("halt", 0),
    ("halt_error", 0),
    ("halt_error", 1),
    ("stderr", 0),
    ("debug", 0),
    ("debug", 1),
];

/// Functions of the library that are left out or replaced.
const LEFT_OUT_FUNCTIONS: [&str; 6] = ["range", "fromjson", "env", "halt", "stderr_empty", "debug_empty"];

/// What a running program shares with those who watch it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The record (by place in the batch) whose steps run.
    running: AtomicUsize,
    /// The record whose steps are to end, plus one; 0 for none.
    stopped: AtomicUsize,
    /// All is to end.
    closed: AtomicBool,
    turns: AtomicU32,
}

impl Watch {
    /// For the thread: places count in another batch from now on.
    pub(crate) fn begin_batch(&self) {
        self.stopped.store(0, Ordering::Relaxed);
    }

    /// For the thread: a record's steps begin.
    pub(crate) fn begin(&self, record: usize) {
        self.running.store(record, Ordering::Relaxed);
    }

    /// For the thread, before each program of the record: turns are counted for one program.
    pub(crate) fn begin_program(&self) {
        self.turns.store(0, Ordering::Relaxed);
    }

    /// Ends the steps of a record, if it is still the one that runs.
    pub(crate) fn stop(&self, record: usize) {
        self.stopped.store(record + 1, Ordering::Relaxed);
    }

    /// Ends all.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether the record that runs was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_closed() || self.stopped.load(Ordering::Relaxed) == self.running.load(Ordering::Relaxed) + 1
    }

    /// Whether its program made too many turns.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.turns.load(Ordering::Relaxed) > TURNS_MAX
    }

    /// One turn of a loop. Once this has failed it fails for the rest of the program, so that catching the error helps
    /// nothing.
    fn turn(&self) -> Result<(), Error> {
        self.turns.fetch_add(1, Ordering::Relaxed);
        if self.is_stopped() {
            return Err(Error::str("the program took too long"));
        }
        if self.is_exhausted() {
            return Err(Error::str(format_args!("the program's loops made more than {TURNS_MAX} turns")));
        }
        Ok(())
    }
}

/// The kind of data that programs run on.
#[derive(Debug)]
pub(crate) enum Data {}

/// What functions see beside the values.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) lut: &'a Lut<Data>,
    pub(crate) watch: &'a Watch,
}

impl DataT for Data {
    type V<'a> = Val;
    type Data<'a> = Shared<'a>;
}

impl<'a> HasLut<'a, Data> for Shared<'a> {
    fn lut(&self) -> &'a Lut<Data> {
        self.lut
    }
}

/// All definitions.
pub(crate) fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    let library = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let kept = library.filter(|def| !LEFT_OUT_DEFINITIONS.contains(&(def.name, def.args.len())));
    load::parse(LOOPS, |parser| parser.defs()).into_iter().flatten().chain(kept)
}

/// All functions.
pub(crate) fn functions() -> impl Iterator<Item = Filter<Native<Data>>> {
    let library = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let kept = library.filter(|(name, ..)| !LEFT_OUT_FUNCTIONS.contains(name));
    let own: [Filter<jaq_core::RunPtr<Data>>; 4] = [
        ("turn", v(0), |(ctx, _)| bome(ctx.data().watch.turn().map(|()| Val::Bool(true)))),
        ("range", v(3), |(mut ctx, _)| {
            let by = ctx.pop_var();
            let to = ctx.pop_var();
            let from = ctx.pop_var();
            let watch = ctx.data().watch;
            Box::new(Range { next: Some(Ok(from)), to, by, watch })
        }),
        ("fromjson", v(0), |(_, text)| bome(from_json(&text))),
        ("multiply", v(2), |(mut ctx, _)| {
            let right = ctx.pop_var();
            let left = ctx.pop_var();
            bome(multiply(left, right))
        }),
    ];
    kept.chain(own.into_iter().map(native::run::<Data>))
}

/// Strict JSON, as records are read: the library's own would follow any depth.
fn from_json(text: &Val) -> Result<Val, Error> {
    let Val::TStr(text) = text else {
        return Err(Error::typ(text.clone(), "string"));
    };
    json::parse(text).map_err(|why| Error::str(format_args!("the text is not JSON: {why}")))
}

/// A product, unless it is a text longer than any output may be.
fn multiply(left: Val, right: Val) -> Result<Val, Error> {
    if let (Val::TStr(text) | Val::BStr(text), Val::Num(times))
    | (Val::Num(times), Val::TStr(text) | Val::BStr(text)) = (&left, &right)
    {
        let most = isize::try_from(OUTPUT_BYTES_MAX / text.len().max(1)).unwrap_or(isize::MAX);
        if Val::Num(times.clone()) > Val::from(most) {
            return Err(Error::str(format_args!("the text would be longer than {OUTPUT_BYTES_MAX} bytes")));
        }
    }
    left * right
}

/// The numbers from one to before another.
struct Range<'a> {
    next: Option<Result<Val, Error>>,
    to: Val,
    by: Val,
    watch: &'a Watch,
}

impl Range<'_> {
    fn is_over(&self, number: &Val) -> bool {
        let zero = Val::from(0_isize);
        if self.by > zero {
            *number >= self.to
        } else if self.by < zero {
            *number <= self.to
        } else {
            *number == self.to
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = ValX<'a, Val>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = match self.next.take()? {
            Ok(number) if self.is_over(&number) => return None,
            Ok(number) => number,
            Err(error) => return Some(Err(Exn::from(error))),
        };
        if let Err(error) = self.watch.turn() {
            return Some(Err(Exn::from(error)));
        }
        self.next = Some(number.clone() + self.by.clone());
        Some(Ok(number))
    }
}
