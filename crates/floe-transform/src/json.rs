//! JSON to the interpreter's values and back: strict, and never deeper than the stack allows.

use std::io::Write;

use bytes::Bytes;
use jaq_json::{Map, Num, Rc, Val, read};
use serde::de::IgnoredAny;

use crate::limits::{DEPTH_MAX, DIGITS_MAX};

/// A whole double below this is printed without `.0`, as jq does.
const WHOLE_MAX: f64 = 1e17;

/// Reads one JSON value. The interpreter's own reader takes more than JSON, and calls itself for each level; so what it is
/// given has been looked at.
pub(crate) fn parse(text: &[u8]) -> Result<Val, String> {
    check(text)?;
    read::parse_single(text).map_err(|error| error.to_string())
}

/// Whether this is one JSON value, not too deep.
pub(crate) fn check(text: &[u8]) -> Result<(), String> {
    let utf8 = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let shape = shape(text);
    if shape.depth > DEPTH_MAX {
        return Err(format!("it nests deeper than {DEPTH_MAX} levels"));
    }
    if shape.digits > DIGITS_MAX {
        return Err(format!("it has a number of more than {DIGITS_MAX} digits"));
    }
    serde_json::from_str::<IgnoredAny>(utf8).map(drop).map_err(|error| error.to_string())
}

/// What the readers would be harmed by.
struct Shape {
    /// Levels of nesting.
    depth: usize,
    /// Digits that follow each other outside of strings.
    digits: usize,
}

fn shape(text: &[u8]) -> Shape {
    let mut largest = Shape { depth: 0, digits: 0 };
    let (mut depth, mut digits) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        if byte.is_ascii_digit() {
            digits += 1;
            largest.digits = largest.digits.max(digits);
            continue;
        }
        digits = 0;
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                largest.depth = largest.depth.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    largest
}

/// Prints a value as compact JSON of at most `max` bytes. As jq does, what is no number is `null` and infinity the largest
/// number.
pub(crate) fn print(value: Val, max: usize) -> Result<Bytes, String> {
    let mut out = Vec::new();
    match write(&mut out, &value, 0, max) {
        Ok(()) => Ok(out.into()),
        Err(why) => {
            dismantle(value);
            Err(why)
        }
    }
}

fn write(out: &mut Vec<u8>, value: &Val, depth: usize, max: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("its output nests deeper than {DEPTH_MAX} levels"));
    }
    match value {
        Val::Null => out.extend_from_slice(b"null"),
        Val::Bool(true) => out.extend_from_slice(b"true"),
        Val::Bool(false) => out.extend_from_slice(b"false"),
        Val::Num(number) => write_number(out, number),
        Val::TStr(text) => write_text(out, text),
        Val::BStr(_) => return Err("its output holds a byte string, which JSON has no form for".to_owned()),
        Val::Arr(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(out, item, depth + 1, max)?;
            }
            out.push(b']');
        }
        Val::Obj(members) => write_members(out, members, depth, max)?,
    }
    if out.len() > max {
        return Err(format!("its output is larger than {max} bytes"));
    }
    Ok(())
}

fn write_members(out: &mut Vec<u8>, members: &Map, depth: usize, max: usize) -> Result<(), String> {
    out.push(b'{');
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let Val::TStr(name) = name else {
            return Err("its output has an object with a member whose name isn't text".to_owned());
        };
        write_text(out, name);
        out.push(b':');
        write(out, value, depth + 1, max)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_number(out: &mut Vec<u8>, number: &Num) {
    // Writing to memory can't fail.
    let _ = match number {
        Num::Float(float) if float.is_nan() => out.write_all(b"null"),
        Num::Float(float) if float.is_infinite() => write!(out, "{:e}", f64::MAX.copysign(*float)),
        Num::Float(float) if float.fract() == 0.0 && float.abs() < WHOLE_MAX => write!(out, "{float:.0}"),
        _ => write!(out, "{number}"),
    };
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    // As above.
    let _ = serde_json::to_writer(out, &String::from_utf8_lossy(text));
}

/// Frees a value without calling itself: it may nest deeper than any stack allows.
fn dismantle(value: Val) {
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        match value {
            Val::Arr(items) => rest.extend(Rc::try_unwrap(items).into_iter().flatten()),
            Val::Obj(members) => {
                rest.extend(
                    Rc::try_unwrap(members).into_iter().flatten().flat_map(|(name, value)| [name, value]),
                );
            }
            _ => {}
        }
    }
}
