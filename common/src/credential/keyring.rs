//! The encryption keys of the programs: what seals a secret for one row, and opens it again.
//!
//! Fails when a key is unknown, or when the envelope or its binding was altered; there is no partial
//! result. Deliberately absent: whether a program may seal now, which is [`super::vault`].

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::{CredentialBinding, Error, Sealed};
use crate::clock;

const ENVELOPE_VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const KEY_BYTES: usize = 32;

struct EncryptionKey {
    id: String,
    cipher: Aes256Gcm,
    /// Tells keys of the same id apart; says nothing about the key, which is 256 random bits.
    fingerprint: String,
}

/// The encryption keys: the first seals, all open.
pub struct Keyring(Vec<EncryptionKey>);

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|key| &key.id))
            .finish()
    }
}

impl Keyring {
    /// Reads `id:base64(32 bytes)[,…]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut keys: Vec<EncryptionKey> = Vec::new();
        for (index, part) in text
            .split(',')
            .map(str::trim)
            .filter(|p| !p.is_empty())
            .enumerate()
        {
            let malformed = Error::Malformed {
                position: index + 1,
            };
            let Some((id, encoded)) = part.split_once(':') else {
                return Err(malformed);
            };
            let Ok(bytes) = STANDARD.decode(encoded.trim()).map(Zeroizing::new) else {
                return Err(malformed);
            };
            let id_valid = (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if !id_valid || bytes.len() != KEY_BYTES {
                return Err(malformed);
            }
            if keys.iter().any(|key| key.id == id) {
                return Err(Error::DuplicateId { id: id.to_owned() });
            }
            let Ok(mut key) = Key::<Aes256Gcm>::try_from(bytes.as_slice()) else {
                return Err(malformed);
            };
            let cipher = Aes256Gcm::new(&key);
            key.zeroize();
            keys.push(EncryptionKey {
                id: id.to_owned(),
                cipher,
                fingerprint: fingerprint(&bytes),
            });
        }
        if keys.is_empty() {
            Err(Error::NoKeys)
        } else {
            Ok(Self(keys))
        }
    }

    /// The text of a new keyring with one random key named `id`.
    pub fn generate(id: &str) -> SecretString {
        let key = Zeroizing::new(clock::random_bytes::<KEY_BYTES>());
        format!("{id}:{}", STANDARD.encode(key.as_slice())).into()
    }

    /// The id of the key that seals.
    pub fn sealing_key_id(&self) -> &str {
        &self.0[0].id
    }

    /// The ids of all keys, that of the one that seals first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// Every key as `id/fingerprint`, the one that seals first: what other programs may know of it.
    pub fn announcement(&self) -> Vec<String> {
        let keys = self.0.iter();
        keys.map(|key| format!("{}/{}", key.id, key.fingerprint))
            .collect()
    }

    /// Seals a secret for one binding.
    pub fn seal(&self, secret: &str, binding: CredentialBinding<'_>) -> Result<Sealed, Error> {
        let key = &self.0[0];
        let nonce = clock::random_bytes::<NONCE_BYTES>();
        let ciphertext = key
            .cipher
            .encrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: secret.as_bytes(),
                    aad: &binding.associated_data(),
                },
            )
            .map_err(|_| Error::Tampered)?;
        let mut envelope = vec![ENVELOPE_VERSION, key.id.len() as u8];
        envelope.extend_from_slice(key.id.as_bytes());
        envelope.extend_from_slice(&nonce);
        envelope.extend_from_slice(&ciphertext);
        Ok(Sealed {
            key_id: key.id.clone(),
            envelope,
        })
    }

    /// Opens what was sealed for this binding.
    pub fn open(
        &self,
        envelope: &[u8],
        binding: CredentialBinding<'_>,
    ) -> Result<SecretString, Error> {
        let [ENVELOPE_VERSION, id_length, rest @ ..] = envelope else {
            return Err(Error::Envelope);
        };
        let (id, rest) = rest
            .split_at_checked(usize::from(*id_length))
            .ok_or(Error::Envelope)?;
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(Error::Envelope)?;
        let id = std::str::from_utf8(id).map_err(|_| Error::Envelope)?;
        let key = self
            .0
            .iter()
            .find(|key| key.id == id)
            .ok_or_else(|| Error::UnknownKey { id: id.to_owned() })?;
        let opened = key
            .cipher
            .decrypt(
                &Nonce::from(*nonce),
                Payload {
                    msg: ciphertext,
                    aad: &binding.associated_data(),
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| Error::Tampered)?;
        let text = std::str::from_utf8(&opened).map_err(|_| Error::NotText)?;
        Ok(SecretString::from(text))
    }
}

fn fingerprint(key: &[u8]) -> String {
    const BYTES: usize = 8;
    let mut hash = Sha256::new();
    hash.update(b"stripe-sync key fingerprint");
    hash.update(key);
    hex::encode(&hash.finalize()[..BYTES])
}

#[cfg(test)]
mod tests {
    use super::super::Purpose;
    use super::*;
    use crate::tenant::OrganizationId;
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    fn keyring(ids: &[&str]) -> Keyring {
        let keys: Vec<String> = ids
            .iter()
            .enumerate()
            .map(|(n, id)| format!("{id}:{}", STANDARD.encode([n as u8; 32])))
            .collect();
        Keyring::parse(&keys.join(",")).unwrap()
    }

    fn organization(id: &str) -> OrganizationId {
        OrganizationId::new(id).unwrap()
    }

    #[test]
    fn a_credential_opens_only_where_it_was_sealed() {
        let keys = keyring(&["k0"]);
        let (acme, other) = (organization("acme"), organization("other"));
        let binding = CredentialBinding::api_key(&acme, "acme-stripe-acct_1");
        let sealed = keys.seal("rk_live_secret", binding).unwrap();
        assert_eq!(
            keys.open(&sealed.envelope, binding)
                .unwrap()
                .expose_secret(),
            "rk_live_secret"
        );
        for elsewhere in [
            CredentialBinding {
                organization: &other,
                ..binding
            },
            CredentialBinding {
                connection_id: "acme-stripe-acct_2",
                ..binding
            },
            CredentialBinding {
                purpose: Purpose::WebhookSecret,
                ..binding
            },
        ] {
            assert_eq!(
                keys.open(&sealed.envelope, elsewhere).unwrap_err(),
                Error::Tampered
            );
        }
    }

    #[test]
    fn every_sealing_has_its_own_nonce() {
        let keys = keyring(&["k0"]);
        let acme = organization("acme");
        let binding = CredentialBinding::api_key(&acme, "c");
        assert_ne!(
            keys.seal("same", binding).unwrap(),
            keys.seal("same", binding).unwrap()
        );
    }

    #[test]
    fn older_keys_still_open_and_the_first_seals() {
        let acme = organization("acme");
        let binding = CredentialBinding::api_key(&acme, "c");
        let old = Keyring::parse(&format!("k1:{}", STANDARD.encode([1; 32]))).unwrap();
        let sealed = old.seal("secret", binding).unwrap();
        let both = keyring(&["k0", "k1"]);
        assert_eq!(
            both.open(&sealed.envelope, binding)
                .unwrap()
                .expose_secret(),
            "secret"
        );
        assert_eq!(both.seal("secret", binding).unwrap().key_id, "k0");
        let unknown = keyring(&["k0"])
            .open(&sealed.envelope, binding)
            .unwrap_err();
        assert_eq!(
            unknown,
            Error::UnknownKey {
                id: "k1".to_owned()
            }
        );
    }

    #[test]
    fn fingerprints_distinguish_keys_of_one_id() {
        let key = |byte: u8| STANDARD.encode([byte; 32]);
        let announced = |text: String| Keyring::parse(&text).unwrap().announcement();
        let one = announced(format!("k:{}", key(1)));
        assert_eq!(one, announced(format!("k:{}", key(1))));
        assert_ne!(one, announced(format!("k:{}", key(2))));
        assert!(one[0].starts_with("k/") && one[0].len() == "k/".len() + 16);
    }

    #[test]
    fn invalid_keys_are_reported_by_position_only() {
        let good = STANDARD.encode([7; 32]);
        for (text, error) in [
            (String::new(), Error::NoKeys),
            (
                format!("k:{good},nonsense"),
                Error::Malformed { position: 2 },
            ),
            ("k:c2hvcnQ=".to_owned(), Error::Malformed { position: 1 }),
            (
                format!("k:{good},k:{good}"),
                Error::DuplicateId { id: "k".to_owned() },
            ),
        ] {
            let found = Keyring::parse(&text).unwrap_err();
            assert_eq!(found, error);
            assert!(!found.to_string().contains(&good));
        }
        assert!(!format!("{:?}", keyring(&["k0"])).contains(&good));
    }

    proptest! {
        #[test]
        fn any_altered_byte_is_noticed(secret in "\\PC{1,80}", at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let keys = keyring(&["k0"]);
            let acme = organization("acme");
            let binding = CredentialBinding::api_key(&acme, "c");
            let mut envelope = keys.seal(&secret, binding).unwrap().envelope;
            let index = at.index(envelope.len());
            envelope[index] ^= flip;
            prop_assert!(keys.open(&envelope, binding).is_err());
        }
    }
}
