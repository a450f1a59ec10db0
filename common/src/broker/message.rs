//! What a message says: that a job may be worked on, by its ids and nothing else.
//!
//! The tag carries the version. A consumer that meets a tag it does not know, or bytes that are no
//! message at all, has the broker set them aside; the job itself stays pending in PostgreSQL, so
//! nothing is lost while two versions run side by side. Fields may be added under the same tag.

use serde::{Deserialize, Serialize};

use crate::job::JobRef;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Message {
    /// This job may be claimable.
    #[serde(rename = "job.v1", alias = "sync_job.v1")]
    JobV1(JobRef),
}

impl Message {
    pub fn for_job(job: &JobRef) -> Self {
        Self::JobV1(job.clone())
    }

    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads what was published.
    ///
    /// # Errors
    /// When the bytes are no message, or one of a version that this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    pub fn into_job(self) -> JobRef {
        match self {
            Self::JobV1(job) => job,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01938f5c-0000-7000-8000-000000000001";

    #[test]
    fn a_message_holds_ids_and_a_version_tag() {
        let text = format!(r#"{{"type":"job.v1","organization_id":"acme","job_id":"{ID}"}}"#);
        let message = Message::decode(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(message.encode().unwrap()).unwrap(), text);
        assert_eq!(message.into_job().job_id.to_string(), ID);
    }

    #[test]
    fn later_fields_and_the_former_tag_are_understood() {
        let text = format!(
            r#"{{"type":"sync_job.v1","organization_id":"acme","job_id":"{ID}","lane":"backfill"}}"#
        );
        let job = Message::decode(text.as_bytes()).unwrap().into_job();
        assert_eq!(job.job_id.to_string(), ID);
    }

    #[test]
    fn unknown_messages_are_errors() {
        for text in [
            String::new(),
            "{}".to_owned(),
            "\u{0}".to_owned(),
            format!(r#"{{"type":"job.v2","organization_id":"acme","job_id":"{ID}"}}"#),
            format!(r#"{{"type":"job.v1","organization_id":"Not valid","job_id":"{ID}"}}"#),
            r#"{"type":"job.v1","organization_id":"acme","job_id":"7"}"#.to_owned(),
        ] {
            assert!(Message::decode(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
