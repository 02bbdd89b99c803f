//! Filters and maps.

use bytes::Bytes;
use floe_transform::{OUTPUT_BYTES_MAX, OUTPUTS_MAX, Outcome, Transform};
use proptest::prelude::*;

use crate::stage::{PLENTY, filter, map, outcome, outcome_of, poison, record, values};

#[tokio::test]
async fn a_filter_keeps_or_drops_and_leaves_the_bytes_alone() {
    let value = Bytes::from_static(b" { \"mag\" : 5.10,  \"n\": 12345678901234567890123 } ");
    let mut runner = Transform::compile(&[filter(".mag >= 5")]).unwrap().start(PLENTY);
    let batch = vec![record(1, value.clone()), record(2, r#"{"mag": 4.9}"#), record(3, value.clone())];
    let outcomes = runner.run(batch).await.unwrap();
    assert_eq!(
        outcomes,
        [
            Outcome::Values(vec![Some(value.clone())]),
            Outcome::Dropped,
            Outcome::Values(vec![Some(value.clone())])
        ]
    );
    let Outcome::Values(kept) = &outcomes[0] else { unreachable!() };
    assert_eq!(kept[0].as_ref().unwrap().as_ptr(), value.as_ptr(), "the very same bytes");
}

#[tokio::test]
async fn a_filter_goes_by_its_first_output() {
    for (code, keeps) in [
        ("true, false", true),
        ("false, true", false),
        ("null", false),
        ("empty", false),
        ("0", true),
        ("\"\"", true),
        (".[] | select(. > 2)", true),
        ("any(.[]; . > 3)", false),
    ] {
        let expected = if keeps { values(&["[1,2,3]"]) } else { Outcome::Dropped };
        assert_eq!(outcome(&[filter(code)], "[1,2,3]").await, expected, "{code}");
    }
}

#[tokio::test]
async fn each_output_of_a_map_is_a_value() {
    assert_eq!(outcome(&[map(".[] | {n: .}")], "[1,2]").await, values(&[r#"{"n":1}"#, r#"{"n":2}"#]));
    assert_eq!(outcome(&[map("empty")], "[1,2]").await, Outcome::Dropped);
    assert_eq!(
        outcome(&[map(".[]"), filter(". > 1"), map(". * 10")], "[1,2,3]").await,
        values(&["20", "30"])
    );
}

#[tokio::test]
async fn programs_see_where_the_record_came_from() {
    let code =
        "[$topic, $partition, $offset, $timestamp, $key, $headers.trace, $headers.none, ($headers | length)]";
    assert_eq!(
        outcome(&[map(code)], "1").await,
        values(&[r#"["quakes",3,7,1769853600000,"k1","new",null,2]"#])
    );
}

#[tokio::test]
async fn numbers_keep_their_digits() {
    for (code, value, expected) in [
        (".", "[9007199254740993,1.10,2.0,1e400,123456789012345678901234567890]", None),
        (". + 1", "9223372036854775807", Some("9223372036854775808")),
        (".a.id", r#"{"a":{"id":9007199254740993}}"#, Some("9007199254740993")),
        ("[., -.] | map(1 / 0 * .)", "0", Some("[null,null]")),
        ("[. / 2, . * 1e20]", "4", Some("[2,4e20]")),
        ("1 / .", "0", Some("1.7976931348623157e308")),
    ] {
        assert_eq!(outcome(&[map(code)], value).await, values(&[expected.unwrap_or(value)]), "{code}");
    }
}

#[tokio::test]
async fn what_is_not_json_is_poison() {
    for bad in
        ["", "{", "nul", "NaN", "# comment\n1", "1 2", "{'a':1}", "[1,]", "\u{feff}1", "{a:1}", "+1", "01"]
    {
        let why = outcome(&[filter("true")], bad).await;
        assert!(poison(&why).starts_with("step 1: value is not JSON"), "{bad}: {why:?}");
    }
    let why = outcome_of(&[filter("true")], record(1, &b"\"\xff\""[..])).await;
    assert!(poison(&why).contains("UTF-8"), "{why:?}");
    for open in ["[", "{\"a\":"] {
        let deep = outcome(&[filter("true")], &open.repeat(1_000_000)).await;
        assert!(poison(&deep).contains("deeper than 128"), "{deep:?}");
    }
    let long = outcome(&[filter("true")], &format!("[{}]", "9".repeat(1_000_000))).await;
    assert!(poison(&long).contains("more than 1000 digits"), "{long:?}");
    let in_text = format!("\"{}\"", "9".repeat(1_000_000));
    assert_eq!(outcome(&[filter("true")], &in_text).await, values(&[&in_text]));
    // Without steps nobody looks.
    assert_eq!(outcome(&[], "{").await, values(&["{"]));
}

#[tokio::test]
async fn a_tombstone_is_null_to_steps_and_stays_one() {
    let tombstone = || floe_transform::Input { value: None, ..record(1, "") };
    assert_eq!(outcome_of(&[filter(". == null")], tombstone()).await, Outcome::Values(vec![None]));
    assert_eq!(outcome_of(&[map(".")], tombstone()).await, Outcome::Values(vec![None]));
    assert_eq!(outcome_of(&[map("{gone: $key}")], tombstone()).await, values(&[r#"{"gone":"k1"}"#]));
    assert_eq!(outcome_of(&[filter(".a")], tombstone()).await, Outcome::Dropped);
}

#[tokio::test]
async fn a_program_that_fails_is_poison_and_says_no_values() {
    for (code, told) in [
        (".a.b.c", "cannot take that member of a string"),
        (".a + 1", "cannot calculate with an object in that way"),
        ("error(\"no magnitude\")", "no magnitude"),
        ("{(1 | tojson | tonumber | tostring): 1} | {(.a // 1): 2} ", "a member whose name isn't text"),
        ("\"x\" | tobytes", "byte string"),
    ] {
        let steps = [filter("true"), map(code)];
        let why = outcome(&steps, r#"{"a":{"b":"4242-secret"}}"#).await;
        let why = poison(&why);
        assert!(why.contains(told), "{code}: {why}");
        assert!(!why.contains("4242"), "{why}");
    }
}

#[tokio::test]
async fn the_rest_of_a_batch_is_not_touched_by_poison() {
    let mut runner = Transform::compile(&[map("1 / .")]).unwrap().start(PLENTY);
    let batch = vec![record(1, "2"), record(2, "\"x\""), record(3, "{"), record(4, "4")];
    let outcomes = runner.run(batch).await.unwrap();
    assert_eq!(outcomes[0], values(&["0.5"]));
    assert!(matches!((&outcomes[1], &outcomes[2]), (Outcome::Poison(_), Outcome::Poison(_))));
    assert_eq!(outcomes[3], values(&["0.25"]));
}

#[tokio::test]
async fn output_is_bounded() {
    let many = outcome(&[map("range(20000)")], "0").await;
    assert!(poison(&many).contains(&OUTPUTS_MAX.to_string()), "{many:?}");
    let large = outcome(&[map("\"x\" * 9000000")], "0").await;
    assert!(poison(&large).contains(&OUTPUT_BYTES_MAX.to_string()), "{large:?}");
    let together = outcome(&[map("range(10) | \"x\" * 1000000")], "0").await;
    assert!(poison(&together).contains("larger than"), "{together:?}");
    let deep = outcome(&[map("reduce range(200) as $i (.; [.])")], "0").await;
    assert!(poison(&deep).contains("deeper than"), "{deep:?}");
}

#[tokio::test]
async fn the_usual_functions_are_there() {
    for (code, expected) in [
        ("[limit(3; range(10))]", "[0,1,2]"),
        ("[range(5; 0; -2)]", "[5,3,1]"),
        ("[.a | recurse | numbers]", "[1,2]"),
        ("[1 | until(. > 100; . * 2)]", "[128]"),
        ("[1 | while(. < 20; . * 3)]", "[1,3,9]"),
        ("[2 | recurse(if . < 3 then . + 1 else empty end)]", "[2,3]"),
        ("[paths]", r#"[["a"],["a",0],["a",1]]"#),
        ("[path(..)] | length", "4"),
        (".a |= map(. + 1)", r#"{"a":[2,3]}"#),
        ("walk(if type == \"number\" then . * 2 else . end)", r#"{"a":[2,4]}"#),
        ("to_entries", r#"[{"key":"a","value":[1,2]}]"#),
        ("\"a,b\" | split(\",\") | map(ascii_upcase) | join(\"-\")", r#""A-B""#),
        ("\"2026-01-31T10:00:00Z\" | fromdate", "1769853600"),
        ("\"x1y22\" | [scan(\"[0-9]+\")]", r#"["1","22"]"#),
        ("\"[1, {\\\"b\\\": 2}]\" | fromjson | .[1].b", "2"),
        ("\"12.50\" | tonumber", "12.50"),
        ("def half: . / 2; [.a[] | half]", "[0.5,1]"),
        ("def twice(f): f | f; .a[0] | twice(. + 1)", "3"),
        ("reduce .a[] as $x (0; . + $x)", "3"),
        ("[foreach .a[] as $x (0; . + $x)]", "[1,3]"),
        ("[.a | combinations?]", "[]"),
        ("try error(\"x\") catch .", "\"x\""),
        ("[label $out | .a[] | if . > 1 then break $out else . end]", "[1]"),
        ("@base64 \"\\(.a[0])\"", "\"MQ==\""),
        ("[.a[0] | @base64]", "[\"MQ==\"]"),
        ("\"\\u00e9\\n\\t\\\"😀 \\(1 + 1)\"", "\"é\\n\\t\\\"😀 2\""),
        ("[(1, 2) * (10, 100)]", "[10,100,20,200]"),
        ("1 + 2 * 3 - -4 / 2", "9"),
        ("[1, 2 | . * 2, 3]", "[2,3,4,3]"),
        (".a[0] *= 7 | .a[1] += 1 | .b //= 5", r#"{"a":[7,3],"b":5}"#),
        (".a[] |= . * 3", r#"{"a":[3,6]}"#),
        ("{a: {b: 1}} * {a: {c: 2}}", r#"{"a":{"b":1,"c":2}}"#),
        ("[\"ab\" * 3, \"x\" * 0]", r#"["ababab",null]"#),
        (
            ". as {a: [$x, $y]} | {$x, y: $y, (\"z\" + \"\"): ($x, $y), \"w\", @base64 \"q\": 1} | [.x, .y, .z, .w]",
            "[1,2,1,null][1,2,2,null]",
        ),
        (". as {$a, b: $b} | [$a, $b]", "[[1,2],null]"),
        ("[.a[1:], .a[:1], .a[-1:], .a[0:1]]", "[[2],[1],[2],[1]]"),
        ("[.x.y?, .a.y?, (.a | .y)?, .a[\"y\"]?]", "[null]"),
        ("if .b then 1 elif .a then 2 else 3 end", "2"),
        ("if .b then 1 end | has(\"a\")", "true"),
        ("[.. | numbers]", "[1,2]"),
        ("[.a[] as $x | .a[] as $y | $x + $y]", "[2,3,3,4]"),
        ("del(.a[0])", r#"{"a":[2]}"#),
        ("[getpath([\"a\", 1]), (paths | tostring)] | length", "4"),
        ("(.a, .b) = 1", r#"{"a":1,"b":1}"#),
        ("(.. | select(type == \"number\")) |= . + 1", r#"{"a":[2,3]}"#),
        ("[true and false, true or false, (null // 1), (1 | not)]", "[false,true,1,false]"),
        ("[limit(2; .a[]), first(.a[]), (.a | last)]", "[1,2,1,2]"),
        ("def f($x; g): $x + g; f(1; 2)", "3"),
        ("def @quote: \"<\\(.)>\"; 1 | @quote", "\"<1>\""),
        ("[[1, 2], [3]] | [combinations]", "[[1,3],[2,3]]"),
        ("[.[]?], [.a[]?], [1 | .[]?]", "[[1,2]][1,2][]"),
    ] {
        let found = outcome(&[map(code)], r#"{"a":[1,2]}"#).await;
        let Outcome::Values(found) = &found else { panic!("{code}: {found:?}") };
        let found: Vec<_> = found.iter().flat_map(|value| value.clone().unwrap()).collect();
        assert_eq!(String::from_utf8(found).unwrap(), expected, "{code}");
    }
}

/// JSON values of any kind, not too deep.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1e300..1e300_f64).prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(".*", inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_map_that_changes_nothing_changes_no_value(values in prop::collection::vec(json(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let steps = [map("."), map("walk(.)"), filter("true, false")];
            let mut runner = Transform::compile(&steps).unwrap().start(PLENTY);
            let batch = values.iter().map(|value| record(0, value.to_string())).collect();
            let outcomes = runner.run(batch).await.unwrap();
            for (value, outcome) in values.iter().zip(outcomes) {
                let Outcome::Values(found) = outcome else { panic!("{value}: {outcome:?}") };
                let found: serde_json::Value = serde_json::from_slice(found[0].as_ref().unwrap()).unwrap();
                assert_eq!(&found, value);
            }
        });
    }

    #[test]
    fn whatever_bytes_come_each_record_has_an_outcome(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut runner = Transform::compile(&[map("[.] | tojson | fromjson")]).unwrap().start(PLENTY);
            let batch = values.iter().map(|value| record(0, value.clone())).collect();
            assert_eq!(runner.run(batch).await.unwrap().len(), values.len());
        });
    }
}
