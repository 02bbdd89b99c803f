//! What is taken and what is refused, in which words.

use std::{fs, path::PathBuf, time::Duration};

use floe_pipeline::{FuseSpec, PipelineSpec, RetrySpec, Start, sinks::SinkSpec};
use floe_transform::Step;

use crate::config::{ConfigErrors, Loaded, check_file};

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.put("floe.toml", config);
        folder
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Result<Loaded, ConfigErrors> {
        check_file::check(&self.path("floe.toml"))
    }
}

fn spec(config: &str) -> PipelineSpec {
    let loaded = Folder::with(config).load();
    loaded.map_err(|ConfigErrors(errors)| errors.join("\n")).unwrap().pipelines[0].spec.clone()
}

fn errors(config: &str) -> Vec<String> {
    let ConfigErrors(errors) = Folder::with(config).load().unwrap_err();
    errors
}

const MINIMAL: &str = "[[pipeline]]\nname = 'a'\nfrom = 't'\n[[pipeline.to]]\ntype = 'stdout'\n";

/// The minimal pipeline with another line in it, which is line 4.
fn with(line: &str) -> String {
    MINIMAL.replace("[[pipeline.to]]", &format!("{line}\n[[pipeline.to]]"))
}

#[test]
fn little_has_to_be_said() {
    let spec = spec(MINIMAL);
    assert_eq!((spec.name.as_str(), spec.from.as_slice()), ("a", &["t".to_owned()][..]));
    assert_eq!((spec.group.as_str(), spec.dead_letter_topic.as_str()), ("pipeline:a", "dlq.a"));
    assert_eq!((spec.start, spec.steps.len(), spec.sinks.len()), (Start::Earliest, 0, 1));
    assert_eq!((spec.retry, spec.fuse), (RetrySpec::default(), Some(FuseSpec::default())));
}

#[test]
fn everything_can_be_said() {
    let folder = Folder::with(
        "[[pipeline]]\nname = 'a'\nfrom = ['t', 'u']\ngroup = 'g'\nstart = 'latest'\nstep_limit = '2s'\n\
         schema = { by = ['kind', 'type'], files = { login = 'login.json' }, strict = true }\n\
         filter = '.n > 1'\nmap = '{n}'\n\
         batch = { max_records = 5, max_bytes = '64KiB', max_wait = '20ms' }\n\
         retry = { initial = '10ms', max = '1s', attempts = 3, elapsed = '5s' }\n\
         fuse = { share = 0.25, window = 10 }\ndead_letter = { topic = 'dlq.bad' }\n\
         [[pipeline.to]]\ntype = 'stdout'\n[[pipeline.to]]\ntype = 'file'\npath = 'out.ndjson'\n",
    );
    folder.put("login.json", "{\"type\":\"object\"}");
    let loaded = folder.load().unwrap();
    let spec = &loaded.pipelines[0].spec;
    assert!(
        matches!(spec.steps.as_slice(), [Step::Schema(set), Step::Filter(_), Step::Map(_)] if set.strict)
    );
    assert_eq!((spec.start, spec.step_limit), (Start::Latest, Duration::from_secs(2)));
    assert_eq!(
        (spec.batch.max_records, spec.batch.max_bytes, spec.batch.max_wait),
        (5, 64 << 10, Duration::from_millis(20))
    );
    assert_eq!((spec.retry.attempts, spec.retry.max), (3, Duration::from_secs(1)));
    assert_eq!(spec.fuse, Some(FuseSpec { share: 0.25, window: 10 }));
    assert_eq!(spec.dead_letter_topic, "dlq.bad");
    assert!(matches!(&spec.sinks[1], SinkSpec::File(file) if file.path == folder.path("out.ndjson")));
    assert_eq!(
        super::super::print::to_toml(&loaded).matches("# pipeline a: t, u to stdout, file").count(),
        1
    );
    assert_eq!(self::spec(&with("fuse = false")).fuse, None);
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_would_be_right() {
    for (line, told) in [
        ("nam = 'b'", "line 4: pipeline 'a': unknown field 'nam'"),
        ("fliter = '.'", "did you mean 'filter'?"),
        ("batch = { max_record = 1 }", "did you mean 'max_records'?"),
        ("retry = { attempts = 0 }", "line 4: pipeline 'a': retry.attempts: expected 1 to 1000"),
        ("retry = { initial = '1' }", "'1' is not a span of time with its unit"),
        ("retry = { initial = '2s', max = '1s' }", "retry.max: expected a time from 2s"),
        ("batch = { max_bytes = '1TiB' }", "batch.max_bytes: expected a size from 1KiB to 16MiB"),
        ("batch = { max_records = 0 }", "batch.max_records: expected 1 to 10000"),
        ("fuse = { share = 1.5 }", "fuse.share: expected a number above 0 and at most 1"),
        ("fuse = { share = nan }", "fuse.share: expected a number above 0 and at most 1"),
        ("fuse = 'off'", "expected false, or { share = 0.5, window = 100 }"),
        ("start = 'now'", "line 4: pipeline 'a': unknown variant 'now', expected 'earliest' or 'latest'"),
        ("step_limit = '1h'", "step_limit: expected a time from 10ms to 1m"),
        ("filter = '.a ='", "line 4: pipeline 'a': filter: "),
        ("map = 'nonsense(1)'", "line 4: pipeline 'a': map: "),
        ("schema = 'absent.json'", "cannot be opened"),
        ("schema = { files = { a = 'b' } }", "expected the file of a schema"),
        ("group = ''", "a group's name has 1 to 255 bytes"),
        ("dead_letter = { topic = 't' }", "dead_letter.topic must begin with 'dlq.'"),
        ("dead_letter = { topic = '__x' }", "the system's own"),
    ] {
        let errors = errors(&with(line));
        assert!(errors.len() == 1 && errors[0].contains(told), "{line}: {errors:?}");
        assert!(errors[0].contains("floe.toml, line "), "{errors:?}");
    }
    for (config, told) in [
        ("pipeline = 5", "expected tables that begin with [[pipeline]]"),
        ("[[pipeline]]\nname = 'a'\nfrom = 't'\n", "it has no sink: [[pipeline.to]]"),
        ("[[pipeline]]\nfrom = 't'\n[[pipeline.to]]\ntype = 'stdout'\n", "missing field 'name'"),
        (&MINIMAL.replace("'a'", "'a b'"), "line 2: pipeline 'a b': a name has 1 to 100"),
        (&MINIMAL.replace("'t'", "'t/u'"), "line 3: pipeline 'a': topic 't/u': "),
        (&MINIMAL.replace("'t'", "'__t'"), "the system's own"),
        (&MINIMAL.replace("'t'", "['t', 't']"), "'t' is named twice"),
        (&MINIMAL.replace("'t'", "'dlq.a'"), "it reads 'dlq.a', to which its own dead letters go"),
        (&MINIMAL.replace("'t'", "[]"), "expected 1 to 100 topics"),
        (&MINIMAL.replace("stdout", "stdot"), "pipeline 'a', sink 1: unknown variant 'stdot'"),
        (&MINIMAL.replace("stdout", "stdot"), "did you mean 'stdout'?"),
        (
            &MINIMAL.replace("type = 'stdout'", "type = 'topic'\ntopic = 't'"),
            "it writes to topic 't', which it reads",
        ),
        (
            &MINIMAL.replace("type = 'stdout'", "type = 'file'\npth = 'x'"),
            "line 6: pipeline 'a', sink 1: unknown field 'pth'",
        ),
        (&[MINIMAL, MINIMAL].concat(), "line 1 has one of the same name"),
        (
            &[MINIMAL, &MINIMAL.replace("'a'", "'b'\ngroup = 'pipeline:a'")].concat(),
            "each would get only a part",
        ),
        (&MINIMAL.replace("'a'", "'events-store'"), "the name is that of the built-in pipeline"),
        ("[events]\nschemas = { login = 'absent.json' }\n", "line 2: events.schemas.login: the schema"),
    ] {
        let errors = errors(config);
        assert!(errors.len() == 1 && errors[0].contains(told), "{config}: {errors:?}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let config = format!("dta_dir = 'x'\n{}{}", with("nam = 'b'"), MINIMAL.replace("stdout", "x"));
    let errors = errors(&config);
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn a_secret_may_stand_elsewhere_and_is_never_told() {
    let webhook = |secret: &str| {
        MINIMAL.replace(
            "type = 'stdout'",
            &format!("type = 'webhook'\nurl = 'https://example.com/hook'\nsecret = {secret}"),
        )
    };
    let folder = Folder::with(&webhook("{ file = 'key' }"));
    folder.put("key", "whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5\n");
    let loaded = folder.load().unwrap();
    let SinkSpec::Webhook(spec) = &loaded.pipelines[0].spec.sinks[0] else { panic!("{loaded:?}") };
    let same = Folder::with(&webhook("'whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5'")).load().unwrap();
    assert!(matches!(&same.pipelines[0].spec.sinks[0], SinkSpec::Webhook(other) if other == spec));
    assert!(!format!("{loaded:?} {}", super::super::print::to_toml(&loaded)).contains("Y2FuYXJ5"));
    for (secret, told) in [
        ("{ file = 'absent' }", "line 7: pipeline 'a', sink 1: secret: the file absent cannot be read"),
        ("{ env = 'FLOE_TEST_NOT_SET' }", "FLOE_TEST_NOT_SET is not set"),
        ("{ vault = 'x' }", "expected a text, { env = \"NAME\" } or { file = \"path\" }"),
    ] {
        let errors = errors(&webhook(secret));
        assert!(errors.len() == 1 && errors[0].contains(told), "{secret}: {errors:?}");
    }
}
