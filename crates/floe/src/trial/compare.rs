//! Whether what came out is what was expected.

use floe_transform::Outcome;
use serde_json::Value;

use super::cases::Expected;

/// What is different, for people; none when it is the same.
pub(super) fn difference(expected: &Expected, outcome: &Outcome) -> Option<String> {
    let held = match (expected, outcome) {
        (Expected::Dropped, Outcome::Dropped) => true,
        (Expected::Error(text), Outcome::Poison(why)) => why.contains(text.as_str()),
        (Expected::Values(expected), Outcome::Values(found)) => {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(expected, found)| {
                    let found = found.as_deref().map_or(Ok(Value::Null), serde_json::from_slice::<Value>);
                    found.is_ok_and(|found| same(expected, &found))
                })
        }
        _ => false,
    };
    (!held).then(|| format!("expected  {}\ngot       {}", wanted(expected), found(outcome)))
}

/// Equality of JSON, in which `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

fn wanted(expected: &Expected) -> String {
    match expected {
        Expected::Dropped => "nothing: dropped".to_owned(),
        Expected::Error(text) => format!("an error with \"{text}\" in it"),
        Expected::Values(values) => listed(values.iter().map(ToString::to_string)),
    }
}

fn found(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Dropped => "nothing: dropped".to_owned(),
        Outcome::Poison(why) => format!("an error: {why}"),
        Outcome::Values(values) => listed(values.iter().map(|value| {
            value
                .as_deref()
                .map_or_else(|| "null".to_owned(), |value| String::from_utf8_lossy(value).into_owned())
        })),
    }
}

fn listed(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn values(texts: &[&'static str]) -> Outcome {
        Outcome::Values(texts.iter().map(|text| Some(Bytes::from_static(text.as_bytes()))).collect())
    }

    #[test]
    fn the_same_json_in_other_words_is_no_difference() {
        let expected = Expected::Values(vec![json!({"a": 1, "b": [2.5, null]})]);
        assert_eq!(difference(&expected, &values(&["{ \"b\":[2.5,null], \"a\":1.0 }"])), None);
        let told = difference(&expected, &values(&["{\"a\":2,\"b\":[2.5,null]}"])).unwrap();
        assert!(told.contains("expected  [{\"a\":1,") && told.contains("got       [{\"a\":2,"), "{told}");
        assert!(difference(&expected, &values(&[])).is_some());
        assert!(difference(&expected, &Outcome::Dropped).unwrap().contains("dropped"));
    }

    #[test]
    fn an_error_is_held_against_a_part_of_its_text() {
        let expected = Expected::Error("amount".to_owned());
        assert_eq!(difference(&expected, &Outcome::Poison("/data/amount: a number".to_owned())), None);
        assert!(difference(&expected, &Outcome::Poison("other".to_owned())).is_some());
        assert!(difference(&Expected::Dropped, &Outcome::Poison("other".to_owned())).is_some());
    }
}
