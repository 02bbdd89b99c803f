//! What can be configured.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;

use super::{guard::AllowPrivate, signature::Signer};
use crate::sinks::fields::{self, Secret};

/// HTTP requests, one per record, signed as Standard Webhooks says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// Where to: `https://…` or `http://…`, without user and password. Not shown: it may hold a token.
    pub url: Secret,
    /// `whsec_` and base64 of 24 to 64 bytes, or several of those while a secret is being replaced: each signs.
    #[serde(default)]
    pub secret: Secrets,
    /// For one request, from connecting to the end of the answer.
    #[serde(default = "default_timeout", deserialize_with = "fields::span")]
    pub timeout: Duration,
    /// For connecting.
    #[serde(default = "default_connect_timeout", deserialize_with = "fields::span")]
    pub connect_timeout: Duration,
    /// Sent along with each request.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Private, loopback and other addresses that aren't public are refused unless allowed: `true`, or a list of networks
    /// (`["10.1.0.0/16"]`).
    #[serde(default)]
    pub allow_private: AllowPrivate,
    /// One request for a whole batch: a JSON array of values.
    #[serde(default)]
    pub batch: bool,
}

/// None, one, or several.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a secret, or a list of secrets")]
pub enum Secrets {
    /// Requests are not signed.
    #[default]
    None,
    /// The one.
    One(Secret),
    /// Each signs, so that the receiver may know either.
    Several(Vec<Secret>),
}

const TIMEOUT_MAX: Duration = Duration::from_secs(600);
const SECRETS_MAX: usize = 5;

/// Headers that are Floe's to set, or that belong to the connection.
const RESERVED: [&str; 8] =
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "expect"];

fn default_timeout() -> Duration {
    Duration::from_secs(30)
}

fn default_connect_timeout() -> Duration {
    Duration::from_secs(5)
}

impl WebhookSpec {
    /// The address, if its form is right. Nothing of it is repeated in an error: it may hold a secret.
    pub(super) fn target(&self) -> Result<Url, String> {
        let url = Url::parse(self.url.expose())
            .map_err(|why| format!("webhook: 'url' is not an address: {why}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("webhook: 'url' must begin with https:// or http://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            let why =
                "webhook: 'url' may not hold a user or password; send an Authorization header with 'headers'";
            return Err(why.to_owned());
        }
        Ok(url)
    }

    pub(super) fn signers(&self) -> Result<Vec<Signer>, String> {
        let secrets = match &self.secret {
            Secrets::None => &[],
            Secrets::One(secret) => std::slice::from_ref(secret),
            Secrets::Several(secrets) => secrets.as_slice(),
        };
        if secrets.len() > SECRETS_MAX {
            return Err(format!(
                "webhook: 'secret' has {} secrets, at most {SECRETS_MAX} are taken",
                secrets.len()
            ));
        }
        secrets
            .iter()
            .map(|secret| Signer::new(secret.expose()).map_err(|why| format!("webhook: 'secret' {why}")))
            .collect()
    }

    pub(super) fn header_map(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let shown = name.escape_debug();
            let parsed = HeaderName::try_from(name.as_str())
                .map_err(|_| format!("webhook: '{shown}' in 'headers' is not a header's name"))?;
            let ours = ["webhook-", "floe-"].iter().any(|prefix| parsed.as_str().starts_with(prefix));
            if ours || RESERVED.contains(&parsed.as_str()) {
                return Err(format!("webhook: the header '{shown}' is set by Floe and can't be configured"));
            }
            let mut value = HeaderValue::try_from(value.expose()).map_err(|_| {
                format!("webhook: the value of the header '{shown}' has characters that may not stand there")
            })?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        Ok(headers)
    }

    pub(super) fn check_times(&self) -> Result<(), String> {
        for (name, span) in [("timeout", self.timeout), ("connect_timeout", self.connect_timeout)] {
            if span.is_zero() || span > TIMEOUT_MAX {
                return Err(format!("webhook: '{name}' must be above 0 and at most 10m"));
            }
        }
        Ok(())
    }
}
