//! Looks through a program for what may not be in it: definitions that call themselves, and calls that reach outside of the
//! record or are known not to end. Notes which variables it uses.

use std::collections::HashSet;

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Def, Pattern, Term},
    },
    path::Part,
};

/// Names that may not be called, and why.
const REFUSED: [(&str, &str); 12] = [
    ("input", "a program sees one record"),
    ("inputs", "a program sees one record"),
    ("input_filename", "a program sees one record"),
    ("input_line_number", "a program sees one record"),
    ("repeat", "it doesn't end; use range, until or limit"),
    ("infinite", "it is for loops that don't end"),
    ("env", "programs see the record only"),
    ("get_search_list", "programs see the record only"),
    ("halt", "a program can't stop the process; use error"),
    ("halt_error", "a program can't stop the process; use error"),
    ("debug", "programs write nothing but their output"),
    ("stderr", "programs write nothing but their output"),
];

/// What a program was found to use.
#[derive(Debug, Default)]
pub(crate) struct Used<'s> {
    variables: HashSet<&'s str>,
}

impl Used<'_> {
    /// Whether a variable (with its `$`) stands somewhere in the program.
    pub(crate) fn variable(&self, name: &str) -> bool {
        self.variables.contains(name)
    }
}

/// A part of the program that may not stay, and why.
#[derive(Debug)]
pub(crate) struct Refused<'s> {
    /// A slice of the program's text.
    pub(crate) part: &'s str,
    pub(crate) why: String,
}

/// Looks through the whole program.
pub(crate) fn look_through<'s>(program: &Term<&'s str>) -> Result<Used<'s>, Refused<'s>> {
    let mut walk = Walk { used: Used::default(), open: Vec::new() };
    walk.term(program)?;
    Ok(walk.used)
}

struct Walk<'s> {
    used: Used<'s>,
    /// Definitions in whose bodies the walk is: name and number of arguments.
    open: Vec<(&'s str, usize)>,
}

impl<'s> Walk<'s> {
    fn term(&mut self, term: &Term<&'s str>) -> Result<(), Refused<'s>> {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) => Ok(()),
            Term::Var(name) => {
                self.used.variables.insert(name);
                Ok(())
            }
            Term::Str(_, parts) => parts.iter().try_for_each(|part| match part {
                StrPart::Term(term) => self.term(term),
                StrPart::Str(_) | StrPart::Char(_) => Ok(()),
            }),
            Term::Arr(items) => items.iter().try_for_each(|items| self.term(items)),
            Term::Obj(members) => members.iter().try_for_each(|(name, value)| {
                self.term(name)?;
                value.iter().try_for_each(|value| self.term(value))
            }),
            Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::BinOp(left, op, right) => {
                self.term(left)?;
                if let BinaryOp::Pipe(Some(pattern)) = op {
                    self.pattern(pattern)?;
                }
                self.term(right)
            }
            Term::Fold(_, over, pattern, arguments) => {
                self.term(over)?;
                self.pattern(pattern)?;
                arguments.iter().try_for_each(|argument| self.term(argument))
            }
            Term::TryCatch(inner, catch) => {
                self.term(inner)?;
                catch.iter().try_for_each(|catch| self.term(catch))
            }
            Term::IfThenElse(branches, other) => {
                branches.iter().try_for_each(|(condition, then)| {
                    self.term(condition)?;
                    self.term(then)
                })?;
                other.iter().try_for_each(|other| self.term(other))
            }
            Term::Def(definitions, rest) => {
                definitions.iter().try_for_each(|definition| self.definition(definition))?;
                self.term(rest)
            }
            Term::Call(name, arguments) => {
                self.call(name, arguments.len())?;
                arguments.iter().try_for_each(|argument| self.term(argument))
            }
            Term::Path(head, path) => {
                self.term(head)?;
                path.0.iter().try_for_each(|(part, _)| match part {
                    Part::Index(index) => self.term(index),
                    Part::Range(from, to) => from.iter().chain(to).try_for_each(|bound| self.term(bound)),
                })
            }
        }
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) -> Result<(), Refused<'s>> {
        match pattern {
            Pattern::Var(_) => Ok(()),
            Pattern::Arr(items) => items.iter().try_for_each(|item| self.pattern(item)),
            Pattern::Obj(members) => members.iter().try_for_each(|(name, value)| {
                self.term(name)?;
                self.pattern(value)
            }),
        }
    }

    fn definition(&mut self, definition: &Def<&'s str>) -> Result<(), Refused<'s>> {
        self.open.push((definition.name, definition.args.len()));
        self.term(&definition.body)?;
        self.open.pop();
        Ok(())
    }

    fn call(&mut self, name: &&'s str, arguments: usize) -> Result<(), Refused<'s>> {
        if self.open.contains(&(name, arguments)) {
            let why = format!("'{name}' calls itself; definitions may not, as they might not end");
            return Err(Refused { part: name, why });
        }
        match REFUSED.iter().find(|(refused, _)| refused == name) {
            Some((_, why)) => Err(Refused { part: name, why: format!("'{name}' is not available: {why}") }),
            None => Ok(()),
        }
    }
}
