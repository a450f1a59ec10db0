//! Rules over charges: applying them to stored rows, and what one would match.

mod preview;
pub mod queries;

pub use preview::{Preview, preview};
