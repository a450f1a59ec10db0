//! `jobs`: list and show sync jobs with the reason of a failure, cancel them and retry them.
//!
//! There are two ways to jobs. With a token ([`crate::client::jobs`]) the commands ask the engine about the
//! token's organization, from any machine. Without one ([`crate::admin::jobs`]) they read the database,
//! across organizations, which no token may do; operators look for failures that way. What is printed is
//! the same.

use common::config::{DatabaseArgs, SettingErrors};
use common::job::{JobError, JobId, JobStatus};
use serde_json::Value;
use uuid::Uuid;

use crate::admin::{Database, DatabaseAccess};
use crate::arguments::{self, JobSelection};
use crate::client::{Client, Job, Server, follow, print_json, understood, words};
use crate::output::{self, instant, number, optional_instant, text, whole};
use crate::{Error, admin, client};

/// List, show, cancel and retry sync jobs
///
/// With `STRIPE_SYNC_TOKEN` set, these commands ask the engine about the token's organization. Without
/// it, they work on the database and cover all organizations; to unset it for one command, run
/// `env -u STRIPE_SYNC_TOKEN stripe-sync jobs list`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Jobs {
    /// Show the newest jobs
    List(List),
    /// Show a job: its progress, and why it failed
    Show(Show),
    /// Cancel a pending or running job; what it has stored is kept
    Cancel(Cancel),
    /// Retry a failed or cancelled job; it continues where it stopped
    Retry(Retry),
}

/// The two ways to jobs, both of which are looked for.
#[derive(Debug, clap::Args)]
struct Access {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The way that is taken.
enum Way {
    Engine(Client),
    Database(Database),
}

impl Access {
    /// The engine when there is a token, else the database.
    async fn way(self) -> Result<Way, Error> {
        if self.server.has_token() {
            return Ok(Way::Engine(self.server.client().await?));
        }
        let mut problems = SettingErrors::default();
        let access = DatabaseAccess::new(self.database, self.server.into_local());
        let found = access.find(&mut problems).await?;
        if found.is_none() {
            problems.add(
                "STRIPE_SYNC_TOKEN",
                "is also missing; with a token, this command asks a running engine instead",
            );
        }
        let database = problems.finish(found).map_err(admin::Error::from)?;
        Ok(Way::Database(database))
    }
}

/// Which jobs to show.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    selection: JobSelection,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

/// Which job to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The job [default: the newest]
    #[arg(value_name = "JOB", value_parser = arguments::job_id)]
    job_id: Option<Uuid>,
    /// Without a job: the newest of this connection
    #[arg(long, value_name = "ID", conflicts_with = "job_id")]
    connection: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

/// Which job to cancel.
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The job [default: the running job, or else the next pending one]
    #[arg(value_name = "JOB", value_parser = arguments::job_id)]
    job_id: Option<Uuid>,
    /// Without a job: the connection; required if the organization has more than one
    #[arg(long, value_name = "ID", conflicts_with = "job_id")]
    connection: Option<String>,
    /// Print the engine's response as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Which job to retry.
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// The job [default, with a token: the newest that failed or was cancelled]
    #[arg(value_name = "JOB", value_parser = arguments::job_id)]
    job_id: Option<Uuid>,
    /// Without a job: the connection; required if the organization has more than one
    #[arg(long, value_name = "ID", conflicts_with = "job_id")]
    connection: Option<String>,
    /// Watch the job until it ends; needs a token
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

impl Jobs {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<(), Error> {
        match self {
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Cancel(command) => command.run().await,
            Self::Retry(command) => command.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Error> {
        let jobs: Vec<Value> = match self.access.way().await? {
            Way::Engine(client) => client::jobs::list(&client, &self.selection).await?,
            Way::Database(database) => admin::jobs::list(&database, &self.selection).await?,
        };
        if self.json {
            return Ok(print_json(&jobs)?);
        }
        say(&as_table(&understood::<Vec<Job>>(jobs.into())?))
    }
}

impl Show {
    async fn run(self) -> Result<(), Error> {
        let connection = self.connection.as_deref();
        let job = match self.access.way().await? {
            Way::Engine(client) => client::jobs::show(&client, self.job_id, connection).await?,
            Way::Database(database) => {
                admin::jobs::show(&database, self.job_id.map(JobId), connection).await?
            }
        };
        if self.json {
            return Ok(print_json(&job)?);
        }
        say(&shown(&understood(job)?))
    }
}

impl Cancel {
    async fn run(self) -> Result<(), Error> {
        let client = self.server.client().await?;
        let answer = client::jobs::cancel(&client, self.job_id, self.connection).await?;
        if self.json {
            return Ok(print_json(&answer)?);
        }
        let job: Job = understood(answer)?;
        let outcome = if job.status.ended() {
            format!("is {}", job.status.as_str())
        } else {
            "is being cancelled".to_owned()
        };
        say(&format!("job {} ({}) {outcome}", job.job_id, job.job_type))
    }
}

impl Retry {
    async fn run(self) -> Result<(), Error> {
        let way = self.access.way().await?;
        let answer = match &way {
            Way::Engine(client) => {
                client::jobs::retry(client, self.job_id, self.connection).await?
            }
            Way::Database(_) if self.follow => {
                return Err(usage("--follow needs a token; set STRIPE_SYNC_TOKEN"));
            }
            Way::Database(database) => {
                let job_id = self.job_id.ok_or_else(|| {
                    usage("give the id of a job; `stripe-sync jobs list --status failed` shows failed jobs")
                })?;
                admin::jobs::retry(database, JobId(job_id)).await?;
                admin::jobs::show(database, Some(JobId(job_id)), None).await?
            }
        };
        if self.json {
            return Ok(print_json(&answer)?);
        }
        let job: Job = understood(answer)?;
        say(&format!(
            "job {} ({}) is {} again",
            job.job_id,
            job.job_type,
            job.status.as_str()
        ))?;
        match way {
            Way::Engine(client) if self.follow => Ok(follow::follow(&client, &job.job_id).await?),
            _ => Ok(()),
        }
    }
}

fn usage(words: &str) -> Error {
    client::Error::Usage(words.to_owned()).into()
}

fn say(text: &str) -> Result<(), Error> {
    output::print(text).map_err(|cause| client::Error::from(cause).into())
}

fn as_table(jobs: &[Job]) -> String {
    let fields = [
        whole("created", |it: &Job| optional_instant(it.created_at)),
        text("connection", |it| it.connection_id.clone()),
        whole("job", |it| it.job_id.clone()),
        whole("type", |it| it.job_type.clone()),
        text("trigger", |it| it.trigger.clone()),
        whole("status", |it| it.status.as_str().to_owned()),
        number("charges", |it| output::thousands(it.progress.charges_seen)),
        number("requests", |it| output::thousands(it.progress.requests)),
        text("reason", |it| {
            let error = it.error.as_ref();
            error.map(words::code_and_text).unwrap_or_default()
        }),
    ];
    output::table_or("no jobs found", jobs, &fields)
}

fn shown(job: &Job) -> String {
    let created = |at| match job.trigger.as_str() {
        "" => instant(at),
        trigger => format!("{} (trigger: {trigger})", instant(at)),
    };
    let progress = job.progress.percent.map(|percent| {
        let to_go = job.progress.eta_seconds.map(follow::duration);
        let to_go = to_go.map(|eta| format!(", ETA {eta}")).unwrap_or_default();
        format!("{percent:.0} %{to_go}")
    });
    let reason = if job.status.ended() {
        "reason"
    } else {
        "waiting after"
    };
    let lines = output::known([
        ("connection", Some(job.connection_id.clone())),
        ("created", job.created_at.map(created)),
        ("started", job.started_at.map(instant)),
        ("finished", job.finished_at.map(instant)),
        (
            "attempt",
            (job.attempt > 1).then(|| job.attempt.to_string()),
        ),
        ("work", Some(follow::counts(&job.progress))),
        ("progress", progress),
        (reason, job.error.as_ref().map(words::code_and_text)),
        ("what to do", advice(job)),
    ]);
    let status = job.status.as_str();
    let heading = format!("job {} ({}): {status}", job.job_id, job.job_type);
    output::listed(&heading, &lines)
}

/// What a person can do about a job that did not do its work.
fn advice(job: &Job) -> Option<String> {
    let of_key = |error: &JobError| words::of_failed_job(&error.code, &job.connection_id);
    match job.status {
        JobStatus::Failed | JobStatus::Cancelled => {
            let retry = || {
                format!(
                    "`stripe-sync jobs retry {}` continues where it stopped",
                    job.job_id
                )
            };
            Some(job.error.as_ref().and_then(of_key).unwrap_or_else(retry))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(status: &str, error: &Value) -> Job {
        understood(json!({
            "job_id": "019ab000-0000-7000-8000-000000000001", "connection_id": "acme-stripe-acct_1",
            "status": status, "job_type": "full", "trigger": "connect", "attempt": 2,
            "created_at": "2026-11-21T06:00:00Z", "started_at": "2026-11-21T06:00:01Z",
            "finished_at": null, "error": error,
            "progress": {"charges_seen": 12_345, "rows_written": 12_400, "requests": 130,
                         "percent": 42.4, "eta_seconds": 61, "covered": [], "remaining_ranges": []}}))
        .unwrap()
    }

    #[test]
    fn statuses_are_those_of_the_engine() {
        for status in arguments::JOB_STATUSES {
            assert_eq!(status.parse::<JobStatus>().unwrap().as_str(), status);
        }
    }

    #[test]
    fn a_failed_job_is_shown_with_its_reason_and_what_to_do() {
        let error = json!({"code": "stripe_key_invalid", "message": "Stripe refuses the key"});
        assert_eq!(
            shown(&job("failed", &error)),
            "job 019ab000-0000-7000-8000-000000000001 (full): failed\n  \
             connection  acme-stripe-acct_1\n  \
             created     2026-11-21T06:00:00Z (trigger: connect)\n  \
             started     2026-11-21T06:00:01Z\n  \
             attempt     2\n  \
             work        12,345 charges read, 12,400 rows written, 130 requests\n  \
             progress    42 %, ETA 1m 1s\n  \
             reason      stripe_key_invalid: Stripe refuses the key\n  \
             what to do  Replace the key with `stripe-sync connections replace-key --connection acme-stripe-acct_1`."
        );
        let cancelled = shown(&job("cancelled", &Value::Null));
        assert!(
            cancelled.contains("`stripe-sync jobs retry 019ab000"),
            "{cancelled}"
        );
        assert!(!shown(&job("running", &Value::Null)).contains("what to do"));
    }

    #[test]
    fn a_list_of_jobs_has_the_reason_of_a_failure() {
        let error = json!({"code": "internal", "message": "it broke"});
        let text = as_table(&[job("failed", &error), job("completed", &Value::Null)]);
        assert!(text.contains("internal: it broke"), "{text}");
        assert!(text.contains("12,345"), "{text}");
    }
}
