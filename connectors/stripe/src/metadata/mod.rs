//! Metadata in stored rows: whose it is, which of its keys the catalogue has, and how many objects have them.

pub mod queries;
