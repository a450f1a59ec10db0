//! What the forms of a connection's page do, as the page confirms it.

use crate::pages::notice::Done;

pub(super) const SYNC: Done = Done::new("sync", "A sync has been started.");
pub(super) const COMPARISON: Done = Done::new(
    "comparison",
    "The comparison has been started. The days show it once it is done.",
);
pub(super) const PAUSE: Done =
    Done::new("pause", "Scheduled syncs are paused. Sync now still works.");
pub(super) const RESUME: Done = Done::new("resume", "Scheduled syncs go on.");
pub(super) const SETTINGS: Done = Done::new("settings", "The settings are saved.");
pub(super) const KEY: Done = Done::new("key", "The key is replaced, and a sync has been started.");
pub(super) const KEY_TEST: Done =
    Done::new("key-test", "The key works. What it may read is up to date.");
pub(super) const WEBHOOK: Done = Done::new("webhook", "The webhook is saved.");
pub(super) const RETRY: Done = Done::new("retry", "The job goes on where it stopped.");
pub(super) const CANCEL: Done =
    Done::new("cancel", "The job is cancelled. What it has read is kept.");
pub(super) const RULE: Done = Done::new(
    "rule",
    "The rules are saved and are being applied to all charges.",
);

pub(super) const ALL: [Done; 11] = [
    SYNC, COMPARISON, PAUSE, RESUME, SETTINGS, KEY, KEY_TEST, WEBHOOK, RETRY, CANCEL, RULE,
];
