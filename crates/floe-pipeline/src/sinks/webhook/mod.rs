//! HTTP requests, signed as Standard Webhooks says. Delivered when the receiver has answered 2xx; what was answered too
//! late or not at all is sent again with the same `webhook-id`, by which receivers can tell.

mod answer;
mod config;
mod guard;
mod signature;

use std::{fmt, net::IpAddr, sync::Arc};

use floe_store::PositionKey;
use reqwest::{
    Client, Request, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect::Policy,
};
use time::OffsetDateTime;

use answer::Verdict;
pub use config::{Secrets, WebhookSpec};
pub use guard::{AllowPrivate, Network};
use guard::{Forbidden, Guard};
use signature::Signer;

use super::{Batch, DeliveryError, Outgoing, line};

const USER_AGENT: &str = concat!("floe/", env!("CARGO_PKG_VERSION"));

#[derive(Clone, Debug)]
pub(crate) struct WebhookSink {
    shared: Arc<Shared>,
}

struct Shared {
    url: Url,
    label: String,
    client: Client,
    signers: Vec<Signer>,
    headers: HeaderMap,
    whole_batches: bool,
}

impl fmt::Debug for Shared {
    /// The address may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("label", &self.label).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct WebhookHold {
    key: PositionKey,
    shared: Arc<Shared>,
}

impl WebhookSink {
    pub(crate) fn open(spec: &WebhookSpec) -> Result<Self, String> {
        Self::open_with(spec, Guard::new(spec.allow_private.clone()))
    }

    fn open_with(spec: &WebhookSpec, guard: Guard) -> Result<Self, String> {
        spec.check_times()?;
        let url = spec.target()?;
        if ip_of(&url).is_some_and(|address| !spec.allow_private.permits(address)) {
            let why = "webhook: 'url' has an address that isn't public; 'allow_private' can allow it";
            return Err(why.to_owned());
        }
        let mut client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(spec.timeout)
            .connect_timeout(spec.connect_timeout)
            .dns_resolver(guard);
        if url.scheme() == "http" {
            // Redirects aren't followed, so no certificate is ever looked at: none have to be there.
            client = client.tls_certs_only([]);
        }
        let client =
            client.build().map_err(|error| format!("webhook: no HTTP client: {}", root_cause(&error)))?;
        let shared = Shared {
            label: label(&url),
            url,
            client,
            signers: spec.signers()?,
            headers: spec.header_map()?,
            whole_batches: spec.batch,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn label(&self) -> String {
        self.shared.label.clone()
    }

    pub(crate) fn claim(&self, key: &PositionKey) -> WebhookHold {
        WebhookHold { key: key.clone(), shared: Arc::clone(&self.shared) }
    }
}

/// The address in a URL, if its host is one. Its parser has read decimal, octal and hexadecimal forms by now.
fn ip_of(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Without query and fragment, where tokens tend to be.
fn label(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    format!("webhook {shown}")
}

/// What is sent in one request.
struct Message {
    id: String,
    body: Vec<u8>,
    content_type: HeaderValue,
    offset: i64,
}

impl WebhookHold {
    pub(crate) async fn deliver(&mut self, batch: &Batch) -> Result<(), DeliveryError> {
        if self.shared.whole_batches {
            return self.deliver_whole(&batch.records).await;
        }
        for (delivered, record) in batch.records.iter().enumerate() {
            match self.send(self.message(record)).await? {
                Verdict::Taken => {}
                Verdict::Later { error, after } => {
                    return Err(DeliveryError::Retry { delivered, error, after });
                }
                Verdict::Never(why) => {
                    return Err(DeliveryError::Poison { delivered, records: vec![(delivered, why)] });
                }
                Verdict::Gone(why) => return Err(DeliveryError::Fatal(why)),
            }
        }
        Ok(())
    }

    /// A batch that the receiver will never take is sent in halves, until the record that is the reason stands alone.
    async fn deliver_whole(&self, records: &[Outgoing]) -> Result<(), DeliveryError> {
        let (mut delivered, mut count) = (0, records.len());
        while delivered < records.len() {
            let some = &records[delivered..(delivered + count).min(records.len())];
            match self.send(self.message_of_many(some)).await? {
                Verdict::Taken => delivered += some.len(),
                Verdict::Later { error, after } => {
                    return Err(DeliveryError::Retry { delivered, error, after });
                }
                Verdict::Never(_) if some.len() > 1 => count = some.len().div_ceil(2),
                Verdict::Never(why) => {
                    return Err(DeliveryError::Poison { delivered, records: vec![(delivered, why)] });
                }
                Verdict::Gone(why) => return Err(DeliveryError::Fatal(why)),
            }
        }
        Ok(())
    }

    fn message(&self, record: &Outgoing) -> Message {
        let body = record.value.as_deref().unwrap_or_default();
        let given = record.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        let given = given.and_then(|header| HeaderValue::from_bytes(header.value.as_deref()?).ok());
        let content_type = given.unwrap_or_else(|| {
            HeaderValue::from_static(if line::is_json(body) {
                "application/json"
            } else {
                "application/octet-stream"
            })
        });
        let id = super::record_id(&self.key.topic, self.key.partition, record);
        Message { id, body: body.to_vec(), content_type, offset: record.offset }
    }

    fn message_of_many(&self, records: &[Outgoing]) -> Message {
        let mut body = vec![b'['];
        for (at, record) in records.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            line::write_value(&mut body, record.value.as_ref());
        }
        body.push(b']');
        let place = |record: &Outgoing| format!("{}-{}", record.offset, record.index);
        let (first, last) = (records.first().map(place), records.last().map(place));
        let PositionKey { topic, partition, .. } = &self.key;
        Message {
            id: format!("{topic}-{partition}-{}-to-{}", first.unwrap_or_default(), last.unwrap_or_default()),
            body,
            content_type: HeaderValue::from_static("application/json"),
            offset: records.first().map_or(0, |record| record.offset),
        }
    }

    /// Sends it once.
    async fn send(&self, message: Message) -> Result<Verdict, DeliveryError> {
        let request = match self.request(message) {
            Ok(request) => request,
            Err(why) => return Ok(Verdict::Never(why)),
        };
        match self.shared.client.execute(request).await {
            Ok(response) => Ok(answer::judge(response).await),
            Err(error) => failed(&error),
        }
    }

    fn request(&self, message: Message) -> Result<Request, String> {
        let timestamp = OffsetDateTime::now_utc().unix_timestamp().to_string();
        let Message { id, body, content_type, offset } = message;
        let mut builder = self
            .shared
            .client
            .post(self.shared.url.clone())
            .headers(self.shared.headers.clone())
            .header(CONTENT_TYPE, content_type)
            .header("webhook-id", &id)
            .header("webhook-timestamp", &timestamp)
            .header("floe-topic", &*self.key.topic)
            .header("floe-partition", self.key.partition)
            .header("floe-offset", offset);
        if !self.shared.signers.is_empty() {
            let signature = signature::header(&self.shared.signers, &id, &timestamp, &body);
            builder = builder.header("webhook-signature", signature);
        }
        builder
            .body(body)
            .build()
            .map_err(|error| format!("no request can be made of it: {}", root_cause(&error)))
    }
}

/// No answer: not connected is an outage; connected and no answer (in time) may be this record's doing.
fn failed(error: &reqwest::Error) -> Result<Verdict, DeliveryError> {
    if is_forbidden(error) {
        return Err(DeliveryError::Fatal(format!("the receiver may not be reached: {Forbidden}")));
    }
    if error.is_connect() {
        return Err(DeliveryError::Unavailable(format!(
            "the receiver can't be reached: {}",
            root_cause(error)
        )));
    }
    let error = if error.is_timeout() {
        "the receiver did not answer in time".to_owned()
    } else {
        format!("the receiver broke the connection off: {}", root_cause(error))
    };
    Ok(Verdict::Later { error, after: None })
}

fn is_forbidden(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| cause.is::<Forbidden>())
}

/// The innermost reason. The outer ones repeat the URL, which may hold a token.
fn root_cause(error: &reqwest::Error) -> String {
    let innermost = chain(error).last().map(ToString::to_string);
    super::printable(&innermost.unwrap_or_default())
}

fn chain<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}

#[cfg(test)]
mod tests;
