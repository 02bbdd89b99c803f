//! A way into Kafka over TLS (a certificate made for the occasion) that asks for a user and a password.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::program::{command, find_program};

/// The listener's name.
pub(super) const SECURED: &str = "SECURED";

const USER: &str = "floe";
const PASSWORD: &str = "not a secret";

/// A certificate for 127.0.0.1, signed by itself, and its key; both gone when dropped.
#[derive(Debug)]
pub(super) struct Certificate {
    folder: TempDir,
}

/// How to get in.
#[derive(Debug)]
pub struct Secured {
    port: u16,
    certificate: Certificate,
}

impl Certificate {
    pub(super) fn new() -> Self {
        let folder =
            tempfile::tempdir().unwrap_or_else(|error| panic!("no folder for a certificate: {error}"));
        let certificate = Self { folder };
        let (key, public) = (certificate.file("key.pem"), certificate.file("public.pem"));
        let mut openssl = command(&find_program("openssl", &[], "openssl"), None);
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
        ]);
        openssl
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&public);
        let made = openssl.output().unwrap_or_else(|error| panic!("openssl could not be started: {error}"));
        assert!(made.status.success(), "no certificate: {}", String::from_utf8_lossy(&made.stderr));
        let both = [key, public].map(|file| fs::read_to_string(file).unwrap_or_default()).concat();
        fs::write(certificate.file("both.pem"), both)
            .unwrap_or_else(|error| panic!("the certificate could not be written: {error}"));
        certificate
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the server has to be told.
    pub(super) fn settings(&self) -> [(&'static str, String); 4] {
        let login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
        [
            ("listener.name.secured.ssl.keystore.type", "PEM".to_owned()),
            ("listener.name.secured.ssl.keystore.location", self.file("both.pem").display().to_string()),
            ("listener.name.secured.sasl.enabled.mechanisms", "PLAIN".to_owned()),
            ("listener.name.secured.plain.sasl.jaas.config", format!("{login} user_{USER}=\"{PASSWORD}\";")),
        ]
    }
}

impl Secured {
    pub(super) fn new(port: u16, certificate: Certificate) -> Self {
        Self { port, certificate }
    }

    /// Where clients begin.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What a client of librdkafka has to be told.
    #[must_use]
    pub fn properties(&self) -> [(&'static str, String); 5] {
        [
            ("security.protocol", "SASL_SSL".to_owned()),
            ("sasl.mechanism", "PLAIN".to_owned()),
            ("sasl.username", USER.to_owned()),
            ("sasl.password", PASSWORD.to_owned()),
            ("ssl.ca.location", self.certificate.file("public.pem").display().to_string()),
        ]
    }
}
