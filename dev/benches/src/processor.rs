//! Processor time, which says more than a wall clock on a machine that does other things as well, and shows who
//! shared the processors: the simulated Stripe (this process), PostgreSQL, the engine's programs.
//!
//! Read from Linux's /proc; not a number where that does not tell.

use std::fs;

use sqlx::PgPool;

/// What Linux counts processor time in, on every architecture that it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// What /proc tells of a process: its parent, its own ticks, and those of its children that ended.
struct ProcessStat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

fn read_stat(process: &str) -> Option<ProcessStat> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name, in parentheses, may hold blanks.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(ProcessStat {
        parent: fields.get(1)?.parse().ok()?,
        own: ticks(11)? + ticks(12)?,
        ended_children: ticks(13)? + ticks(14)?,
    })
}

/// Seconds that this process, and so the simulated Stripe, has used so far.
pub(crate) fn of_this_process() -> f64 {
    read_stat("self").map_or(f64::NAN, |read_stat| {
        read_stat.own as f64 / TICKS_PER_SECOND
    })
}

/// Seconds that all of PostgreSQL's processes have used so far.
pub(crate) async fn of_postgres(pool: &PgPool) -> f64 {
    let backend = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
    let Ok(backend) = backend.fetch_one(pool).await else {
        return f64::NAN;
    };
    let server = read_stat(&backend.to_string()).map(|read_stat| read_stat.parent);
    let Some((server, whole)) = server.and_then(|pid| Some((pid, read_stat(&pid.to_string())?)))
    else {
        return f64::NAN;
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = processes
        .filter_map(|entry| read_stat(entry.file_name().to_str()?))
        .filter(|child| child.parent == server)
        .map(|child| child.own);
    let ticks = whole.own + whole.ended_children + children.sum::<u64>();
    ticks as f64 / TICKS_PER_SECOND
}
