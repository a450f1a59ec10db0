//! Daily aggregates that were answered, kept until any of the connection's aggregates is written again.
//!
//! An entry's key has the version of the aggregates, so an outdated entry is never found, and leaves when it was not asked
//! for or when newer ones need its room.

use std::time::Duration;

use bytes::Bytes;
use chrono::NaiveDate;
use common::tenant::OrganizationId;
use moka::sync::Cache;
use stripe::analytics::daily::Version;

/// Bytes of answers that are kept.
const MAX_CACHE_BYTES: u64 = 64 << 20;
/// What one takes besides.
const ENTRY_OVERHEAD_BYTES: usize = 1024;
/// How long one is kept that nobody asks for.
const CACHE_TIME_TO_IDLE: Duration = Duration::from_mins(10);

/// What was asked for, and who had last written any of the connection's aggregates then.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey {
    pub(crate) organization: OrganizationId,
    pub(crate) connection_id: String,
    pub(crate) dates: (Option<NaiveDate>, Option<NaiveDate>),
    pub(crate) version: Version,
}

/// The days of answers that were given, each in one piece.
pub(crate) type AggregateCache = Cache<CacheKey, Bytes>;

pub(crate) fn new_aggregate_cache() -> AggregateCache {
    let bytes_of = |_: &CacheKey, answer: &Bytes| {
        u32::try_from(answer.len() + ENTRY_OVERHEAD_BYTES).unwrap_or(u32::MAX)
    };
    Cache::builder()
        .weigher(bytes_of)
        .max_capacity(MAX_CACHE_BYTES)
        .time_to_idle(CACHE_TIME_TO_IDLE)
        .build()
}
