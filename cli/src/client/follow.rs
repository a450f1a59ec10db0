//! Watching a job until it ends: a progress bar on a terminal, plain lines elsewhere.
//!
//! The engine streams the job's changes. When the stream breaks, because the engine restarts for one,
//! it is opened again, and only a minute without any news gives up; a refusal gives up at once.
//! Watching changes nothing, so leaving with Ctrl-C leaves the job alone.

use std::io::IsTerminal as _;
use std::time::Duration;

use common::job::{JobError, JobStatus};
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::responses::{Job, Progress};
use super::server_sent_events::Messages;
use super::{Client, Error, words};
use crate::output;

const RECONNECT_FOR: Duration = Duration::from_mins(1);
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// Plain lines come no faster than this.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Shows a job until it has ended.
///
/// # Errors
/// Also when it ends otherwise than completed.
pub(crate) async fn follow(client: &Client, job_id: &str) -> Result<(), Error> {
    let mut view = View::new();
    let mut last_news = Instant::now();
    let job = loop {
        match watch(client, job_id, &mut view, &mut last_news).await {
            Ok(Some(ended)) => break ended,
            Ok(None) => {}
            Err(error) if error.is_transient() && last_news.elapsed() < RECONNECT_FOR => {}
            Err(error) => {
                view.close();
                return Err(error);
            }
        }
        tokio::time::sleep(REOPEN_AFTER).await;
    };
    view.close();
    if job.status != JobStatus::Completed {
        return Err(Error::JobEnded {
            outcome: outcome(&job),
            job_id: job.job_id,
        });
    }
    output::print(&format!("{} job {}", job.job_type, outcome(&job)))?;
    Ok(())
}

/// [`follow`], if that was asked for.
pub(super) async fn follow_if(wanted: bool, client: &Client, job_id: &str) -> Result<(), Error> {
    if wanted {
        follow(client, job_id).await
    } else {
        Ok(())
    }
}

/// Shows what one stream says; none when it ended before the job.
async fn watch(
    client: &Client,
    job_id: &str,
    view: &mut View,
    last_news: &mut Instant,
) -> Result<Option<Job>, Error> {
    let response = client
        .stream(&["v1", "sync-jobs", job_id, "events"])
        .await?;
    let mut pieces = response.bytes_stream();
    let mut messages = Messages::default();
    *last_news = Instant::now();
    while let Some(piece) = pieces.next().await {
        *last_news = Instant::now();
        for data in messages.take(&piece.map_err(Error::unreadable)?) {
            let job: Job = serde_json::from_str(&data).map_err(Error::Message)?;
            if job.status.ended() {
                return Ok(Some(job));
            }
            view.show(&job)?;
        }
    }
    Ok(None)
}

/// How a job ended, in words.
fn outcome(job: &Job) -> String {
    let counts = counts(&job.progress);
    match (job.status, &job.error) {
        (JobStatus::Completed, _) => format!("completed: {counts}"),
        (JobStatus::Failed, Some(error)) => {
            format!(
                "failed after {counts}: {} ({})",
                words::of_job_error(error),
                output::plain(&error.code)
            )
        }
        (status, _) => format!("{} after {counts}", status.as_str()),
    }
}

pub(crate) fn counts(progress: &Progress) -> String {
    format!(
        "{} read, {} written, {}",
        output::count(progress.charges_seen, "charge"),
        output::count(progress.rows_written, "row"),
        output::count(progress.requests, "request")
    )
}

/// How far a job has come, in one line.
pub(super) fn progress_line(job: &Job) -> String {
    let state = format!("{} {}", job.job_type, job.status.as_str());
    if job.status == JobStatus::Pending {
        return state;
    }
    let percent = job
        .progress
        .percent
        .map(|percent| format!(" {percent:.0} %"));
    let mut parts = vec![state + &percent.unwrap_or_default(), counts(&job.progress)];
    parts.extend(
        job.progress
            .eta_seconds
            .map(|eta| format!("ETA {}", duration(eta))),
    );
    let waiting = |error: &JobError| format!("waiting after: {}", words::of_job_error(error));
    parts.extend(
        job.error
            .as_ref()
            .filter(|_| !job.status.ended())
            .map(waiting),
    );
    parts.join(", ")
}

/// A number of seconds as `1h 2m 3s`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0).ceil()).unwrap_or(Duration::MAX);
    humantime::format_duration(whole).to_string()
}

enum View {
    Bar(ProgressBar),
    Lines {
        last: String,
        shown_at: Option<Instant>,
    },
}

impl View {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() || !std::io::stdout().is_terminal() {
            return Self::Lines {
                last: String::new(),
                shown_at: None,
            };
        }
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} [{bar:30}] {msg}");
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> "),
        );
        bar.enable_steady_tick(Duration::from_millis(120));
        Self::Bar(bar)
    }

    fn show(&mut self, job: &Job) -> Result<(), Error> {
        let line = progress_line(job);
        match self {
            Self::Bar(bar) => {
                bar.set_position(job.progress.percent.unwrap_or(0.0).clamp(0.0, 100.0) as u64);
                bar.set_message(line);
            }
            Self::Lines { last, shown_at } => {
                let soon = shown_at.is_some_and(|at| at.elapsed() < LINE_INTERVAL);
                if !soon && line != *last {
                    output::print(&line)?;
                    *shown_at = Some(Instant::now());
                    *last = line;
                }
            }
        }
        Ok(())
    }

    fn close(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(json: &str) -> Job {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn progress_is_one_line_with_an_eta() {
        let running = job(
            r#"{"job_id": "1", "status": "running", "job_type": "full", "progress":
                {"charges_seen": 12345, "rows_written": 12400, "requests": 130, "percent": 42.4,
                 "eta_seconds": 61, "covered": null, "remaining_ranges": []}, "error": null}"#,
        );
        assert_eq!(
            progress_line(&running),
            "full running 42 %, 12,345 charges read, 12,400 rows written, 130 requests, ETA 1m 1s"
        );
        let pending = job(r#"{"job_id": "1", "status": "pending", "job_type": "full"}"#);
        assert_eq!(progress_line(&pending), "full pending");
    }

    #[test]
    fn an_end_says_how_and_why() {
        let failed = job(r#"{"job_id": "1", "status": "failed", "job_type": "full",
                "error": {"code": "stripe_key_invalid", "message": "Stripe refused the key"}}"#);
        assert_eq!(
            outcome(&failed),
            "failed after 0 charges read, 0 rows written, 0 requests: Stripe refused the key \
             (stripe_key_invalid)"
        );
        let cancelled = job(r#"{"job_id": "1", "status": "cancelled", "job_type": "full"}"#);
        assert!(outcome(&cancelled).starts_with("cancelled after 0 charges"));
    }

    #[test]
    fn odd_durations_are_shown_too() {
        assert_eq!(duration(0.2), "1s");
        assert_eq!(duration(-3.0), "0s");
        assert!(!duration(f64::MAX).is_empty());
    }
}
