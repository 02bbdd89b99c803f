//! Prints a program again, so that what goes over the items of a value passes through a turn as loops do, and so that
//! multiplication looks at sizes first: a text times a number that came with a record could ask for more memory than there
//! is, which no watch could undo.
//!
//! Everything that is put together stands in parentheses, so precedence plays no part.

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Def, Pattern, Term},
    },
    ops::Math,
    path::{Opt, Part, Path},
};

/// Lets paths through, so it may stand wherever the iteration stood.
const TURN: &str = "(if turn then . else . end)";

/// The program's text, rewritten.
pub(crate) fn rewrite(program: &Term<&str>) -> String {
    let mut out = String::new();
    term(&mut out, program);
    out
}

fn term(out: &mut String, term_: &Term<&str>) {
    out.push('(');
    match term_ {
        Term::Id => out.push('.'),
        Term::Recurse => push(out, &["..|", TURN]),
        Term::Num(text) | Term::Var(text) => out.push_str(text),
        Term::Str(format, parts) => {
            push(out, &[format.unwrap_or_default(), " "]);
            string(out, parts);
        }
        Term::Arr(None) => out.push_str("[]"),
        Term::Arr(Some(items)) => wrapped(out, "[", items, "]"),
        Term::Obj(members) => object(out, members),
        Term::Neg(inner) => wrapped(out, "-", inner, ""),
        Term::BinOp(left, op, right) => binary(out, left, op, right),
        Term::Label(name, inner) => {
            push(out, &["label ", name, "|"]);
            term(out, inner);
        }
        Term::Break(name) => push(out, &["break ", name]),
        Term::Fold(kind, over, bound, arguments) => {
            push(out, &[kind, " "]);
            term(out, over);
            out.push_str(" as ");
            pattern(out, bound);
            list(out, arguments);
        }
        Term::TryCatch(inner, catch) => {
            wrapped(out, "try ", inner, "");
            catch.iter().for_each(|catch| wrapped(out, " catch ", catch, ""));
        }
        Term::IfThenElse(branches, other) => {
            for (at, (condition, then)) in branches.iter().enumerate() {
                wrapped(out, if at == 0 { "if " } else { " elif " }, condition, " then ");
                term(out, then);
            }
            other.iter().for_each(|other| wrapped(out, " else ", other, ""));
            out.push_str(" end");
        }
        Term::Def(definitions, rest) => {
            definitions.iter().for_each(|each| definition(out, each));
            term(out, rest);
        }
        Term::Call(name, arguments) => {
            out.push_str(name);
            list(out, arguments);
        }
        Term::Path(head, parts) => path(out, head, parts),
    }
    out.push(')');
}

fn push(out: &mut String, parts: &[&str]) {
    out.extend(parts.iter().copied());
}

fn wrapped(out: &mut String, before: &str, inner: &Term<&str>, behind: &str) {
    out.push_str(before);
    term(out, inner);
    out.push_str(behind);
}

/// `(a;b)`, or nothing.
fn list(out: &mut String, arguments: &[Term<&str>]) {
    for (at, argument) in arguments.iter().enumerate() {
        wrapped(out, if at == 0 { "(" } else { ";" }, argument, "");
    }
    if !arguments.is_empty() {
        out.push(')');
    }
}

fn string(out: &mut String, parts: &[StrPart<&str, Term<&str>>]) {
    out.push('"');
    for part in parts {
        match part {
            StrPart::Str(text) => out.push_str(text),
            // There are no escapes for what lies beyond four digits.
            StrPart::Char(char) => match u16::try_from(u32::from(*char)) {
                Ok(unit) => out.push_str(&format!("\\u{unit:04x}")),
                Err(_) => out.push(*char),
            },
            StrPart::Term(inner) => wrapped(out, "\\", inner, ""),
        }
    }
    out.push('"');
}

fn object(out: &mut String, members: &[(Term<&str>, Option<Term<&str>>)]) {
    out.push('{');
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match (name, value) {
            (_, Some(value)) => {
                wrapped(out, "", name, ":");
                term(out, value);
            }
            // `{$x}` and `{"a"}` take their value from their name.
            (Term::Var(variable), None) => out.push_str(variable),
            (Term::Str(format, parts), None) => {
                push(out, &[format.unwrap_or_default(), " "]);
                string(out, parts);
            }
            (name, None) => term(out, name),
        }
    }
    out.push('}');
}

fn binary(out: &mut String, left: &Term<&str>, op: &BinaryOp<&str>, right: &Term<&str>) {
    let op = match op {
        BinaryOp::Math(Math::Mul) => {
            wrapped(out, "", left, " as $floe_left|");
            wrapped(out, "", right, " as $floe_right|multiply($floe_left;$floe_right)");
            return;
        }
        BinaryOp::UpdateMath(Math::Mul) => {
            wrapped(out, "", right, " as $floe_right|");
            wrapped(out, "", left, "|=multiply(.;$floe_right)");
            return;
        }
        BinaryOp::Pipe(Some(bound)) => {
            wrapped(out, "", left, " as ");
            pattern(out, bound);
            wrapped(out, "|", right, "");
            return;
        }
        BinaryOp::Pipe(None) => "|".to_owned(),
        BinaryOp::Comma => ",".to_owned(),
        BinaryOp::Alt => "//".to_owned(),
        BinaryOp::Or => " or ".to_owned(),
        BinaryOp::And => " and ".to_owned(),
        BinaryOp::Math(math) => math.as_str().to_owned(),
        BinaryOp::Cmp(compare) => compare.as_str().to_owned(),
        BinaryOp::Assign => "=".to_owned(),
        BinaryOp::Update => "|=".to_owned(),
        BinaryOp::UpdateMath(math) => format!("{}=", math.as_str()),
        BinaryOp::UpdateAlt => "//=".to_owned(),
    };
    wrapped(out, "", left, &op);
    term(out, right);
}

fn pattern(out: &mut String, bound: &Pattern<&str>) {
    match bound {
        Pattern::Var(name) => out.push_str(name),
        Pattern::Arr(items) => {
            for (at, item) in items.iter().enumerate() {
                out.push(if at == 0 { '[' } else { ',' });
                pattern(out, item);
            }
            out.push(']');
        }
        Pattern::Obj(members) => {
            for (at, (name, value)) in members.iter().enumerate() {
                out.push(if at == 0 { '{' } else { ',' });
                wrapped(out, "", name, ":");
                pattern(out, value);
            }
            out.push('}');
        }
    }
}

fn definition(out: &mut String, definition: &Def<&str>) {
    push(out, &["def ", definition.name]);
    for (at, argument) in definition.args.iter().enumerate() {
        push(out, &[if at == 0 { "(" } else { ";" }, argument]);
    }
    if !definition.args.is_empty() {
        out.push(')');
    }
    wrapped(out, ":", &definition.body, "; ");
}

fn path(out: &mut String, head: &Term<&str>, parts: &Path<Term<&str>>) {
    term(out, head);
    let mut iterates = false;
    for (part, optional) in &parts.0 {
        out.push('[');
        match part {
            Part::Index(index) => term(out, index),
            Part::Range(from, to) => {
                from.iter().for_each(|from| term(out, from));
                if from.is_some() || to.is_some() {
                    out.push(':');
                } else {
                    iterates = true;
                }
                to.iter().for_each(|to| term(out, to));
            }
        }
        out.push(']');
        if matches!(optional, Opt::Optional) {
            out.push('?');
        }
    }
    if iterates {
        push(out, &["|", TURN]);
    }
}
