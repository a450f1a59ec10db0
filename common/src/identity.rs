//! How a client recognises the engine before it sends a token or a Stripe key.
//!
//! Every API names itself at `/healthz`. An engine that `stripe-sync up` started also has a secret, made at every start
//! and left in a file that only its user can read. It answers a client's random challenge with an HMAC under that secret,
//! which a program that merely took the port cannot do.
//!
//! Nothing here fails. Deliberately absent: any protection on the way to the engine, which is what TLS is for.

use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::clock;

/// By this name an API answers at `/healthz`.
pub const NAME: &str = "stripe-sync";

/// The longest challenge that is answered, in bytes.
pub const MAX_CHALLENGE_BYTES: usize = 128;

/// What a started engine and the clients of its user share.
#[derive(Debug, Clone)]
pub struct EngineSecret(SecretString);

impl EngineSecret {
    /// A new secret of 256 random bits.
    pub fn generate() -> Self {
        Self(hex::encode(clock::random_bytes::<32>()).into())
    }

    /// A secret as [`as_text`](Self::as_text) gave it.
    pub fn from_text(text: SecretString) -> Self {
        Self(text)
    }

    /// The secret itself, to be written where only its user can read it.
    pub fn as_text(&self) -> &SecretString {
        &self.0
    }

    /// The proof that whoever answers `challenge` knows the secret, in hexadecimal.
    pub fn proof(&self, challenge: &str) -> String {
        hex::encode(self.mac(challenge).finalize().into_bytes())
    }

    /// Whether `proof` is the one for `challenge`. Takes equally long for every wrong one.
    pub fn is_proven(&self, challenge: &str, proof: &str) -> bool {
        hex::decode(proof).is_ok_and(|proof| self.mac(challenge).verify_slice(&proof).is_ok())
    }

    fn mac(&self, challenge: &str) -> Hmac<Sha256> {
        let key = self.0.expose_secret().as_bytes();
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        mac.chain_update(challenge)
    }
}

/// A challenge that nobody can have seen before.
pub fn new_challenge() -> String {
    hex::encode(clock::random_bytes::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_an_hmac_of_the_challenge() {
        // RFC 4231, test case 2.
        let secret = EngineSecret::from_text("Jefe".into());
        let proof = secret.proof("what do ya want for nothing?");
        assert_eq!(
            proof,
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn only_the_same_secret_and_challenge_prove_anything() {
        let (secret, other) = (EngineSecret::generate(), EngineSecret::generate());
        let (challenge, another) = (new_challenge(), new_challenge());
        let proof = secret.proof(&challenge);
        assert!(secret.is_proven(&challenge, &proof));
        for wrong in [
            secret.proof(&another),
            other.proof(&challenge),
            proof[..62].to_owned(),
            String::new(),
            "not hexadecimal".to_owned(),
        ] {
            assert!(!secret.is_proven(&challenge, &wrong), "{wrong}");
        }
    }
}
