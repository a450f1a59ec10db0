//! `webhooks list`, `show` and `replay`: what Stripe sent, what came of it, and applying it again.

use clap::builder::NonEmptyStringValueParser;
use common::webhook::EventState;
use common::webhook::forward::ForwardStatus;
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::responses::{Replayed, WebhookEvent, WebhookForward};
use super::{Ask, Error, words};
use crate::arguments::{self, Received, pairs};
use crate::output::{self, instant, optional, plain, text, whole};

const EVENT_STATES: [&str; 6] = [
    "pending",
    "processing",
    "processed",
    "ignored",
    "failed",
    "dead",
];

/// What events are chosen by.
#[derive(Debug, clap::Args)]
struct Selection {
    /// Only events with this status
    #[arg(long, value_name = "STATUS", value_parser = arguments::one_of::<EventState>(&EVENT_STATES))]
    status: Option<EventState>,
    /// Only events of this type, such as charge.refunded
    #[arg(long = "type", value_name = "TYPE", value_parser = NonEmptyStringValueParser::new())]
    event_type: Option<String>,
    /// Only this connection's
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    #[command(flatten)]
    received: Received,
}

impl Selection {
    /// Its parameters of a request, which are members of a body as well.
    fn members(self) -> Result<Vec<(&'static str, String)>, Error> {
        let received = self
            .received
            .query(["received_from", "received_to"])
            .map_err(Error::Usage)?;
        let others = [
            ("status", self.status.map(|it| it.as_str().to_owned())),
            ("type", self.event_type),
            ("connection_id", self.connection),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?)));
        Ok(others.chain(received).collect())
    }
}

/// Which events to show.
#[derive(Debug, clap::Args)]
pub struct Events {
    #[command(flatten)]
    selection: Selection,
    /// The maximum number, 1 to 10000
    #[arg(long, value_name = "N", default_value = "50", value_parser = arguments::whole_number(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    ask: Ask,
}

/// Which event to show.
#[derive(Debug, clap::Args)]
pub struct Event {
    /// The event's id
    #[arg(value_name = "EVENT", value_parser = arguments::event_id)]
    id: Uuid,
    #[command(flatten)]
    ask: Ask,
}

/// Which events to apply again.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// The event, whatever its status [default: all that match]
    #[arg(value_name = "EVENT", value_parser = arguments::event_id,
          conflicts_with_all = ["status", "event_type", "connection", "from", "to", "dry_run"])]
    event_id: Option<Uuid>,
    #[command(flatten)]
    selection: Selection,
    /// Also deliver the events to the internal handler, whether or not they were delivered before
    #[arg(long)]
    forward: bool,
    /// Only count the events
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    ask: Ask,
}

impl Events {
    pub(super) async fn run(self) -> Result<(), Error> {
        let members = self.selection.members()?;
        let (client, printer) = self.ask.open().await?;
        let path = ["v1", "webhooks", "events"];
        let events: Vec<Value> = client.newest(self.limit, &path, &pairs(&members)).await?;
        printer.print_list(events, as_table)
    }
}

impl Event {
    pub(super) async fn run(self) -> Result<(), Error> {
        let (client, printer) = self.ask.open().await?;
        let id = self.id.to_string();
        let path = ["v1", "webhooks", "events", &id];
        let answer: Value = client.get(&path, &[]).await?;
        let payload = payload(&answer["payload"])?;
        printer.print(answer, |event| {
            format!("{}\n\n{payload}", event_shown(event))
        })
    }
}

impl Replay {
    pub(super) async fn run(self) -> Result<(), Error> {
        let state = self.selection.status.unwrap_or(EventState::Dead);
        let members = self.selection.members()?;
        let (client, printer) = self.ask.open().await?;
        let (_, answer) = if let Some(event_id) = self.event_id {
            let event_id = event_id.to_string();
            let path = ["v1", "webhooks", "events", &event_id, "replay"];
            let body = json!({ "forward": self.forward });
            client.call(Method::POST, &path, Some(&body)).await?
        } else {
            let members = members
                .into_iter()
                .map(|(name, text)| (name.to_owned(), text.into()));
            let mut body: Map<String, Value> = members.collect();
            body.insert("dry_run".to_owned(), self.dry_run.into());
            body.insert("forward".to_owned(), self.forward.into());
            let path = ["v1", "webhooks", "replay"];
            client.call(Method::POST, &path, Some(&body)).await?
        };
        let events = match self.event_id {
            Some(_) => "event".to_owned(),
            None => format!("{} event", state.as_str()),
        };
        let what = match (self.dry_run, self.forward) {
            (true, false) => "would be applied again",
            (true, true) => "would be applied and forwarded again",
            (false, false) => "pending again",
            (false, true) => "pending again, to be forwarded as well",
        };
        let number = if self.dry_run {
            output::count
        } else {
            output::are
        };
        printer.print(answer, |replayed: &Replayed| {
            format!("{} {what}", number(replayed.count, &events))
        })
    }
}

fn as_table(events: &[WebhookEvent]) -> String {
    let fields = [
        whole("received", |it: &WebhookEvent| instant(it.received_at)),
        whole("event", |it| it.event_id.clone()),
        text("type", |it| plain(&it.event_type)),
        text("object", |it| optional(it.object_id.as_deref())),
        whole("status", |it| plain(&it.status)),
        output::number("attempts", |it| output::thousands(it.attempts)),
        text("error", |it| {
            it.error
                .as_ref()
                .map(words::code_and_text)
                .unwrap_or_default()
        }),
    ];
    output::table_or("no webhook events found", events, &fields)
}

fn event_shown(event: &WebhookEvent) -> String {
    let changes = event.changes.iter();
    let changes: Vec<String> = changes
        .map(|it| plain(&format!("{} {}", it.object, it.id)))
        .collect();
    let mut lines = output::known([
        ("Stripe's id", Some(plain(&event.stripe_event_id))),
        ("connection", event.connection_id.as_deref().map(plain)),
        ("object", event.object_id.as_deref().map(plain)),
        ("account", event.account.as_deref().map(plain)),
        ("API version", event.api_version.as_deref().map(plain)),
        ("happened", event.created_at.map(instant)),
        ("received", Some(instant(event.received_at))),
        ("processed", event.processed_at.map(instant)),
        ("attempts", Some(output::thousands(event.attempts))),
        ("next attempt", event.next_attempt_at.map(instant)),
        ("tells the same as", event.twin_of.as_deref().map(plain)),
        ("changed", (!changes.is_empty()).then(|| changes.join(", "))),
    ]);
    for attempt in &event.history {
        let took = (attempt.finished_at - attempt.started_at).as_seconds_f64();
        let mut line = format!(
            "{} at {}, in {took:.3} s",
            attempt.outcome.as_str(),
            output::instant(attempt.started_at)
        );
        if let Some(error) = &attempt.error {
            line = format!("{line}: {}", words::code_and_text(error));
        }
        lines.push(("attempt", line));
    }
    let id = &event.event_id;
    let what_to_do = if event.status == EventState::Dead.as_str() {
        Some(format!(
            "`stripe-sync webhooks replay {id}` applies it again."
        ))
    } else {
        forward_is_dead(event)
            .then(|| format!("`stripe-sync webhooks replay --forward {id}` delivers it again."))
    };
    let error = event.error.as_ref();
    lines.extend(output::known([
        ("error", error.map(words::code_and_text)),
        ("forwarded", event.forward.as_ref().map(forward_shown)),
        ("what to do", what_to_do),
    ]));
    let heading = format!(
        "event {} ({}): {}",
        event.event_id,
        output::plain(&event.event_type),
        output::plain(&event.status)
    );
    output::listed(&heading, &lines)
}

fn forward_is_dead(event: &WebhookEvent) -> bool {
    let forward = event.forward.as_ref();
    forward.is_some_and(|forward| forward.status == ForwardStatus::Dead.as_str())
}

/// What came of delivering an event to the internal handler, in one line.
fn forward_shown(forward: &WebhookForward) -> String {
    let mut parts = vec![output::plain(&forward.status)];
    if let Some(at) = forward.delivered_at {
        parts.push(output::instant(at));
    }
    if forward.attempts != 1 || forward.delivered_at.is_none() {
        parts.push(output::count(forward.attempts, "attempt"));
    }
    if let Some(at) = forward.next_attempt_at {
        parts.push(format!("next {}", output::instant(at)));
    }
    let shown = parts.join(", ");
    match &forward.last_error {
        Some(error) => format!("{shown}: {}", output::plain(error)),
        None => shown,
    }
}

/// The body of a webhook. JSON escapes only some of what a terminal would obey.
fn payload(payload: &Value) -> Result<String, Error> {
    let text = match payload {
        Value::String(text) => text.clone(),
        payload => serde_json::to_string_pretty(payload).map_err(Error::Json)?,
    };
    let lines: Vec<String> = text.lines().map(output::plain).collect();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::requests::understood;
    use serde_json::json;

    fn event(status: &str, error: &Value) -> WebhookEvent {
        understood(json!({
            "event_id": "019ab000-0000-7000-8000-000000000001", "stripe_event_id": "evt_1", "endpoint_id": "whe_1",
            "connection_id": "acme-stripe-acct_1", "type": "charge.refunded", "account": null, "livemode": true,
            "api_version": null, "object_id": "ch_1", "status": status, "created_at": "2026-11-21T06:00:00Z",
            "received_at": "2026-11-21T06:00:01Z", "processed_at": null, "attempts": 5, "error": error,
            "history": [{"handler": "webhook", "started_at": "2026-11-21T06:00:02Z",
                         "finished_at": "2026-11-21T06:00:02.5Z", "outcome": "failed", "error": error}],
            "changes": [{"object": "charge", "id": "ch_1"}]}))
        .unwrap()
    }

    #[test]
    fn statuses_are_those_of_the_engine() {
        for status in EVENT_STATES {
            assert_eq!(status.parse::<EventState>().unwrap().as_str(), status);
        }
    }

    #[test]
    fn a_dead_event_is_shown_with_its_reason_and_how_to_apply_it_again() {
        let error = json!({"code": "internal", "message": "it broke"});
        let dead = event("dead", &error);
        let text = event_shown(&dead);
        assert!(text.contains("error        internal: it broke"), "{text}");
        assert!(text.contains("changed      charge ch_1"), "{text}");
        assert!(text.contains("failed at 2026-11-21"), "{text}");
        assert!(text.contains("in 0.500 s: internal: it broke"), "{text}");
        let replay = "`stripe-sync webhooks replay 019ab000-0000-7000-8000-000000000001`";
        assert!(text.contains(replay), "{text}");
        let table = as_table(&[dead, event("pending", &Value::Null)]);
        assert!(table.contains("internal: it broke"), "{table}");
        assert!(!event_shown(&event("pending", &Value::Null)).contains("what to do"));
        assert_eq!(as_table(&[]), "no webhook events found");
    }

    #[test]
    fn what_came_of_forwarding_an_event_is_shown_in_a_line() {
        let mut shown = event("processed", &Value::Null);
        assert!(!event_shown(&shown).contains("forwarded"));
        let forward = |value| Some(understood(value).unwrap());
        shown.forward = forward(
            json!({"status": "delivered", "attempts": 1, "next_attempt_at": null,
            "last_error": null, "delivered_at": "2026-11-21T06:00:02Z"}),
        );
        let text = event_shown(&shown);
        assert!(
            text.contains("delivered, 2026-11-21") && !text.contains("what to do"),
            "{text}"
        );
        shown.forward = forward(
            json!({"status": "dead", "attempts": 5, "next_attempt_at": null,
            "last_error": "The handler answered 400.", "delivered_at": null}),
        );
        let text = event_shown(&shown);
        let line = "dead, 5 attempts: The handler answered 400.";
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains("`stripe-sync webhooks replay --forward 019ab000"),
            "{text}"
        );
    }

    #[test]
    fn a_payload_does_not_drive_the_terminal() {
        let text = payload(&json!({"name": "\u{9b}31m"})).unwrap();
        assert_eq!(text, "{\n  \"name\": \"\u{fffd}31m\"\n}");
        assert_eq!(payload(&json!("\u{1b}[31m")).unwrap(), "\u{fffd}[31m");
    }
}
