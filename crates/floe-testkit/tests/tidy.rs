//! The rules of the house that no compiler knows: sizes, names, arrows between crates, leftovers.

#![expect(clippy::unwrap_used, reason = "a test that can't read the tree has failed")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_PAGE_LINES: usize = 300;
/// Names that say nothing about what is inside: a helper belongs beside its caller, or deserves a noun.
const DRAWERS: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "types", "manager", "core"];
/// Which crate may use which, in the order in which a record flows.
const ARROWS: &[(&str, &[&str])] = &[
    ("floe-journal", &[]),
    ("floe-broker", &["floe-journal"]),
    ("floe-engine", &["floe-broker", "floe-journal"]),
    ("floe-live", &["floe-engine"]),
    ("floe-transform", &[]),
    ("floe-store", &[]),
    ("floe-pipeline", &["floe-engine", "floe-store", "floe-transform"]),
    ("floe-chat", &["floe-engine", "floe-pipeline"]),
    (
        "floe-gateway",
        &["floe-chat", "floe-engine", "floe-live", "floe-pipeline", "floe-store", "floe-transform"],
    ),
    ("floe-lambda", &["floe-engine", "floe-gateway"]),
    ("floe-load", &[]),
    ("floe-testkit", &["floe-journal"]),
    (
        "floe",
        &[
            "floe-chat",
            "floe-engine",
            "floe-gateway",
            "floe-journal",
            "floe-live",
            "floe-load",
            "floe-pipeline",
            "floe-store",
            "floe-transform",
        ],
    ),
    ("floe-bench", &["floe-chat", "floe-testkit"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files below `folder` with one of these endings, leaving out what isn't ours.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "node_modules" | ".git" | ".venv" | "floe-data") {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn is_test(path: &Path) -> bool {
    let parts: Vec<_> =
        path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.iter().any(|part| part == "tests" || part == "tests.rs")
}

/// A file's lines in front of its tests.
fn code_of(text: &str) -> Vec<&str> {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).collect()
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let folders = [root().join("crates"), root().join("bench")];
    let all = folders.iter().flat_map(|folder| files(folder, &[".rs"]));
    all.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn files_hold_one_concept() {
    let long: Vec<String> = rust_files()
        .iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| (shown(path), code_of(text).len()))
        .filter(|(_, lines)| *lines > MAX_FILE_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "over {MAX_FILE_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn functions_fit_a_screen() {
    let mut long = Vec::new();
    for (path, text) in rust_files().iter().filter(|(path, _)| !is_test(path)) {
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in code_of(text).iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let starts = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            let starts = starts
                .trim_start_matches("pub(super) ")
                .trim_start_matches("async ")
                .trim_start_matches("const ");
            if open.is_none() && starts.starts_with("fn ") && !line.trim_end().ends_with(';') {
                open = Some((number, indent, starts.to_owned()));
            } else if let Some((start, depth, name)) = &open
                && line.len() - line.trim_start().len() == *depth
                && line.trim() == "}"
            {
                if number - start + 1 > MAX_FUNCTION_LINES {
                    long.push(format!("{}:{}: {} lines: {name}", shown(path), start + 1, number - start + 1));
                }
                open = None;
            }
        }
    }
    assert!(long.is_empty(), "over {MAX_FUNCTION_LINES} lines:\n{}", long.join("\n"));
}

#[test]
fn names_say_what_is_inside() {
    let drawers: Vec<String> = rust_files()
        .iter()
        .filter(|(path, _)| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let folder =
                path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            DRAWERS
                .iter()
                .any(|drawer| stem == *drawer || folder == *drawer || stem.ends_with(&format!("_{drawer}")))
        })
        .map(|(path, _)| shown(path))
        .collect();
    assert!(drawers.is_empty(), "drawers:\n{}", drawers.join("\n"));
}

#[test]
fn crates_depend_as_drawn() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for manifest in files(&root().join("crates"), &["Cargo.toml"])
        .into_iter()
        .chain(files(&root().join("bench"), &["Cargo.toml"]))
    {
        let text = fs::read_to_string(&manifest).unwrap();
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
            .unwrap()
            .to_owned();
        let allowed = arrows.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not drawn"));
        let mut section = "";
        for line in text.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let dependency = line.split([' ', '.', '=']).next().unwrap_or_default();
            if section == "[dependencies]" && dependency.starts_with("floe") {
                assert!(allowed.contains(&dependency), "{name} uses {dependency}, which is not drawn");
            }
        }
    }
}

#[test]
fn nothing_is_left_over() {
    let mut found = Vec::new();
    let this = Path::new("crates/floe-testkit/tests/tidy.rs");
    for (path, text) in rust_files().iter().filter(|(path, _)| !path.ends_with(this)) {
        for (number, line) in text.lines().enumerate() {
            let unnumbered = line.contains("TODO") && !line.contains("TODO(#");
            if unnumbered
                || line.contains("FIXME")
                || line.contains("dbg!(")
                || line.contains("unimplemented!(")
            {
                found.push(format!("{}:{}: {}", shown(path), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "left over:\n{}", found.join("\n"));
}

#[test]
fn unsafe_code_has_one_room() {
    let room = Path::new("crates/floe-engine/src/kafka/native.rs");
    let elsewhere: Vec<String> = rust_files()
        .iter()
        .filter(|(path, text)| !path.ends_with(room) && text.contains(concat!("(unsafe", "_code")))
        .map(|(path, _)| shown(path))
        .collect();
    assert!(elsewhere.is_empty(), "the lint is switched off in:\n{}", elsewhere.join("\n"));
}

#[test]
fn pages_are_small_modules_that_write_text() {
    let modules = files(&root().join("console"), &[".js", ".html"]);
    assert!(modules.len() >= 3, "the console's modules were not found");
    for path in modules {
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        assert!(lines <= MAX_PAGE_LINES, "{}: {lines} lines, over {MAX_PAGE_LINES}", shown(&path));
        for banned in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " style=",
            " onclick=",
        ] {
            assert!(!text.contains(banned), "{}: {banned}", shown(&path));
        }
    }
}

#[test]
fn every_document_is_linked() {
    let front = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
    let linked: String = front.iter().map(|name| fs::read_to_string(root().join(name)).unwrap()).collect();
    for document in files(&root().join("docs"), &[".md"]) {
        let name = shown(&document);
        assert!(
            linked.contains(&name),
            "{name} is not linked from README.md, ARCHITECTURE.md or CONTRIBUTING.md"
        );
    }
}

#[test]
fn what_is_not_promised_is_said() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    for words in ["does not survive the loss of its disk", "acks=1", "lies about flush"] {
        assert!(text.contains(words), "README.md no longer says: {words}");
    }
}
