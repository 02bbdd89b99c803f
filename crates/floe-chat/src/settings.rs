//! How the chat is set up.

use std::time::Duration;

use crate::{
    model::ModelConfig,
    profanity::{Policy, ProfanityFilter, Severity},
};

/// How the chat is set up. The default answers from documents alone and keeps sessions in a topic.
#[derive(Clone, Debug)]
pub struct ChatSettings {
    /// How long queries, prompts and answers are kept.
    pub retention: Duration,
    /// What becomes of questions with words that aren't wanted.
    pub profanity: ProfanitySettings,
    /// Who writes the answers; without one they are quoted from the documents.
    pub model: Option<ModelConfig>,
    /// What a session remembers.
    pub sessions: SessionLimits,
    /// Where sessions are kept; without one, in the topic `chat.sessions`.
    pub redis: Option<String>,
}

/// Which words aren't wanted, and what then.
#[derive(Clone, Debug, Default)]
pub struct ProfanitySettings {
    /// What then.
    pub policy: Policy,
    /// How bad a word has to be.
    pub severity: Severity,
    /// Words that aren't wanted either.
    pub words: Vec<String>,
    /// Words that are fine.
    pub allowed: Vec<String>,
}

/// What a session remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// The newest questions with their answers.
    pub turns: usize,
    /// Characters of these together; of more, the oldest turns are forgotten.
    pub characters: usize,
    /// A session that was quiet for so long is forgotten, and so is a turn of that age.
    pub expiry: Duration,
}

impl ProfanitySettings {
    /// The filter; or what is wrong with the words.
    pub(crate) fn filter(&self) -> Result<ProfanityFilter, String> {
        let filter = ProfanityFilter::new(self.policy, &self.words, &self.allowed);
        filter.map(|filter| filter.with_severity(self.severity)).map_err(|word| word.to_string())
    }
}

impl Default for ChatSettings {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(120),
            profanity: ProfanitySettings::default(),
            model: None,
            sessions: SessionLimits::default(),
            redis: None,
        }
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { turns: 20, characters: 16_000, expiry: Duration::from_secs(24 * 3_600) }
    }
}
