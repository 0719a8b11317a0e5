//! Rules of the source tree that no compiler holds: who may know whom, how long a file is, what is documented.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use assize::config::{PolicySpec, load};
use assize_judge::metrics;

/// Lines of code of one file, at the most: those that are neither blank nor comments.
const CODE_LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below `directory` whose name ends in `ending`, as paths from the root, with their text.
fn files(directory: &str, ending: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(), text);
            }
        }
    }
    assert!(!found.is_empty(), "nothing ends in {ending} below {directory}");
    found
}

/// The code of a file: without comments, and without what stands under `#[cfg(test)]`.
fn code(text: &str) -> String {
    let tested = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..tested].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Every word of `words` that the code of a file below `directory` holds, with the file.
fn mentions(directory: &str, words: &[&str]) -> Vec<String> {
    let is_test = |path: &str| path.ends_with("/tests.rs");
    let files = files(directory, ".rs").into_iter().filter(|(path, _)| !is_test(path));
    let mut found = Vec::new();
    for (path, text) in files {
        let code = code(&text);
        found.extend(words.iter().filter(|word| code.contains(**word)).map(|word| format!("{path} mentions {word}")));
    }
    found
}

fn none(found: Vec<String>) {
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn crates_depend_as_the_map_says() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("core", &[][..]),
        ("estimate", &[]),
        ("judge", &["core"]),
        ("store", &["core"]),
        ("testkit", &["core"]),
        ("assize", &["core", "estimate", "judge", "store"]),
    ]);
    let manifests = files("crates", "Cargo.toml");
    let names: BTreeSet<&str> = manifests.keys().map(|path| path.split('/').nth(1).unwrap()).collect();
    assert_eq!(names, allowed.keys().copied().collect(), "a new crate has its place in ARCHITECTURE.md and here");
    for (path, text) in &manifests {
        let manifest: toml::Table = toml::from_str(text).unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        let siblings = dependencies.keys().filter_map(|name| name.strip_prefix("assize-")).collect::<Vec<_>>();
        let may = allowed[path.split('/').nth(1).unwrap()];
        assert!(siblings.iter().all(|sibling| may.contains(sibling)), "{path} depends on {siblings:?}, and may on {may:?}");
        let map = read("ARCHITECTURE.md");
        assert!(map.contains(&format!("| `{}` |", path.split('/').nth(1).unwrap())), "the map of ARCHITECTURE.md lacks {path}");
    }
}

#[test]
fn decoding_and_rendering_know_nothing_of_the_flow() {
    let flow = ["crate::pipeline", "crate::api", "crate::store", "crate::cli", "crate::roles", "crate::access", "assize_store"];
    none(mentions("crates/assize/src/ingest", &flow));
    none(mentions("crates/assize/src/ui", &flow));
    none(mentions("crates/assize/src/ingest", &["crate::ui"]));
    none(mentions("crates/assize/src/ui", &["crate::ingest"]));
}

#[test]
fn the_flow_knows_nothing_of_how_it_is_asked() {
    none(mentions("crates/assize/src/pipeline", &["crate::api", "crate::cli", "crate::ui", "crate::roles", "axum::"]));
    none(mentions("crates/assize/src/config", &["crate::pipeline", "crate::api", "crate::cli", "crate::ui", "crate::roles"]));
    none(mentions("crates/assize/src/api", &["crate::cli", "crate::roles"]));
    let stages = ["accept", "score", "report"];
    for stage in stages {
        let code = code(&read(&format!("crates/assize/src/pipeline/{stage}.rs")));
        for other in stages.iter().filter(|other| **other != stage) {
            assert!(!code.contains(&format!("super::{other}")), "the stage {stage} imports {other}");
        }
    }
}

#[test]
fn time_and_chance_come_from_outside() {
    let sources = ["SystemTime::now", "Instant::now", "getrandom", "rand::", "Zoned::now", "Timestamp::now"];
    for pure in
        ["crates/core/src", "crates/estimate/src", "crates/assize/src/ingest", "crates/assize/src/ui", "crates/assize/src/config"]
    {
        let found = mentions(pure, &sources).into_iter();
        // The one clock of the system.
        none(found.filter(|found| found != "crates/core/src/time.rs mentions SystemTime::now").collect());
    }
    let found = mentions("crates", &["SystemTime::now"]).into_iter();
    let reads = ["crates/core/src/time.rs", "crates/judge/src/providers/connection.rs", "crates/judge/src/http_judge/mod.rs"];
    // What is asked to wait with `retry-after` may be told a date.
    none(found.filter(|found| found.contains("/src/") && !reads.iter().any(|path| found.starts_with(path))).collect());
}

#[test]
fn providers_do_not_wait_and_rules_do_no_io() {
    let waits = mentions("crates/judge/src", &["time::sleep", "thread::sleep"]).into_iter();
    // The simulation takes as long as a model would.
    none(waits.filter(|found| !found.starts_with("crates/judge/src/providers/simulated.rs")).collect());
    none(mentions("crates/judge/src/rules", &["tokio", "reqwest", "std::fs", "std::net", "async fn"]));
}

#[test]
fn files_are_short_and_say_their_purpose() {
    let mut wrong = Vec::new();
    for (path, text) in files("crates", ".rs") {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        if lines > CODE_LINES_MAX {
            wrong.push(format!("{path} has {lines} lines of code: {CODE_LINES_MAX} at the most"));
        }
        // The tests of a file say theirs in that file.
        if !text.starts_with("//!") && !path.ends_with("/tests.rs") {
            wrong.push(format!("{path} does not begin with //! and its purpose"));
        }
    }
    none(wrong);
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts, so that this file does not find itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["dbg", "!("], ["todo", "!("], ["unimplemented", "!("]]
        .map(|parts| parts.concat());
    let mut found = Vec::new();
    let texts = [".rs", ".toml", ".md"].into_iter().flat_map(|ending| files("crates", ending)).chain(files("docs", ".md"));
    for (path, text) in texts.chain(files("config", ".toml")) {
        found.extend(marks.iter().filter(|mark| text.contains(*mark)).map(|mark| format!("{path} holds {mark}")));
    }
    none(found);
}

#[test]
fn the_shipped_configurations_load() {
    for path in ["config/default.toml", "config/demo.toml"] {
        let settings = load::parse(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let spec = PolicySpec::of(&settings).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(!spec.metrics.is_empty());
    }
}

/// `config/default.toml` with its examples taken as configuration.
fn documented() -> String {
    let text = read("config/default.toml");
    let is_example = |line: &str| line.strip_prefix('#').is_some_and(|rest| !rest.is_empty() && !rest.starts_with(' '));
    text.lines().map(|line| if is_example(line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_key_is_documented_and_every_example_valid() {
    let documented = documented();
    let settings = load::parse(&documented).unwrap_or_else(|error| panic!("an example of config/default.toml: {error}"));
    let spec = PolicySpec::of(&settings).unwrap_or_else(|error| panic!("an example of config/default.toml: {error}"));
    assert!(spec.metrics.iter().any(|metric| metric.name.as_str() == "sarcasm"));
    // What is accepted is what an unknown key is answered with.
    let name = "name = \"a\"\n";
    let tables = [
        ("[server]\n", ""),
        ("[ingest]\n", ""),
        ("[store]\n", ""),
        ("[cache]\n", ""),
        ("[score]\n", ""),
        ("[report]\n", ""),
        ("[sampling]\n", ""),
        ("[prices]\n", ""),
        ("[[price]]\nmodel = \"a\"\ninput_usd = 1.0\n", ""),
        ("[sampling]\nrate = 1.0\n[sampling.only]\n", ""),
        ("[sampling]\nrate = 1.0\n[[sampling.smart]]\n", ""),
        ("[[project]]\n", name),
        ("[[provider]]\n", name),
        ("[[judge]]\nkind = \"rules\"\n", name),
        ("[[judge]]\nkind = \"linear\"\n", name),
        ("[[judge]]\nkind = \"chat\"\n", name),
        ("[[judge]]\nkind = \"bert\"\n", name),
        ("[[judge]]\nkind = \"decisions\"\n", name),
        ("[[judge]]\nkind = \"command\"\n", name),
        ("[[judge]]\nkind = \"http\"\n", name),
        ("[[metric]]\n", name),
        ("[[export]]\n", name),
        ("[[judge]]\nkind = \"chat\"\nprovider = \"p\"\nmodel = \"m\"\nprice = \"free\"\n", name),
    ];
    for (header, more) in tables {
        let error = load::parse(&format!("{header}{more}nosuch = 1\n")).unwrap_err().message;
        let (_, keys) = error.split_once("expected ").unwrap_or_else(|| panic!("{header}: {error}"));
        for key in keys.split('`').skip(1).step_by(2) {
            let stands = documented.lines().any(|line| {
                line.split(['{', ','])
                    .any(|part| part.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=')))
            });
            assert!(
                stands || documented.contains(&format!(".{key}]]")),
                "config/default.toml does not document `{key}` of {header}"
            );
        }
    }
}

#[test]
fn every_built_in_metric_is_documented() {
    let documented = read("config/default.toml");
    for metric in metrics::all() {
        assert!(documented.contains(metric.name), "config/default.toml does not name the metric {}", metric.name);
    }
}

#[test]
fn decisions_have_titles_and_numbers() {
    for (at, (path, text)) in files("docs/decisions", ".md").into_iter().enumerate() {
        let number = at + 1;
        assert!(path.starts_with(&format!("docs/decisions/{number:04}-")), "{path} is not number {number}");
        assert!(text.starts_with(&format!("# {number}. ")), "{path} does not begin with its number and title");
        assert!(text.contains("**Decision.**"), "{path} does not say what was decided");
    }
}

#[test]
fn the_front_pages_say_what_they_promise() {
    assert!(read("CHANGELOG.md").contains("\n## Unreleased\n"));
    for entry in ["crates/assize/src/pipeline/accept.rs", "crates/core/src/lib.rs", "crates/assize/src/roles.rs"] {
        assert!(root().join(entry).is_file(), "ARCHITECTURE.md names {entry}");
    }
    let readme = read("README.md");
    for promised in ["cargo run --release -- demo", "cargo test --workspace"] {
        assert!(readme.contains(promised), "README.md does not say {promised}");
    }
    for metric in metrics::all() {
        assert!(readme.contains(metric.name), "README.md does not name the metric {}", metric.name);
    }
    let configuration = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a configuration");
    let settings = load::parse(configuration).unwrap_or_else(|error| panic!("the README's configuration: {error}"));
    PolicySpec::of(&settings).unwrap_or_else(|error| panic!("the README's configuration: {error}"));
}
