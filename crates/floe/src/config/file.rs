//! `floe.toml`: read whole, every key with its line.

use std::{fs::File, io::Read, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    given::{Given, Origin, Value},
    pipelines::{self, Configured},
};

/// A configuration file; a larger one is not one.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Settings.
    pub(crate) given: Vec<Given>,
    /// Pipelines.
    pub(crate) pipelines: Vec<Configured>,
    /// What is wrong with its pipelines.
    pub(crate) errors: Vec<String>,
}

/// Reads a file, or says in one sentence why it can't be.
pub(crate) fn read(path: &Path) -> Result<Contents, String> {
    let name = path.display().to_string();
    let fail = |why: String| format!("{}: {why}", name.escape_debug());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| fail(format!("cannot be opened: {error}")))?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| fail(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(fail(format!("has more than {MAX_FILE_BYTES} bytes: is it a configuration file?")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = line_of(&bytes, error.valid_up_to());
        fail(format!("line {line} is not UTF-8 (byte {})", error.valid_up_to()))
    })?;
    parse(text, &name)
}

/// Reads a file's text; `name` is what errors call it.
pub(crate) fn parse(text: &str, name: &str) -> Result<Contents, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text.as_bytes(), span.start));
        let why: Vec<_> = error.message().lines().collect();
        format!("{}, line {line}: {}", name.escape_debug(), why.join(", "))
    })?;
    let mut table = table.into_inner();
    let key = table.keys().find(|key| key.get_ref().as_ref() == pipelines::KEY).cloned();
    let written = key.and_then(|key| table.remove(&key));
    let read = written.map(|value| pipelines::read(text, name, value)).unwrap_or_default();
    let mut given = Vec::new();
    flatten(text, name, "", &table, &mut given);
    given.sort_by_key(|given| match &given.origin {
        Origin::File { line, .. } => *line,
        Origin::Environment(_) | Origin::Flag(_) => 0,
    });
    Ok(Contents { given, pipelines: read.pipelines, errors: read.errors })
}

fn flatten(text: &str, name: &str, prefix: &str, table: &DeTable<'_>, given: &mut Vec<Given>) {
    for (key, value) in table {
        let path = match prefix {
            "" => key.get_ref().to_string(),
            _ => format!("{prefix}.{}", key.get_ref()),
        };
        if let DeValue::Table(inner) = value.get_ref() {
            flatten(text, name, &path, inner, given);
            continue;
        }
        let origin = Origin::File { name: name.to_owned(), line: line_of(text.as_bytes(), key.span().start) };
        let written = text.get(value.span()).unwrap_or_default();
        given.push(Given { path, value: value_of(value.get_ref(), written), origin });
    }
}

fn value_of(value: &DeValue<'_>, written: &str) -> Value {
    let other = || Value::Other(written.chars().take(80).collect());
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or_else(|_| other(), Value::Number)
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            });
            texts.collect::<Option<_>>().map_or_else(other, Value::List)
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => other(),
    }
}

/// The line of a place in a text, from 1.
pub(crate) fn line_of(text: &[u8], at: usize) -> usize {
    1 + text[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Vec<(String, Value, usize)> {
        let line = |origin: &Origin| match origin {
            Origin::File { line, .. } => *line,
            other => panic!("{other:?}"),
        };
        parse(text, "floe.toml")
            .unwrap()
            .given
            .into_iter()
            .map(|g| (g.path, g.value, line(&g.origin)))
            .collect()
    }

    #[test]
    fn every_key_has_its_line() {
        let text = "\u{feff}# a comment\ndata_dir = \"d\"\n\n[http]\naddr = [\"a:1\", \"b:2\"]\nmax = 0x10\n[a.b]\nc.d = true\ne = 1e9\n";
        assert_eq!(
            given(text),
            [
                ("data_dir".to_owned(), Value::Text("d".to_owned()), 2),
                ("http.addr".to_owned(), Value::List(vec!["a:1".to_owned(), "b:2".to_owned()]), 5),
                ("http.max".to_owned(), Value::Number(16), 6),
                ("a.b.c.d".to_owned(), Value::Bool(true), 8),
                ("a.b.e".to_owned(), Value::Other("1e9".to_owned()), 9),
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_line() {
        let deep = format!("a = {}1", "[".repeat(10_000));
        for (text, line) in [("a = 1\nb == 2\n", 2), ("a = 1\n\na = 2\n", 3), ("[x\n", 1), (deep.as_str(), 1)]
        {
            let error = parse(text, "floe.toml").unwrap_err();
            assert!(error.starts_with(&format!("floe.toml, line {line}: ")), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_or_far_too_large_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("floe.toml");
        std::fs::write(&path, b"a = 1\nb = \"\xff\"\n").unwrap();
        assert!(read(&path).unwrap_err().contains("line 2 is not UTF-8"));
        std::fs::write(&path, vec![b' '; (MAX_FILE_BYTES + 1) as usize]).unwrap();
        assert!(read(&path).unwrap_err().contains("more than"));
        assert!(read(&dir.path().join("absent")).unwrap_err().contains("cannot be opened"));
        assert!(read(dir.path()).unwrap_err().contains("cannot be"));
    }
}
