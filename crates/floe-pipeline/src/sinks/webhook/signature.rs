//! Signatures as Standard Webhooks has them: HMAC-SHA-256 over `id.timestamp.body`, base64, marked `v1`.

use std::fmt;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// One secret, ready to sign.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

impl Signer {
    /// Of `whsec_<base64>`.
    pub(super) fn new(secret: &str) -> Result<Self, &'static str> {
        let wrong = "must be whsec_ and the base64 of 24 to 64 random bytes";
        let encoded = secret.strip_prefix(PREFIX).ok_or(wrong)?;
        let key = BASE64.decode(encoded.as_bytes()).map_err(|_| wrong)?;
        if !SECRET_BYTES.contains(&key.len()) {
            return Err(wrong);
        }
        Hmac::new_from_slice(&key).map(Self).map_err(|_| wrong)
    }

    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: a signature per secret.
pub(super) fn header(signers: &[Signer], id: &str, timestamp: &str, body: &[u8]) -> String {
    let signatures: Vec<_> = signers.iter().map(|signer| signer.sign(id, timestamp, body)).collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let signer = Signer::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            header(&[signer], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_of_another_form_is_refused_and_never_shown() {
        for bad in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!"] {
            assert!(Signer::new(bad).is_err(), "{bad}");
        }
        let signer = Signer::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(format!("{signer:?}"), "Signer(***)");
    }
}
