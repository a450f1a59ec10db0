//! The scheduler's settings. It has no encryption keys and no settings of Stripe: it needs neither.

use std::net::SocketAddr;
use std::str::FromStr;

use chrono::TimeDelta;
use clap::Parser;
use common::config::{
    self, BrokerArgs, BrokerConfig, DatabaseArgs, DatabaseConfig, LogArgs, LogConfig, SettingErrors,
};

const DEFAULT_OPS_BIND: &str = "127.0.0.1:8081";
const DEFAULT_SCHEDULE: &str = "0 */15 * * * *";
const DEFAULT_RETENTION_DAYS: &str = "30";

/// Creates due sync jobs and dispatches those that no consumer has claimed.
#[derive(Debug, Clone, Parser)]
#[command(name = "scheduler", version)]
pub struct Args {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Where health and metrics are served
    #[arg(long, env, default_value = DEFAULT_OPS_BIND, value_name = "ADDRESS")]
    pub ops_bind: String,
    /// When due connections are looked for.
    #[command(flatten)]
    pub schedule: ScheduleArgs,
    #[command(flatten)]
    pub retention: RetentionArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// How long events are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct RetentionArgs {
    /// Days after which webhook events that were applied or ignored are deleted; dead ones are kept
    #[arg(
        long,
        env,
        default_value = DEFAULT_RETENTION_DAYS,
        value_name = "DAYS"
    )]
    pub webhook_retention_days: String,
}

impl RetentionArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<TimeDelta> {
        let text = config::or_default(&self.webhook_retention_days, DEFAULT_RETENTION_DAYS);
        let days = config::parse_number("WEBHOOK_RETENTION_DAYS", text, (1, 3650), problems);
        days.map(|days: u32| TimeDelta::days(days.into()))
    }
}

/// When due connections are looked for.
#[derive(Debug, Clone, clap::Args)]
pub struct ScheduleArgs {
    /// How often the scheduler looks for due connections: cron with six fields, seconds first, in UTC
    #[arg(long, env, default_value = DEFAULT_SCHEDULE, value_name = "CRON")]
    pub sync_schedule: String,
}

#[derive(Debug, Clone)]
pub struct Config {
    pub database: DatabaseConfig,
    pub broker: BrokerConfig,
    /// Where health and metrics are served; none serves them not at all.
    pub ops_bind: Option<SocketAddr>,
    /// When due connections are looked for.
    pub sync_schedule: Schedule,
    /// How long webhook events are kept that need nothing more.
    pub webhook_retention: TimeDelta,
    pub log: LogConfig,
}

impl Args {
    /// The checked settings.
    ///
    /// # Errors
    /// Every setting that is wrong or missing.
    pub fn check(self) -> Result<Config, config::Error> {
        let mut problems = SettingErrors::default();
        let database = self.database.check(&mut problems);
        let broker = self.broker.check(&mut problems);
        let ops_bind = config::or_default(&self.ops_bind, DEFAULT_OPS_BIND);
        let ops_bind = config::parse_bind("OPS_BIND", ops_bind, &mut problems);
        let sync_schedule = self.schedule.check(&mut problems);
        let webhook_retention = self.retention.check(&mut problems);
        let log = self.log.check(&mut problems);
        let assemble = || {
            Some(Config {
                database: database?,
                broker: broker?,
                ops_bind: Some(ops_bind?),
                sync_schedule: sync_schedule?,
                webhook_retention: webhook_retention?,
                log: log?,
            })
        };
        problems.finish(assemble())
    }
}

impl ScheduleArgs {
    pub fn check(self, problems: &mut SettingErrors) -> Option<Schedule> {
        let text = config::or_default(&self.sync_schedule, DEFAULT_SCHEDULE);
        let expected = "a cron expression of six fields, seconds first, such as `0 */15 * * * *`";
        config::parse("SYNC_SCHEDULE", text, expected, problems)
    }
}

/// A cron expression of six fields, in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(String);

/// A text that is no cron expression of six fields.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a cron expression of six fields, seconds first")]
pub struct InvalidSchedule;

impl Schedule {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self(DEFAULT_SCHEDULE.to_owned())
    }
}

impl FromStr for Schedule {
    type Err = InvalidSchedule;

    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        let fields = text.split_whitespace().count();
        // Understood by the very library that will run it.
        let understood = tokio_cron_scheduler::Job::new(text, |_, _| ()).is_ok();
        if fields == 6 && understood {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSchedule)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_six_fields() {
        for (text, valid) in [
            ("0 */15 * * * *", true),
            ("30 0 4 * * MON-FRI", true),
            ("*/15 * * * *", false),
            ("0 */15 * * * * 2026", false),
            ("0 61 * * * *", false),
            ("every day", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Schedule>().is_ok(), valid, "{text:?}");
        }
        assert_eq!(DEFAULT_SCHEDULE.parse(), Ok(Schedule::default()));
    }

    #[test]
    fn wrong_settings_are_reported_together() {
        let args = Args::try_parse_from([
            "scheduler",
            "--database-url=redis://x",
            "--amqp-url=x",
            "--ops-bind=8081",
            "--sync-schedule=hourly",
            "--log-format=xml",
        ]);
        let error = args.unwrap().check().unwrap_err();
        let named: Vec<_> = error
            .problems()
            .iter()
            .map(|problem| problem.setting)
            .collect();
        assert_eq!(
            named,
            [
                "DATABASE_URL",
                "AMQP_URL",
                "OPS_BIND",
                "SYNC_SCHEDULE",
                "LOG_FORMAT"
            ]
        );
    }
}
