//! Why there is no answer, or only a part of one.

use std::time::Duration;

use super::clock::Stage;

/// Why there is no whole answer. The server's own words in it are bounded, on one line, and without the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The model failed too often and was not asked.
    #[error("the model failed too often and is left alone for another {} ms", retry_in.as_millis())]
    Open {
        /// When it is worth asking again.
        retry_in: Duration,
    },
    /// No response to the last attempt.
    #[error("the model can't be reached: {cause}")]
    Unreachable {
        /// What the network said.
        cause: String,
    },
    /// The response to the last attempt was that there is no answer now: 408, 409, 429, 5xx.
    #[error("the model is not available ({status}): {said}")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        said: String,
        /// When the server wishes to be asked again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The request is not one that the server would answer, however often it came.
    #[error("the model refused the request ({status}): {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        said: String,
    },
    /// Something took longer than it may.
    #[error("{stage} took too long ({handed_out_bytes} bytes of the answer had come)")]
    TimedOut {
        /// What was waited for.
        stage: Stage,
        /// How much of the answer was handed out.
        handed_out_bytes: usize,
    },
    /// The answer ended before its end.
    #[error("the answer was cut off after {handed_out_bytes} bytes: {cause}")]
    CutOff {
        /// How much of the answer was handed out.
        handed_out_bytes: usize,
        /// What the network or the server said.
        cause: String,
    },
    /// The server speaks, but not this protocol.
    #[error("what the model sent is not understood: {why}")]
    NotUnderstood {
        /// How much of the answer was handed out.
        handed_out_bytes: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The answer went on beyond what is taken.
    #[error("the answer is longer than {limit_bytes} bytes")]
    TooLong {
        /// How much is taken.
        limit_bytes: usize,
        /// How much of the answer was handed out.
        handed_out_bytes: usize,
    },
}

impl ModelError {
    /// Whether the same request may be answered another time.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Open { .. }
            | Self::Unreachable { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::CutOff { .. } => true,
            Self::Refused { .. } | Self::NotUnderstood { .. } | Self::TooLong { .. } => false,
        }
    }

    /// How many bytes of an answer were handed out before it failed. They are no answer.
    #[must_use]
    pub fn handed_out_bytes(&self) -> usize {
        match self {
            Self::TimedOut { handed_out_bytes, .. }
            | Self::CutOff { handed_out_bytes, .. }
            | Self::NotUnderstood { handed_out_bytes, .. }
            | Self::TooLong { handed_out_bytes, .. } => *handed_out_bytes,
            Self::Open { .. }
            | Self::Unreachable { .. }
            | Self::Unavailable { .. }
            | Self::Refused { .. } => 0,
        }
    }

    /// For how long it is no use to ask again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Open { retry_in } => Some(*retry_in),
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::CutOff { .. }
            | Self::NotUnderstood { .. }
            | Self::TooLong { .. } => None,
        }
    }

    /// Whether the request may be sent again without the caller's notice. Not after a time-out: one wait for a first token
    /// is as long as anybody wants to wait.
    pub(super) fn may_be_repeated(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Unavailable { .. } | Self::CutOff { handed_out_bytes: 0, .. }
        )
    }

    /// Whether it tells against the server, not against the request.
    pub(super) fn blames_the_model(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Unavailable { .. }
            | Self::CutOff { .. }
            | Self::NotUnderstood { .. } => true,
            // An answer that flows is not a failing one, however long it takes.
            Self::TimedOut { stage, handed_out_bytes } => *stage != Stage::Answer || *handed_out_bytes == 0,
            Self::Open { .. } | Self::Refused { .. } | Self::TooLong { .. } => false,
        }
    }
}
