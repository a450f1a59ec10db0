//! Bodies that a task of their own makes, part by part.
//!
//! A transfer may end in order only when the task has said that nothing follows. A task that fails or panics leaves
//! its receiver behind, whose end looks like the end of the answer; the transfer is then aborted instead, which a client
//! can tell from a whole answer. Compression polls a body again after its end, so the stream is fused.

use axum::body::Body;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, future, stream};

#[derive(Debug)]
pub(crate) enum Part {
    Bytes(Bytes),
    /// Nothing follows.
    End,
}

/// The body of the parts up to [`Part::End`]. Parts that end without it end in the error of `lost`.
pub(crate) fn body<E>(
    parts: impl Stream<Item = Result<Part, E>> + Send + 'static,
    lost: impl FnOnce() -> E + Send + 'static,
) -> Body
where
    E: std::error::Error + Send + Sync + 'static,
{
    let lost = stream::once(async { Err(lost()) });
    let bytes = parts.chain(lost).try_take_while(|part| {
        let more = matches!(part, Part::Bytes(_));
        future::ready(Ok(more))
    });
    let bytes = bytes.map_ok(|part| match part {
        Part::Bytes(bytes) => bytes,
        Part::End => Bytes::new(),
    });
    Body::from_stream(bytes.fuse())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    fn lost() -> io::Error {
        io::Error::other("the task is gone")
    }

    async fn read(parts: Vec<Result<Part, io::Error>>) -> Result<Bytes, axum::Error> {
        let (sender, receiver) = mpsc::channel(8);
        for part in parts {
            sender.send(part).await.unwrap();
        }
        drop(sender);
        axum::body::to_bytes(body(ReceiverStream::new(receiver), lost), 100).await
    }

    #[expect(clippy::unnecessary_wraps, reason = "a part of a stream that may fail")]
    fn part(text: &'static str) -> Result<Part, io::Error> {
        Ok(Part::Bytes(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn a_lost_producer_aborts_the_response() {
        let whole = vec![part("a"), part("b"), Ok(Part::End)];
        assert_eq!(read(whole).await.unwrap(), "ab");
        assert!(read(vec![part("a"), part("b")]).await.is_err());
        assert!(read(vec![part("a"), Err(lost())]).await.is_err());
    }

    #[tokio::test]
    async fn a_body_may_be_polled_after_its_end() {
        let (sender, receiver) = mpsc::channel(1);
        sender.send(Ok(Part::End)).await.unwrap();
        let mut bytes = body(ReceiverStream::new(receiver), lost).into_data_stream();
        for _ in 0..3 {
            assert!(bytes.next().await.is_none());
        }
    }
}
