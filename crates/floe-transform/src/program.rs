//! One jq program, compiled.

use std::fmt;

use jaq_core::{
    Compiler, Ctx, Vars,
    compile::Undefined,
    load::{self, Arena, File, Loader, parse::Term},
    unwrap_valr,
};
use jaq_json::{Map, Val};

use crate::{
    Input,
    check::{self, Used},
    limits::PROGRAM_BYTES_MAX,
    natives::{self, Data, Shared, Watch},
    rewrite, told,
};

/// What programs see beside the value, in this order.
const VARIABLES: [&str; 6] = ["$topic", "$partition", "$offset", "$timestamp", "$key", "$headers"];

/// A compiled program. Holds no values, so it can be run on any thread.
pub(crate) struct Program {
    filter: jaq_core::Filter<Data>,
    uses_key: bool,
    uses_headers: bool,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

impl Program {
    /// Parses, checks and compiles. `Err` says where and what.
    pub(crate) fn compile(code: &str) -> Result<Self, String> {
        if code.len() > PROGRAM_BYTES_MAX {
            return Err(format!(
                "the program has {} bytes, at most {PROGRAM_BYTES_MAX} are taken",
                code.len()
            ));
        }
        let Some(program) = load::parse(code, |parser| parser.term()) else {
            return Err(compile(code).err().unwrap_or_else(|| NO_MODULES.to_owned()));
        };
        let used = look_through(code, &program)?;
        // As it was written first, for errors with their places.
        compile(code)?;
        let rewritten = rewrite::rewrite(&program);
        let filter = compile(&rewritten)?;
        Ok(Self { filter, uses_key: used.variable("$key"), uses_headers: used.variable("$headers") })
    }

    /// Runs on one value. Each output goes to `each`, until it says no.
    pub(crate) fn run(
        &self,
        input: &Input,
        value: Val,
        watch: &Watch,
        mut each: impl FnMut(Val) -> Result<Next, String>,
    ) -> Result<(), String> {
        watch.begin_program();
        let shared = Shared { lut: &self.filter.lut, watch };
        let context = Ctx::<Data>::new(shared, Vars::new(self.variables(input)));
        for output in self.filter.id.run((context, value)).map(unwrap_valr) {
            let output = output.map_err(|error| told::of_program(&error.to_string()))?;
            if matches!(each(output)?, Next::Enough) {
                break;
            }
        }
        Ok(())
    }

    fn variables(&self, input: &Input) -> [Val; 6] {
        let number = |number: i64| isize::try_from(number).map_or(Val::Null, Val::from);
        let key = if self.uses_key { text_or_null(input.key.as_deref()) } else { Val::Null };
        let headers = if self.uses_headers {
            let member = |(name, value): &(String, Option<bytes::Bytes>)| {
                (Val::from(name.clone()), text_or_null(value.as_deref()))
            };
            Val::obj(input.headers.iter().map(member).collect::<Map>())
        } else {
            Val::Null
        };
        let topic = Val::from(input.topic.to_string());
        [topic, number(input.partition.into()), number(input.offset), number(input.timestamp), key, headers]
    }
}

/// Whether more outputs are wanted.
pub(crate) enum Next {
    More,
    Enough,
}

fn text_or_null(bytes: Option<&[u8]>) -> Val {
    bytes.map_or(Val::Null, |bytes| Val::from(String::from_utf8_lossy(bytes).into_owned()))
}

fn look_through<'s>(code: &str, program: &Term<&'s str>) -> Result<Used<'s>, String> {
    check::look_through(program).map_err(|refused| {
        format!("{}: {}", told::place(code, load::span(code, refused.part).start), refused.why)
    })
}

const NO_MODULES: &str = "import, include and module are not available in programs";

fn compile(code: &str) -> Result<jaq_core::Filter<Data>, String> {
    let arena = Arena::default();
    let loader = Loader::new(natives::definitions());
    let modules =
        loader.load(&arena, File { code, path: () }).map_err(|errors| parse_error(code, &errors))?;
    Compiler::default()
        .with_funs(natives::functions())
        .with_global_vars(VARIABLES)
        .compile(modules)
        .map_err(|errors| undefined(code, &errors))
}

/// The first error, with its place and what was expected there.
fn parse_error(code: &str, errors: &load::Errors<&str, ()>) -> String {
    let Some((_, error)) = errors.first() else { return "the program can't be parsed".to_owned() };
    let (expected, found) = match error {
        load::Error::Io(_) => return NO_MODULES.to_owned(),
        load::Error::Lex(errors) => match errors.first() {
            Some((expected, found)) => (expected.as_str(), *found),
            None => return "the program can't be read".to_owned(),
        },
        load::Error::Parse(errors) => match errors.first() {
            Some((expected, found)) => (expected.as_str(), *found),
            None => return "the program can't be parsed".to_owned(),
        },
    };
    let place = told::place(code, load::span(code, found).start);
    let found = found.split_whitespace().next().unwrap_or_default();
    if found.is_empty() {
        return format!("{place}: expected {expected}, and the program ends");
    }
    format!("{place}: expected {expected}, found '{}'", told::bounded(found))
}

fn undefined(code: &str, errors: &jaq_core::compile::Errors<&str, ()>) -> String {
    let first = errors.iter().find_map(|(_, errors)| errors.first());
    let Some((name, kind)) = first else { return "the program can't be compiled".to_owned() };
    let place = told::place(code, load::span(code, name).start);
    let name = told::bounded(name);
    match kind {
        Undefined::Filter(0) => format!("{place}: there is no '{name}'"),
        Undefined::Filter(arguments) => format!("{place}: there is no '{name}' with {arguments} arguments"),
        Undefined::Var => {
            format!("{place}: there is no variable '{name}'; Floe sets {}", VARIABLES.join(", "))
        }
        other => format!("{place}: there is no {} '{name}'", other.as_str()),
    }
}
