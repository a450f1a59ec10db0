//! The shell of a program: runtime, telemetry, signals, waiting for the database, health.
//!
//! [`run_program`] is what a `main` calls. A first SIGTERM or SIGINT cancels [`Context::shutdown`],
//! upon which the program finishes what it holds and returns; a second signal, or [`GRACE`] going by,
//! ends the process without it. Nothing is lost then: what a program holds is leased, and the lease
//! runs out. An error ends the program and is printed once, with its chain of causes.
//!
//! Programs wait for PostgreSQL and for its migrations rather than fail, so that the order in which
//! machines start does not matter. Absent on purpose: a global token or clock. Both are passed, so
//! that one process can hold several programs, and a test several worlds.

pub mod health;
pub mod http;
pub mod keys;

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use health::DatabaseProbe;
pub use health::{Health, OpsServer, Report, serve_ops};

use crate::clock::{SharedClock, SystemClock};
use crate::config::{self, LogConfig};
use crate::db::Role;
use crate::db::schema::State as SchemaState;
use crate::error_chain::ErrorChain;
use crate::{db, telemetry};

/// How long a program may take to stop after the first signal. Orchestrators commonly kill after 30 s.
pub const GRACE: Duration = Duration::from_secs(25);

/// Bounds of the pause between two looks at a database that is not ready.
const WAIT_PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Why the shell of a program could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the runtime could not be started")]
    Runtime(#[source] io::Error),
    /// An address to listen on was refused.
    #[error("cannot listen on {address} ({setting})")]
    Bind {
        address: std::net::SocketAddr,
        setting: &'static str,
        #[source]
        cause: io::Error,
    },
}

/// What a running program is given besides its settings.
#[derive(Debug, Clone)]
pub struct Context {
    pub clock: SharedClock,
    /// Cancelled when the program is to finish what it holds and return.
    pub shutdown: CancellationToken,
}

impl Context {
    /// A context with this clock and a token of its own.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            shutdown: CancellationToken::new(),
        }
    }

    /// A context with the machine's clock.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock))
    }

    /// Sleeps for `pause`; false when the program is to stop, which ends the sleep.
    pub async fn sleep(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// Does once what a process needs before it opens connections: the TLS provider and the metrics
/// recorder. Later calls change nothing.
pub fn prepare_process() {
    // Refused when one is installed already, which is then the one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Err(cause) = telemetry::init_metrics() {
        warn!(error = %cause, "metrics are not recorded");
    }
}

/// Runs a program from its settings to its end: reports wrong settings, starts the runtime and
/// telemetry, passes signals on and prints what went wrong.
///
/// `log` finds the log settings among the others.
pub fn run_program<C, E, F>(
    program: &'static str,
    config: Result<C, config::Error>,
    log: impl FnOnce(&C) -> &LogConfig,
    run: impl FnOnce(C, Context) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), E>>,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    let config = match config {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{program}: {problems}");
            return ExitCode::from(2);
        }
    };
    telemetry::init_logs(log(&config));
    prepare_process();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(cause) => return failed(program, &Error::Runtime(cause)),
    };
    let code = runtime.block_on(async {
        info!(program, version = env!("CARGO_PKG_VERSION"), "starting");
        let context = Context::system();
        let upkeep = tokio::spawn(telemetry::keep_metrics());
        let outcome = tokio::select! {
            outcome = run(config, context.clone()) => outcome.map_err(Into::into),
            code = stop_on_signals(&context.shutdown) => {
                warn!(program, "stopping without waiting any longer");
                return code;
            }
        };
        upkeep.abort();
        match outcome {
            Ok(()) => {
                info!(program, "stopped");
                ExitCode::SUCCESS
            }
            Err(cause) => failed(program, &*cause),
        }
    });
    // Blocking work that still runs must not hold the process.
    runtime.shutdown_background();
    code
}

fn failed(program: &str, cause: &(dyn StdError + 'static)) -> ExitCode {
    error!(program, error = %ErrorChain(cause), "failed");
    ExitCode::FAILURE
}

/// Cancels the token at the first signal; returns when the process is to end regardless.
async fn stop_on_signals(shutdown: &CancellationToken) -> ExitCode {
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        warn!("signals cannot be handled; the process stops at once when it is asked to");
        return std::future::pending().await;
    };
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    let name = next().await;
    info!(signal = name, grace_secs = GRACE.as_secs(), "stopping");
    shutdown.cancel();
    // Outlasting the grace is a failure to stop; a person who asks twice gets what was asked for.
    tokio::select! {
        _ = next() => ExitCode::from(130),
        () = tokio::time::sleep(GRACE) => ExitCode::FAILURE,
    }
}

/// Waits until PostgreSQL is there, its schema is this program's and `pool` may take its role. False
/// when the program is to stop instead. Says what it waits for whenever that changes.
pub async fn wait_until_migrated(pool: &db::Pool, role: Role, context: &Context) -> bool {
    let probe = DatabaseProbe::new(pool, role);
    let mut pause = WAIT_PAUSE.0;
    loop {
        let mut found = probe.probe().await;
        if matches!(found, Ok(SchemaState::Ready))
            && let Err(cause) = pool.acquire().await
        {
            found = Err(cause.into());
        }
        if matches!(found, Ok(SchemaState::Ready)) {
            return !context.shutdown.is_cancelled();
        }
        probe.log_changes(&found);
        if !context.sleep(pause).await {
            return false;
        }
        pause = (pause * 2).min(WAIT_PAUSE.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shutdown_ends_a_sleep() {
        let context = Context::system();
        assert!(context.sleep(Duration::from_millis(1)).await);
        context.shutdown.cancel();
        assert!(!context.sleep(Duration::from_hours(1)).await);
    }
}
