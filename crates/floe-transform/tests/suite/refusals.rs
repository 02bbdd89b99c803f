//! Programs that are not taken, and what is said of them.

use floe_transform::{Step, Transform};

use crate::stage::{filter, map};

fn refusal(step: Step) -> String {
    Transform::compile(&[filter("true"), step]).unwrap_err().to_string()
}

#[test]
fn an_error_names_the_step_the_place_and_what_was_expected() {
    for (code, told) in [
        ("", "line 1, column 1: expected term, and the program ends"),
        (".a |", "line 1, column 5: expected term, and the program ends"),
        (".a |\n  | .b", "line 2, column 3: expected term, found '|'"),
        ("if . then 1", "expected else or end"),
        ("\"abc", "expected"),
        ("[1, 2", "expected"),
        (".a | ünknown", "line 1, column 6"),
        (".a |\n.b | nofunction(1; 2)", "line 2, column 6: there is no 'nofunction' with 2 arguments"),
        (".a == $nowhere", "line 1, column 7: there is no variable '$nowhere'; Floe sets $topic"),
        ("break $x", "there is no label"),
    ] {
        let why = refusal(map(code));
        assert!(why.starts_with("step 2: ") && why.contains(told), "{code:?}: {why}");
    }
}

#[test]
fn definitions_that_call_themselves_are_refused() {
    for code in [
        "def f: f; f",
        "def f: 1 + f; f",
        "def f(g): g | f(g); f(.)",
        "def f: def g: f; g; f",
        "[.[] | def f: if . > 1 then . - 1 | f else . end; f]",
        "\"\\(def f: f; f)\"",
        ".[def f: f; f]",
        "{a: (def f: [f]; f)}",
        ". as {a: $x} | reduce .[] as $y (0; def f: f; f)",
        "try (def f: f; f) catch .",
    ] {
        let why = refusal(map(code));
        assert!(why.contains("'f' calls itself"), "{code}: {why}");
    }
    Transform::compile(&[map("def f: 1; def g: f + f; def f(x): x | f; f(g)")]).unwrap();
}

#[test]
fn what_reaches_outside_or_never_ends_is_refused() {
    for code in [
        "input",
        "[inputs]",
        "env",
        "env.HOME",
        "halt",
        "halt_error",
        "halt_error(1)",
        "debug",
        "debug(\"x\")",
        "stderr",
        "input_filename",
        "repeat(.)",
        "first(repeat(1))",
        "[range(infinite)]",
        ". as [$a, {b: $c}] | $a | limit(1; repeat($c))",
    ] {
        let why = refusal(filter(code));
        assert!(why.contains("is not available"), "{code}: {why}");
    }
    for code in
        ["$ENV", "$ENV.HOME", "$__prog_args", "get_search_list", "turn(1)", "stderr_empty", "debug_empty"]
    {
        refusal(filter(code));
    }
    for code in
        ["import \"a\" as a; .", "include \"/etc/passwd\"; .", "import \"a\" as $a; $a", "module {}; ."]
    {
        let why = refusal(filter(code));
        assert!(why.contains("not available"), "{code}: {why}");
    }
}

#[test]
fn a_program_of_unreasonable_size_is_refused() {
    let why = refusal(map(&". | ".repeat(20_000)));
    assert!(why.contains("at most 65536"), "{why}");
}
