//! Requests as API Gateway hands them to a function.

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

const HOST: &str = "a1b2c3.execute-api.eu-central-1.amazonaws.com";

/// Which of its two formats: that of REST APIs, or that of HTTP APIs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Api {
    Rest,
    Http,
}

pub(crate) const BOTH: [Api; 2] = [Api::Rest, Api::Http];

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    method: &'static str,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
    is_base64: bool,
}

impl Event {
    pub(crate) fn get(path: &str) -> Self {
        let headers = vec![("Accept", "*/*".to_owned()), ("Host", HOST.to_owned())];
        Self { method: "GET", path: path.to_owned(), query: vec![], headers, body: None, is_base64: false }
    }

    pub(crate) fn post(path: &str, body: &str) -> Self {
        let event = Self { method: "POST", body: Some(body.to_owned()), ..Self::get(path) };
        event.header("Content-Type", "application/json")
    }

    pub(crate) fn query(mut self, name: &'static str, value: &str) -> Self {
        self.query.push((name, value.to_owned()));
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// With a body of bytes, which don't fit into JSON as they are.
    pub(crate) fn bytes(mut self, body: &[u8]) -> Self {
        self.body = Some(BASE64.encode(body));
        self.is_base64 = true;
        self
    }

    pub(crate) fn of(&self, api: Api) -> Value {
        match api {
            Api::Rest => self.rest(),
            Api::Http => self.http(),
        }
    }

    /// Payload format 1.0, from the stage `prod`, which is in the path that the client has called.
    fn rest(&self) -> Value {
        let several = |pairs: &[(&str, String)]| match pairs {
            [] => Value::Null,
            pairs => pairs.iter().map(|(name, value)| ((*name).to_owned(), json!([value]))).collect(),
        };
        json!({
            "resource": "/{proxy+}",
            "path": self.path,
            "httpMethod": self.method,
            "headers": single(&self.headers, str::to_owned),
            "multiValueHeaders": several(&self.headers),
            "queryStringParameters": single(&self.query, str::to_owned),
            "multiValueQueryStringParameters": several(&self.query),
            "pathParameters": { "proxy": self.path.trim_start_matches('/') },
            "stageVariables": null,
            "requestContext": {
                "resourceId": "abc123", "resourcePath": "/{proxy+}", "httpMethod": self.method,
                "extendedRequestId": "JKJaXmPLvHcESHA=", "requestTime": "10/Mar/2026:18:31:15 +0000",
                "path": format!("/prod{}", self.path), "accountId": "123456789012", "protocol": "HTTP/1.1",
                "stage": "prod", "domainPrefix": "a1b2c3", "requestTimeEpoch": 1_773_167_475_000i64,
                "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
                "identity": { "sourceIp": "192.0.2.7", "userAgent": "curl/8.5.0", "accountId": null },
                "domainName": HOST, "apiId": "a1b2c3",
            },
            "body": self.body,
            "isBase64Encoded": self.is_base64,
        })
    }

    /// Payload format 2.0, from the stage `$default`.
    fn http(&self) -> Value {
        let query: Vec<_> = self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": self.path,
            "rawQueryString": query.join("&"),
            "headers": single(&self.headers, str::to_ascii_lowercase),
            "requestContext": {
                "accountId": "123456789012", "apiId": "a1b2c3", "domainName": HOST, "domainPrefix": "a1b2c3",
                "http": {
                    "method": self.method, "path": self.path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7",
                    "userAgent": "curl/8.5.0",
                },
                "requestId": "JKJaXmPLvHcESHA=", "routeKey": "$default", "stage": "$default",
                "time": "10/Mar/2026:18:31:15 +0000", "timeEpoch": 1_773_167_475_000i64,
            },
            "isBase64Encoded": self.is_base64,
        });
        // this format leaves out what there isn't
        if !self.query.is_empty() {
            event["queryStringParameters"] = single(&self.query, str::to_owned);
        }
        if let Some(body) = &self.body {
            event["body"] = body.as_str().into();
        }
        event
    }
}

fn single(pairs: &[(&str, String)], name_of: impl Fn(&str) -> String) -> Value {
    if pairs.is_empty() {
        return Value::Null;
    }
    let pairs = pairs.iter().map(|(name, value)| (name_of(name), Value::from(value.as_str())));
    Value::Object(pairs.collect::<Map<_, _>>())
}
