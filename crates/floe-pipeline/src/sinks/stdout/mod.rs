//! Standard output. Delivered when the operating system has taken the lines.

mod config;

use std::io::{self, Write};

use floe_store::PositionKey;

pub use config::StdoutSpec;

use super::{Batch, DeliveryError, fields::LineFormat, line};

#[derive(Clone, Debug)]
pub(crate) struct StdoutSink {
    format: LineFormat,
}

#[derive(Debug)]
pub(crate) struct StdoutHold {
    key: PositionKey,
    format: LineFormat,
}

impl StdoutSink {
    pub(crate) fn open(spec: &StdoutSpec) -> Self {
        Self { format: spec.format }
    }

    pub(crate) fn label(&self) -> String {
        "stdout".to_owned()
    }

    pub(crate) fn claim(&self, key: &PositionKey) -> StdoutHold {
        StdoutHold { key: key.clone(), format: self.format }
    }
}

impl StdoutHold {
    pub(crate) async fn deliver(&mut self, batch: &Batch) -> Result<(), DeliveryError> {
        if batch.records.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for record in &batch.records {
            line::write_line(&mut lines, &self.key, record, self.format);
        }
        // Away from the runtime's threads: a pipe that nobody reads blocks.
        let written = tokio::task::spawn_blocking(move || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&lines).and_then(|()| stdout.flush())
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(DeliveryError::Fatal("nobody reads standard output any more".to_owned()))
            }
            Ok(Err(error)) => {
                Err(DeliveryError::Unavailable(format!("writing to standard output failed: {error}")))
            }
            Err(_) => {
                Err(DeliveryError::Unavailable("writing to standard output was interrupted".to_owned()))
            }
        }
    }
}
