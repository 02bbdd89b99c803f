//! A client for occasional calls: opens connections as needed, reads problem documents.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};

use super::{Connection, HttpError, Response, Target};

const USER_AGENT: &str = concat!("floe/", env!("CARGO_PKG_VERSION"));

/// Calls one server, one request at a time, over a connection that is kept.
#[derive(Debug)]
pub struct Client {
    target: Target,
    connection: Option<Connection>,
    within: Duration,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server said no; the text is the problem document's `detail`.
    #[error("{detail}")]
    Refused {
        /// The status code.
        status: u16,
        /// The problem document's `code`, when it has one.
        code: Option<String>,
        /// One sentence for people.
        detail: String,
    },
    /// The server said yes in words this client doesn't know.
    #[error("the answer of {path} is not what was expected: {why}")]
    Unexpected {
        /// What was called.
        path: String,
        /// What is wrong with the answer.
        why: String,
    },
}

impl CallError {
    /// The status the server refused with.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Http(_) | Self::Unexpected { .. } => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    code: Option<String>,
}

impl Client {
    /// A client of `target` that waits at most `within` for each answer.
    #[must_use]
    pub fn new(target: Target, within: Duration) -> Self {
        Self { target, connection: None, within }
    }

    /// The server.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a request and returns the answer, whatever its status.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, HttpError> {
        let mut request = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {USER_AGENT}\r\n",
            self.target.path(path),
            self.target.authority()
        );
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() || method != "GET" {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);

        let mut connection = match self.connection.take().filter(Connection::is_usable) {
            Some(connection) => connection,
            None => Connection::open(&self.target).await?,
        };
        let response = connection.exchange(&request, self.within).await?;
        self.connection = Some(connection);
        Ok(response)
    }

    /// Sends a request with a JSON body (unless it is empty); an answer other than success is an error with its reason.
    pub async fn call(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Response, CallError> {
        let headers: &[_] = if body.is_empty() { &[] } else { &[("Content-Type", "application/json")] };
        accept(self.send(method, path, headers, body).await?)
    }

    /// As [`Client::call`], and reads the answer's JSON.
    pub async fn call_json<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<T, CallError> {
        let response = self.call(method, path, body).await?;
        serde_json::from_slice(&response.body)
            .map_err(|error| CallError::Unexpected { path: path.to_owned(), why: error.to_string() })
    }
}

/// Turns an answer that isn't a success into the reason it gives.
pub fn accept(response: Response) -> Result<Response, CallError> {
    if response.is_success() {
        return Ok(response);
    }
    let problem: Problem = serde_json::from_slice(&response.body).unwrap_or_default();
    let detail = problem
        .detail
        .or(problem.title)
        .unwrap_or_else(|| format!("the server answered {}", response.status));
    Err(CallError::Refused { status: response.status, code: problem.code, detail })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Response {
        Response::new(
            status,
            Bytes::from_static(b"HTTP/1.1 000 X\r\n\r\n"),
            Bytes::from_static(body.as_bytes()),
        )
    }

    #[test]
    fn a_refusal_speaks_with_the_problems_detail() {
        let body = r#"{"status":404,"title":"Not Found","detail":"topic 'x' does not exist","code":"TOPIC_NOT_FOUND"}"#;
        let error = accept(answer(404, body)).unwrap_err();
        assert_eq!(error.to_string(), "topic 'x' does not exist");
        assert_eq!(error.status(), Some(404));
        assert!(matches!(error, CallError::Refused { code: Some(code), .. } if code == "TOPIC_NOT_FOUND"));
    }

    #[test]
    fn a_refusal_without_a_problem_document_says_its_status() {
        assert_eq!(accept(answer(502, "<html>")).unwrap_err().to_string(), "the server answered 502");
        assert!(accept(answer(204, "")).is_ok());
    }
}
