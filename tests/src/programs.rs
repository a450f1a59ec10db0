//! The programs themselves, as processes: started, killed, asked to stop, and their logs kept for
//! searching.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use stripe_sim::{SimHandle, TruthQuery};
use tempfile::TempDir;

use crate::world::WAIT_TIMEOUT;

const POLL: Duration = Duration::from_millis(50);
/// What Linux counts processor time in, on every architecture that it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// A port that nothing listens on just now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

pub fn binaries() -> PathBuf {
    let folder = binary("stripe-sync");
    folder.parent().expect("a folder").to_owned()
}

/// The path of a program that was built: in the folder of the running program, above `deps` for a test.
pub fn binary(name: &str) -> PathBuf {
    let running = std::env::current_exe().expect("the program's own path");
    let folder = running
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .expect("target/<profile>");
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not built: run tests by make test, benchmarks by make bench",
        path.display()
    );
    path
}

#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
}

impl Program {
    /// Starts a program with these settings and no others; its output is added to `log`.
    pub fn start(name: &str, arguments: &[&str], settings: &[(&str, &str)], log: &Path) -> Self {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file");
        let errors = output.try_clone().expect("a second handle");
        let child = Command::new(binary(name))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("RUST_LOG", "debug,hyper=info,h2=info,sqlx=info")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("the program starts");
        Self {
            name: name.to_owned(),
            child,
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("a program of ours");
        self.child.wait().expect("a program of ours");
    }

    /// SIGTERM, after which it has to end well, soon.
    pub async fn terminate(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, Signal::SIGTERM).expect("a program of ours");
        let status = self.ended().await;
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        poll(&format!("{} to end", self.name), || {
            self.child.try_wait().expect("a child")
        })
        .await
    }

    /// The most memory that it has held so far, in KiB.
    pub fn peak_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).expect("a process of ours");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.expect("Linux tells the peak").trim();
        let kibibytes = peak.strip_suffix(" kB").expect("in KiB");
        kibibytes.parse().expect("a number")
    }

    /// The processor time that it has used so far, its own and the kernel's for it, in seconds.
    pub fn processor_seconds(&self) -> f64 {
        let stat = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(stat).expect("a process of ours");
        // The program's name, in parentheses, may hold blanks.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum();
        ticks as f64 / TICKS_PER_SECOND
    }

    pub fn running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The truth in the words of the API's groups by day.
pub fn truth_by_day(sim: &SimHandle) -> Value {
    let truth = sim
        .first()
        .truth(&TruthQuery::default())
        .expect("a truth of all charges");
    let mut groups = Vec::new();
    for (day, currencies) in truth.days {
        for (currency, figures) in currencies {
            if figures.charges > 0 {
                groups.push(json!({
                    "key": day, "currency": currency, "charges": figures.charges,
                    "units": figures.units_by_lines, "units_decimal": figures.units_decimal(),
                    "gross": figures.gross, "refunded": figures.refunded, "net": figures.net,
                    "disputed_amount": figures.disputed_amount, "dispute_fee": figures.dispute_fee,
                }));
            }
        }
    }
    groups.into()
}

/// Waits until there is an answer.
pub async fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let polled = async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, polled)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// The engine as processes, and a client of it.
#[derive(Debug)]
pub struct Deployment {
    settings: Vec<(String, String)>,
    directory: TempDir,
    pub api_url: String,
    /// An administrator's token of the organization `acme`.
    pub token: String,
    pub programs: Vec<(String, Program)>,
    http: reqwest::Client,
    /// Every answer of the API so far, for searching.
    pub answers: std::cell::RefCell<String>,
}

impl Deployment {
    /// Prepares an engine on a database; starts nothing but what makes the schema and a token.
    pub fn prepare(database_url: &str, amqp_url: Option<&str>, stripe_url: &str) -> Self {
        common::lifecycle::prepare_process();
        let api_port = free_port();
        let key = common::credential::Keyring::generate("k1");
        let mut settings = vec![
            ("DATABASE_URL", database_url.to_owned()),
            (
                "ENCRYPTION_KEYS",
                secrecy::ExposeSecret::expose_secret(&key).to_owned(),
            ),
            ("STRIPE_API_BASE", stripe_url.to_owned()),
            ("API_BIND", format!("127.0.0.1:{api_port}")),
            ("JOB_LEASE_SECONDS", "5".to_owned()),
            ("STRIPE_RATE_TEST", "100".to_owned()),
            ("STRIPE_RATE_ENDPOINT", "100".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        settings.extend(amqp_url.map(|url| ("AMQP_URL", url.to_owned())));
        let mut deployment = Self {
            settings: settings
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            directory: TempDir::new().expect("a directory"),
            api_url: format!("http://127.0.0.1:{api_port}"),
            token: String::new(),
            programs: Vec::new(),
            http: reqwest::Client::builder().build().expect("an HTTP client"),
            answers: std::cell::RefCell::default(),
        };
        deployment.run(&["migrate"]);
        deployment.run(&["org", "create", "acme", "--name", "Acme"]);
        let token = deployment.run(&["token", "create", "--org", "acme"]);
        token.trim().clone_into(&mut deployment.token);
        deployment
    }

    /// Gives the programs that start from now on this setting; without a value they have their own default.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        self.settings.retain(|(known, _)| known != name);
        let value = value.map(|value| (name.to_owned(), value.to_owned()));
        self.settings.extend(value);
    }

    /// The value of a setting that the programs are given.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let mut of_name = self.settings.iter().filter(|(known, _)| known == name);
        of_name.next().map(|(_, value)| value.as_str())
    }

    /// Runs `stripe-sync` with arguments to its end; what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "stripe-sync {arguments:?}: {errors}"
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs `stripe-sync` with arguments, which must fail; what it complained of.
    pub fn run_refused(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!(
            output.status.code(),
            Some(1),
            "stripe-sync {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stderr).expect("text")
    }

    fn output(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(binary("stripe-sync"))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .output()
            .expect("stripe-sync runs")
    }

    /// Starts `api`, `scheduler` or `consumer`.
    pub fn start(&mut self, name: &str) {
        self.start_at(name, &format!("127.0.0.1:{}", free_port()));
    }

    /// The same with this address for its health and metrics.
    pub fn start_at(&mut self, name: &str, ops: &str) {
        self.start_with(name, &[], &[("OPS_BIND", ops)]);
    }

    /// Starts a program with these settings alone, `OPS_BIND` among them.
    pub fn start_as_set(&mut self, name: &str) {
        self.start_with(name, &[], &[]);
    }

    /// Starts `stripe-sync up`, the three in one process.
    pub fn start_up(&mut self) {
        self.start_with("stripe-sync", &["up"], &[]);
    }

    fn start_with(&mut self, name: &str, arguments: &[&str], extra: &[(&str, &str)]) {
        let settings: Vec<(&str, &str)> = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(extra.iter().copied())
            .collect();
        let program = Program::start(name, arguments, &settings, &self.log());
        self.programs.push((name.to_owned(), program));
    }

    /// The running program of this name.
    pub fn program(&self, name: &str) -> &Program {
        let mut of_name = self.programs.iter().filter(|(n, _)| n == name);
        let (_, program) = of_name.next().expect("it was started");
        program
    }

    /// Kills the program of this name with SIGKILL.
    pub fn kill(&mut self, name: &str) {
        self.take(name).kill();
    }

    /// Ends the program of this name with SIGTERM.
    pub async fn stop(&mut self, name: &str) {
        self.take(name).terminate().await;
    }

    /// Waits until the program of this name ends by itself.
    pub async fn ended(&mut self, name: &str) -> std::process::ExitStatus {
        self.take(name).ended().await
    }

    fn take(&mut self, name: &str) -> Program {
        let of_name = self.programs.iter().position(|(n, _)| n == name);
        self.programs.remove(of_name.expect("it was started")).1
    }

    /// The most memory that the program of this name has held so far, in KiB.
    pub fn peak_memory(&self, name: &str) -> u64 {
        self.program(name).peak_memory()
    }

    /// Ends every program with SIGTERM.
    pub async fn terminate(&mut self) {
        for (_, program) in &mut self.programs {
            program.terminate().await;
        }
        self.programs.clear();
    }

    pub fn log(&self) -> PathBuf {
        self.directory.path().join("programs.log")
    }

    /// Asks the API until it answers with a success or an error of the caller's; 5xx and refused
    /// connections are asked again.
    pub async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let asked = async {
            loop {
                let mut request = self
                    .http
                    .request(method.clone(), format!("{}{path}", self.api_url))
                    .bearer_auth(&self.token);
                if let Some(body) = &body {
                    request = request.json(body);
                }
                if let Ok(answer) = request.send().await {
                    let status = answer.status().as_u16();
                    let text = answer.text().await.unwrap_or_default();
                    self.answers.borrow_mut().push_str(&text);
                    if status < 500 {
                        return (status, serde_json::from_str(&text).unwrap_or(Value::Null));
                    }
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, asked)
            .await
            .unwrap_or_else(|_| panic!("{path} never answered"))
    }

    /// `GET`, which must answer 200 in the end.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(reqwest::Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body:#}");
        body
    }

    pub async fn connect(&self, key: &str) -> Value {
        let body = json!({"organization_id": "acme", "api_key": key, "lookback_days": 120});
        let (status, answer) = self
            .ask(
                reqwest::Method::POST,
                "/v1/connectors/stripe/connect",
                Some(body),
            )
            .await;
        assert_eq!(status, 201, "{answer:#}");
        answer
    }

    /// What is answered at this path, once `done` holds of it.
    pub async fn until(&self, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        let polled = async {
            loop {
                let answer = self.get(path).await;
                if done(&answer) {
                    return answer;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(WAIT_TIMEOUT * 2, polled).await {
            Ok(answer) => answer,
            Err(late) => panic!("{late}: waited in vain for {:#}", self.get(path).await),
        }
    }

    /// The job, once `done` holds of it.
    pub async fn job_until(&self, job_id: &Value, done: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/sync-jobs/{}", job_id.as_str().expect("a job's id"));
        self.until(&path, done).await
    }

    /// The job, once it has completed.
    pub async fn job_completed(&self, job_id: &Value) -> Value {
        let ended = |job: &Value| !matches!(job["status"].as_str(), Some("pending" | "running"));
        let job = self.job_until(job_id, ended).await;
        assert_eq!(job["status"], "completed", "{job:#}");
        job
    }

    /// Every day's figures of a connection: `[date, currency, charges, gross, refunded, net]`.
    pub async fn days(&self, connection_id: &str) -> Value {
        let path =
            format!("/v1/analytics/stripe?connection_id={connection_id}&group_by=day&limit=1000");
        self.get(&path).await["groups"].clone()
    }
}
