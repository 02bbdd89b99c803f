//! A socket's clock: when to ping, when the client has been silent for too long, and when it pings too much.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    frame::{CloseCode, Violation},
    limits::{CONTROL_FRAMES_MAX, CONTROL_WINDOW, MESSAGE_TIMEOUT, PING_EVERY, SILENCE_MAX},
};

/// What the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Send a ping.
    Ping,
    /// Nothing yet.
    Rest,
    /// Close: the client is gone, or sends a message without end.
    Close(Violation),
}

/// A socket's clock. One timer serves all.
#[derive(Debug)]
pub(crate) struct Pulse {
    timer: Pin<Box<Sleep>>,
    next_ping: Instant,
    last_heard: Instant,
    /// Since when a message has been arriving.
    message_since: Option<Instant>,
    /// Control frames in the window that began then.
    control_frames: u32,
    control_since: Instant,
}

impl Pulse {
    /// A clock that starts now. `phase`, from 0 to 1, spreads the pings of sockets that came together.
    pub(crate) fn new(phase: f32) -> Self {
        let now = Instant::now();
        let next_ping = now + PING_EVERY.mul_f32(phase.clamp(0.0, 1.0));
        Self {
            timer: Box::pin(sleep_until(next_ping)),
            next_ping,
            last_heard: now,
            message_since: None,
            control_frames: 0,
            control_since: now,
        }
    }

    /// Notes that bytes came, and whether they ended within a message.
    pub(crate) fn heard(&mut self, within_message: bool) {
        self.last_heard = Instant::now();
        self.message_since = match self.message_since {
            _ if !within_message => None,
            None => Some(self.last_heard),
            since => since,
        };
    }

    /// Takes a silence that is not the client's fault for a sign of life.
    pub(crate) fn excuse(&mut self) {
        self.last_heard = Instant::now();
    }

    /// Notes that a message ended.
    pub(crate) fn message_ended(&mut self) {
        self.message_since = None;
    }

    /// Counts a control frame; too many in a short time are refused.
    pub(crate) fn count_control(&mut self) -> Result<(), Violation> {
        let now = Instant::now();
        if now.duration_since(self.control_since) >= CONTROL_WINDOW {
            (self.control_frames, self.control_since) = (0, now);
        }
        self.control_frames += 1;
        if self.control_frames > CONTROL_FRAMES_MAX {
            return Err(Violation { code: CloseCode::POLICY, reason: "too many pings" });
        }
        Ok(())
    }

    /// Waits for the next beat. Cancel-safe.
    pub(crate) async fn beat(&mut self) -> Beat {
        self.timer.as_mut().await;
        let now = Instant::now();
        if now >= self.last_heard + SILENCE_MAX {
            return Beat::Close(Violation {
                code: CloseCode::POLICY,
                reason: "nothing was heard for 90 seconds",
            });
        }
        if self.message_since.is_some_and(|since| now >= since + MESSAGE_TIMEOUT) {
            return Beat::Close(Violation {
                code: CloseCode::POLICY,
                reason: "a message took over 60 seconds",
            });
        }
        let ping = now >= self.next_ping;
        if ping {
            self.next_ping = now + PING_EVERY;
        }
        let next = self.next_ping.min(self.last_heard + SILENCE_MAX);
        self.timer.as_mut().reset(next);
        if ping { Beat::Ping } else { Beat::Rest }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pings_come_every_twenty_seconds_and_silence_ends_after_ninety() {
        let started = Instant::now();
        let mut pulse = Pulse::new(0.5);
        let mut pings = Vec::new();
        let end = loop {
            match pulse.beat().await {
                Beat::Ping => pings.push(started.elapsed().as_secs()),
                Beat::Rest => {}
                Beat::Close(violation) => break violation,
            }
        };
        assert_eq!(pings, [10, 30, 50, 70]);
        assert_eq!(started.elapsed(), SILENCE_MAX);
        assert_eq!(end.code, CloseCode::POLICY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_answers_stays_and_one_that_never_ends_its_message_does_not() {
        let started = Instant::now();
        let mut pulse = Pulse::new(1.0);
        for _ in 0..100 {
            assert_ne!(
                std::mem::discriminant(&pulse.beat().await),
                std::mem::discriminant(&Beat::Close(Violation { code: CloseCode::POLICY, reason: "" }))
            );
            pulse.heard(false);
        }
        assert!(started.elapsed() > Duration::from_secs(1_900));
        loop {
            pulse.heard(true);
            if let Beat::Close(violation) = pulse.beat().await {
                assert_eq!(violation.reason, "a message took over 60 seconds");
                break;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_pings_is_refused_and_a_steady_trickle_is_not() {
        let mut pulse = Pulse::new(0.0);
        for _ in 0..3 {
            for _ in 0..CONTROL_FRAMES_MAX {
                pulse.count_control().unwrap();
            }
            tokio::time::advance(CONTROL_WINDOW).await;
        }
        for _ in 0..CONTROL_FRAMES_MAX {
            pulse.count_control().unwrap();
        }
        assert_eq!(pulse.count_control().unwrap_err().code, CloseCode::POLICY);
    }
}
