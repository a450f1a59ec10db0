//! Server-sent events, as far as a watched job needs them: the data of each message.
//!
//! Pieces of the stream end anywhere, also inside a letter, so lines are put together from bytes. A
//! message that its stream's end cuts short is dropped, as the standard says. Names, ids and retry
//! times are not read: the engine sends one kind of message, and [`follow`](super::follow) has its own
//! way to come back.

/// Puts messages together from the pieces of a stream.
#[derive(Debug, Default)]
pub(super) struct Messages {
    line: Vec<u8>,
    data: String,
    any_data: bool,
}

impl Messages {
    /// Takes one piece and returns the data of the messages that it completes.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<String> {
        let mut complete = Vec::new();
        for &byte in piece {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                if std::mem::take(&mut self.any_data) {
                    complete.push(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix("data:") {
                if std::mem::replace(&mut self.any_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_whole_wherever_the_pieces_end() {
        let stream = ": hello\n\nevent: job\ndata: {\"a\":\ndata:\"ü\"}\n\nevent: job\r\ndata: 2\r\n\r\ndata: lost";
        let expected = ["{\"a\":\n\"ü\"}", "2"];
        for size in 1..=stream.len() {
            let mut messages = Messages::default();
            let found: Vec<String> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| messages.take(piece))
                .collect();
            assert_eq!(found, expected, "pieces of {size}");
        }
    }
}
