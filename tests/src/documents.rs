//! The code blocks of README and docs, so that a test runs what a reader would paste.
//!
//! A block is found by its document and its language; the nearest heading above says what it is for.

use std::path::Path;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// A fenced code block of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeBlock {
    /// The nearest heading above it; empty before the first.
    pub heading: String,
    /// What stands behind the opening fence, such as `sh`.
    pub language: String,
    /// The text between the fences, as printed.
    pub text: String,
}

/// The fenced code blocks of a document, named by its path from the repository's root, in order.
pub fn code_blocks(document: &str) -> Vec<CodeBlock> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the repository");
    let text = std::fs::read_to_string(root.join(document)).expect("the document can be read");
    blocks_of(&text)
}

fn blocks_of(text: &str) -> Vec<CodeBlock> {
    let mut blocks = Vec::new();
    let (mut heading, mut in_heading) = (String::new(), false);
    let mut open: Option<CodeBlock> = None;
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                heading.clear();
                in_heading = true;
            }
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                open = Some(CodeBlock {
                    heading: heading.clone(),
                    language: language.into_string(),
                    text: String::new(),
                });
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
            Event::Text(part) => match &mut open {
                Some(block) => block.text.push_str(&part),
                None if in_heading => heading.push_str(&part),
                None => {}
            },
            Event::Code(part) if in_heading => heading.push_str(&part),
            _ => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_knows_its_heading_and_language() {
        let text = "# Top\n```\nplain\n```\n## Run `it`\ntext\n```sh\necho a\necho b\n```\n";
        let block = |heading: &str, language: &str, text: &str| CodeBlock {
            heading: heading.to_owned(),
            language: language.to_owned(),
            text: text.to_owned(),
        };
        assert_eq!(
            blocks_of(text),
            [
                block("Top", "", "plain\n"),
                block("Run it", "sh", "echo a\necho b\n")
            ]
        );
    }
}
