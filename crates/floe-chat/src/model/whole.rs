//! An answer that comes in one piece, from a server that doesn't stream.

use reqwest::Response;

use super::{
    chunk::{self, Said},
    client::Finish,
    error::ModelError,
    limits::WHOLE_BYTES_MAX,
    reception::Reception,
};

/// Reads the body to its end and hands the answer out at once.
pub(super) async fn hear(
    mut response: Response,
    reception: &mut Reception<'_>,
) -> Result<Finish, ModelError> {
    let mut body = Vec::new();
    loop {
        match reception.clock.wait(response.chunk()).await {
            Ok(Ok(Some(bytes))) => body.extend_from_slice(&bytes),
            Ok(Ok(None)) => break,
            Ok(Err(_)) => return Err(reception.cut_off("the connection was lost")),
            Err(stage) => return Err(reception.timed_out(stage)),
        }
        if body.len() > WHOLE_BYTES_MAX {
            let why = format!("the response is longer than {WHOLE_BYTES_MAX} bytes");
            return Err(reception.not_understood(&why));
        }
    }
    let body = String::from_utf8_lossy(&body);
    let said = chunk::read(&body)
        .map_err(|error| reception.not_understood(&format!("the response is no answer: {error}")))?;
    let part = match said {
        Said::Failed(failure) => return Err(reception.failed(&failure)),
        Said::Part(part) if !part.is_empty => part,
        Said::Part(_) | Said::Last => {
            return Err(reception.not_understood("there is no choice in the response"));
        }
    };
    reception.token();
    if !part.content.is_empty() {
        reception.hand_out(&part.content)?;
    }
    Ok(part.finish.map_or(Finish::Untold, |reason| Finish::of(&reception.told(&reason))))
}
