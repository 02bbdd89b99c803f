//! An answer that comes token by token.

use reqwest::Response;

use super::{
    chunk::{self, Part, Said},
    client::Finish,
    error::ModelError,
    events::EventParser,
    reception::Reception,
};

struct Stream<'a, 'b> {
    reception: &'a mut Reception<'b>,
    events: EventParser,
    finish: Option<Finish>,
    /// An event came that could be read.
    understood: bool,
    /// The last event came.
    over: bool,
}

/// Hears a stream to its end, and says how the answer ends. The answer is whole when its finish or the last event came,
/// whatever becomes of the connection afterwards. `declared`: the server calls it a stream of events.
pub(super) async fn hear(
    mut response: Response,
    reception: &mut Reception<'_>,
    declared: bool,
) -> Result<Finish, ModelError> {
    let mut stream =
        Stream { reception, events: EventParser::default(), finish: None, understood: false, over: false };
    let failure = loop {
        match stream.reception.clock.wait(response.chunk()).await {
            // The rest is waited for only so that the connection can be used again.
            Ok(Ok(Some(_))) if stream.over => {}
            Ok(Ok(Some(bytes))) => {
                if let Err(error) = stream.take(&bytes) {
                    break error;
                }
            }
            Ok(Ok(None)) if !stream.understood && !declared => {
                break stream.reception.not_understood("there is no event in the response");
            }
            Ok(Ok(None)) => {
                break stream.reception.cut_off("the response ended before the answer was finished");
            }
            Ok(Err(_)) => break stream.reception.cut_off("the connection was lost"),
            Err(stage) => break stream.reception.timed_out(stage),
        }
    };
    match stream.finish {
        // An answer that goes on after its finish is still too long; all else comes too late to matter.
        Some(finish) if !matches!(failure, ModelError::TooLong { .. }) => Ok(finish),
        _ => Err(failure),
    }
}

impl Stream<'_, '_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        let events =
            self.events.push(bytes).map_err(|error| self.reception.not_understood(&error.to_string()))?;
        for data in events {
            // Some servers keep a connection alive with events that hold nothing.
            if data.trim().is_empty() || self.over {
                continue;
            }
            let said = chunk::read(&data)
                .map_err(|error| self.reception.not_understood(&format!("an event is no chunk: {error}")))?;
            self.understood = true;
            match said {
                Said::Last => {
                    self.over = true;
                    self.finish.get_or_insert(Finish::Untold);
                    self.reception.clock.drain();
                }
                Said::Failed(failure) => return Err(self.reception.failed(&failure)),
                Said::Part(part) => self.hear(&part)?,
            }
        }
        Ok(())
    }

    fn hear(&mut self, part: &Part) -> Result<(), ModelError> {
        if part.thinks || !part.content.is_empty() {
            self.reception.token();
        }
        if !part.content.is_empty() {
            self.reception.hand_out(&part.content)?;
        }
        if let Some(reason) = &part.finish {
            // What some gateways say when the model behind them is lost.
            if reason == "error" {
                return Err(self.reception.cut_off("the server ended the answer because of an error"));
            }
            self.finish = Some(Finish::of(&self.reception.told(reason)));
        }
        if self.finish.is_some() {
            self.reception.clock.finished();
        }
        Ok(())
    }
}
