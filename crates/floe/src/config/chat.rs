//! Settings of the chat, and of the language model behind it.

use std::{fmt, time::Duration};

use floe_chat::{
    ChatSettings, ProfanitySettings, SessionLimits,
    model::{self, ModelConfig, Secret},
    profanity::{Policy, Severity},
};

use super::{
    given::{Given, Origin},
    settings::RedisUrl,
};

/// The longest span of a setting of the chat.
const MAX_SPAN: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The shortest time that messages are kept: an answer has to fit in.
const MIN_RETENTION: Duration = Duration::from_secs(1);
const MAX_TURNS: u64 = 1_000;
const MAX_CHARACTERS: u64 = 200_000;

pub(crate) const SEVERITIES: [(&str, Severity); 3] =
    [("mild", Severity::Mild), ("moderate", Severity::Moderate), ("severe", Severity::Severe)];
pub(crate) const POLICIES: [(&str, Policy); 3] =
    [("mask", Policy::Mask), ("reject", Policy::Reject), ("flag", Policy::Flag)];

/// The keys that begin with `chat.` or `llm.`.
pub(crate) const KEYS: [&str; 11] = [
    "chat.retention",
    "chat.profanity",
    "chat.profanity_severity",
    "chat.words",
    "chat.allowed_words",
    "chat.session_turns",
    "chat.session_characters",
    "chat.session_expiry",
    "llm.url",
    "llm.model",
    "llm.key",
];

/// How the chat is set up.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ChatConfig {
    /// How long queries, prompts and answers are kept.
    pub(crate) retention: Duration,
    /// What becomes of questions with words that aren't wanted.
    pub(crate) profanity: Policy,
    /// How bad a word has to be.
    pub(crate) severity: Severity,
    /// More of such words.
    pub(crate) words: Vec<String>,
    /// Words that are fine.
    pub(crate) allowed_words: Vec<String>,
    /// What a session remembers.
    pub(crate) sessions: SessionLimits,
    /// The base of an OpenAI-compatible interface.
    pub(crate) llm_url: Option<String>,
    /// The model's name there.
    pub(crate) llm_model: Option<String>,
    /// The key for it. `Debug` leaves it out.
    pub(crate) llm_key: Option<String>,
}

impl Default for ChatConfig {
    fn default() -> Self {
        let ChatSettings { retention, profanity, sessions, .. } = ChatSettings::default();
        Self {
            retention,
            profanity: profanity.policy,
            severity: profanity.severity,
            words: profanity.words,
            allowed_words: profanity.allowed,
            sessions,
            llm_url: None,
            llm_model: None,
            llm_key: None,
        }
    }
}

impl ChatConfig {
    /// Puts one given value in its place; `None` if it isn't one of the chat's.
    pub(super) fn apply(&mut self, given: &Given) -> Option<Result<(), String>> {
        KEYS.contains(&given.path.as_str()).then(|| self.apply_known(given))
    }

    fn apply_known(&mut self, given: &Given) -> Result<(), String> {
        match given.path.as_str() {
            "chat.retention" => self.retention = span(given, MIN_RETENTION)?,
            "chat.profanity" => self.profanity = given.word(&POLICIES)?,
            "chat.profanity_severity" => self.severity = given.word(&SEVERITIES)?,
            "chat.words" => self.words = given.list()?,
            "chat.allowed_words" => self.allowed_words = given.list()?,
            "chat.session_turns" => self.sessions.turns = given.number(1, MAX_TURNS)? as usize,
            "chat.session_characters" => {
                self.sessions.characters = given.number(1, MAX_CHARACTERS)? as usize;
            }
            "chat.session_expiry" => self.sessions.expiry = span(given, MIN_RETENTION)?,
            "llm.url" => self.llm_url = Some(given.text()?).map(|url| check_url(given, url)).transpose()?,
            "llm.model" => self.llm_model = Some(given.text()?),
            _ => self.llm_key = Some(key(given)?),
        }
        Ok(())
    }

    /// What is missing, if anything is.
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.llm_url, &self.llm_model) {
            (Some(_), None) => Err("llm.url needs the model's name: llm.model (FLOE_LLM_MODEL)".to_owned()),
            (None, Some(_)) => Err("llm.model needs the model's address: llm.url (FLOE_LLM_URL)".to_owned()),
            _ => Ok(()),
        }
    }

    /// The same for the chat itself.
    pub(crate) fn settings(&self, redis: Option<&RedisUrl>) -> ChatSettings {
        let model = self.llm_url.clone().zip(self.llm_model.clone());
        ChatSettings {
            retention: self.retention,
            profanity: ProfanitySettings {
                policy: self.profanity,
                severity: self.severity,
                words: self.words.clone(),
                allowed: self.allowed_words.clone(),
            },
            model: model.map(|(url, name)| ModelConfig {
                key: self.llm_key.clone().map(Secret::new),
                ..ModelConfig::new(url, name)
            }),
            sessions: self.sessions,
            redis: redis.map(|url| url.expose().to_owned()),
        }
    }
}

fn span(given: &Given, least: Duration) -> Result<Duration, String> {
    let span = given.span(MAX_SPAN)?;
    if span < least {
        return Err(given.expected("at least 1s"));
    }
    Ok(span)
}

fn check_url(given: &Given, url: String) -> Result<String, String> {
    match model::check_url(&url) {
        Ok(()) => Ok(url),
        // an address may hold a password: it isn't shown
        Err(why) => Err(format!("{}: {} is not valid: {why}", given.origin, given.path)),
    }
}

/// A key is taken from the environment alone, so that it stands in no file and no list of processes.
fn key(given: &Given) -> Result<String, String> {
    match &given.origin {
        Origin::Environment(_) => given.text().map_err(|_| format!("{}: the key is empty", given.origin)),
        Origin::File { .. } | Origin::Flag(_) => {
            Err(format!("{}: {} is taken from the environment alone: FLOE_LLM_KEY", given.origin, given.path))
        }
    }
}

impl fmt::Debug for ChatConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatConfig")
            .field("retention", &self.retention)
            .field("profanity", &self.profanity)
            .field("sessions", &self.sessions)
            .field("llm_model", &self.llm_model)
            .field("llm_key", &self.llm_key.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::given::Value;

    fn apply(path: &str, value: &str, origin: Origin) -> Result<ChatConfig, String> {
        let mut chat = ChatConfig::default();
        let given = Given { path: path.to_owned(), value: Value::Text(value.to_owned()), origin };
        chat.apply(&given).unwrap().map(|()| chat)
    }

    fn environment() -> Origin {
        Origin::Environment("FLOE_X".to_owned())
    }

    #[test]
    fn values_are_checked_and_the_accepted_form_is_told() {
        assert_eq!(apply("chat.retention", "2m", environment()).unwrap(), ChatConfig::default());
        for (path, value, told) in [
            ("chat.retention", "120", "with its unit"),
            ("chat.retention", "10ms", "at least 1s"),
            ("chat.profanity", "delete", "mask or reject or flag"),
            ("chat.session_turns", "0", "from 1 to 1000"),
            ("llm.url", "model:8000", "http"),
            ("llm.model", "", "not empty"),
        ] {
            let error = apply(path, value, environment()).unwrap_err();
            assert!(error.contains(told) && error.contains(path), "{path}={value}: {error}");
        }
    }

    #[test]
    fn a_key_comes_from_the_environment_and_is_never_shown() {
        let chat = apply("llm.key", "sk-hunter2", environment()).unwrap();
        assert_eq!(chat.llm_key.as_deref(), Some("sk-hunter2"));
        assert!(!format!("{chat:?}").contains("hunter2"));
        let file = Origin::File { name: "floe.toml".to_owned(), line: 3 };
        let error = apply("llm.key", "sk-hunter2", file).unwrap_err();
        assert!(error.contains("FLOE_LLM_KEY") && !error.contains("hunter2"), "{error}");
        let error = apply("llm.url", "ftp://u:hunter2@h", environment()).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn an_address_needs_a_model_and_a_model_an_address() {
        let of = |path, value| apply(path, value, environment()).unwrap().check();
        assert!(of("llm.url", "http://h:1/v1").unwrap_err().contains("FLOE_LLM_MODEL"));
        assert!(of("llm.model", "m").unwrap_err().contains("FLOE_LLM_URL"));
        assert_eq!(ChatConfig::default().check(), Ok(()));
    }
}
