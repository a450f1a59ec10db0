//! A job at work: what it has to know of its connection, and what its key may read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use common::connection::{self, Connection, Permission, Warning};
use common::connector::Connector as _;
use common::credential::{self, CredentialBinding};
use common::db::{self, Pool};
use common::filter::RuleSet;
use common::job::lease::{Progress, fenced_progress};
use common::job::schedule::{POLLING_WITH_WEBHOOKS_MINUTES, next_sync_at};
use common::job::{Budget, Fence, Job, Services};
use common::rule;
use common::tenant::OrganizationId;
use common::webhook::endpoint::{self, EndpointStatus};
use common::webhook::queries::endpoint_of;
use sqlx::{Postgres, Transaction};

use super::customer_cache::CustomerCache;
use super::state::{self, SyncState};
use super::stripe_reader::StripeReader;
use super::{Error, JobType, List, parked};
use crate::restatement::{Cause, Causes, Draft, SyncedDays};
use crate::{Stripe, StripeConnector};

/// What rows mean that this version makes. Another name with each change of what is kept of the same objects has the next
/// job read everything again, so that no connection has rows of both meanings.
const MEANING: &str = "meaning_of_2026_11_29";

/// Attempts of a request for an object that an event names: others wait for it meanwhile, and the event is tried again.
const ATTEMPTS_FOR_EVENT: usize = 3;

/// A job at work, with what it needs to know of its connection.
pub(crate) struct Run<'a> {
    pub(crate) services: &'a Services,
    stripe: &'a Stripe,
    event_lag: Duration,
    pub(crate) job: &'a Job,
    pub(crate) budget: &'a Budget,
    pub(crate) fence: Fence,
    pub(crate) connection: Connection,
    pub(crate) rules: RuleSet,
    pub(crate) state: SyncState,
    sealed: Option<Vec<u8>>,
    /// Whether objects are parked that may be readable now.
    pub(crate) has_parked: AtomicBool,
    /// The connection's webhook endpoint.
    pub(crate) webhook_endpoint: Option<String>,
    /// Whether it has ever received an event.
    pub(crate) webhooks_seen: bool,
    /// Whether it seems to receive them all, so that polling may be rare.
    pub(crate) webhooks_work: AtomicBool,
    /// Customers that this run has committed.
    pub(crate) known: Mutex<CustomerCache>,
    /// Why rows change now.
    causes: Mutex<Causes>,
}

impl<'a> Run<'a> {
    pub(crate) async fn load(
        services: &'a Services,
        stripe: &'a Stripe,
        event_lag: Duration,
        job: &'a Job,
        budget: &'a Budget,
    ) -> Result<Self, Error> {
        let organization = &job.job_ref.organization_id;
        budget.may_go_on().await;
        let mut tx = db::tenant_transaction(&services.pool, organization).await?;
        let connection = connection::queries::get(&mut tx, organization, &job.connection_id)
            .await?
            .ok_or(Error::NoConnection)?;
        let rules =
            rule::queries::active(&mut tx, organization.as_str(), &job.connection_id).await?;
        let state = state::get(&mut tx, organization, &job.connection_id).await?;
        let parked = parked::count(&mut tx, organization, &job.connection_id).await?;
        let binding = CredentialBinding::api_key(organization, &job.connection_id);
        let sealed = credential::queries::load(&mut tx, binding).await?;
        let endpoint = endpoint_of(&mut tx, organization, &job.connection_id).await?;
        services.commit(tx).await?;
        let status = endpoint.as_ref().map(endpoint::status);
        Ok(Self {
            services,
            stripe,
            event_lag,
            job,
            budget,
            fence: job.fence(),
            rules,
            state,
            sealed,
            has_parked: AtomicBool::new(!parked.is_empty()),
            webhooks_seen: endpoint
                .as_ref()
                .is_some_and(|it| it.last_event_at.is_some()),
            webhooks_work: AtomicBool::new(
                status == Some(EndpointStatus::Receiving) && !connection.under_plan.webhooks_paused,
            ),
            webhook_endpoint: endpoint.map(|it| it.endpoint_id),
            connection,
            known: Mutex::default(),
            causes: Mutex::new(Causes::of(if job.kind == JobType::Full.as_str() {
                Cause::FullSync
            } else {
                Cause::Event
            })),
        })
    }

    pub(crate) fn organization(&self) -> &OrganizationId {
        &self.job.job_ref.organization_id
    }

    pub(crate) fn connection_id(&self) -> &str {
        &self.job.connection_id
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.services.pool
    }

    /// Begins a transaction, once the job may work: not while it has given its slot up and its budget is fast again.
    pub(crate) async fn transaction(&self) -> Result<Transaction<'static, Postgres>, db::Error> {
        self.budget.may_go_on().await;
        db::tenant_transaction(self.pool(), self.organization()).await
    }

    pub(crate) async fn commit(&self, tx: Transaction<'static, Postgres>) -> Result<(), db::Error> {
        self.services.commit(tx).await
    }

    /// When the connection is to be polled next, where this job decides that: rarely while webhooks bring what changes.
    pub(crate) fn next_poll(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let interval = self.connection.sync_interval_minutes;
        if self.webhooks_work.load(Ordering::Relaxed) {
            let saved = TimeDelta::minutes(i64::from(POLLING_WITH_WEBHOOKS_MINUTES - interval));
            Some(next_sync_at(now + saved.max(TimeDelta::zero()), interval))
        } else {
            // Otherwise the schedule has moved it, unless the job took longer than that.
            let overdue = self.connection.next_sync_at <= now;
            overdue.then(|| next_sync_at(now, interval))
        }
    }

    /// What is restated by a transaction: days that were complete before this job, which moves the covered range in its last
    /// transaction.
    pub(crate) fn draft_restatements(&self) -> Draft {
        Draft::of(SyncedDays::of(&self.connection, &self.state))
    }

    /// Why rows change from now on.
    pub(crate) fn note_causes(&self, causes: Causes) {
        *self.causes.lock().unwrap_or_else(PoisonError::into_inner) = causes;
    }

    pub(crate) fn causes(&self) -> MutexGuard<'_, Causes> {
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets which customers were read, since events that are read from now on may be of later changes.
    pub(crate) fn forget_customers(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = CustomerCache::default();
    }

    /// Opens the credential. The only place where a sync holds the key.
    pub(crate) fn source(&self) -> Result<Arc<StripeReader>, Error> {
        let stripe = self.stripe;
        let Connection {
            livemode,
            rate_share,
            via_platform,
            ..
        } = self.connection;
        let key = if via_platform {
            stripe.platform_key().ok_or(Error::NoPlatformKey)?
        } else {
            let sealed = self.sealed.as_ref().ok_or(Error::NoCredential)?;
            let binding = CredentialBinding::api_key(self.organization(), self.connection_id());
            self.services.keyring.open(sealed, binding)?
        };
        let make = || stripe.throttle(livemode, rate_share);
        let mut client = stripe.client(key, self.budget.throttle(rate_share, make));
        if via_platform {
            client = client.for_account(&self.connection.external_account_id);
        }
        if self.job.kind == JobType::Webhook.as_str() {
            client = client.with_attempts(ATTEMPTS_FOR_EVENT);
        }
        Ok(Arc::new(StripeReader::new(
            client,
            &self.services.fail_points,
        )))
    }

    /// Whether the key may read a resource, as far as is known: what is not probed (disputes, balance
    /// transactions, payment intents) is tried, and lost when Stripe refuses it.
    pub(crate) fn may_read(&self, resource: &str) -> bool {
        let Connection {
            permissions,
            warnings,
            ..
        } = &self.connection;
        match permissions.iter().find(|p| p.resource == resource) {
            Some(permission) => permission.granted,
            None => !warnings.iter().any(|warning| {
                warning.code == Warning::PERMISSION_MISSING && warning.resource == resource
            }),
        }
    }

    /// Whether a list is read for this connection.
    pub(crate) fn reads(&self, list: List) -> bool {
        match list {
            List::Charges => true,
            List::PaymentIntents => {
                self.connection.payment_intent_metadata && self.may_read(list.as_str())
            }
            _ => self.may_read(list.as_str()),
        }
    }

    /// Notes that an optional permission is gone, with the warning that says what is lost. What a new key was
    /// found to be allowed meanwhile is left as it is: the refusal was the old one's.
    pub(crate) async fn record_permission_loss(
        &self,
        resource: &'static str,
        hint: &str,
    ) -> Result<(), Error> {
        let (organization, connection_id) = (self.organization(), self.connection_id());
        let mut tx = self.transaction().await?;
        let Connection {
            mut permissions,
            mut warnings,
            ..
        } = connection::queries::get(&mut tx, organization, connection_id)
            .await?
            .ok_or(Error::NoConnection)?;
        if permissions != self.connection.permissions {
            return Ok(());
        }
        let known = permissions.iter_mut().find(|p| p.resource == resource);
        let lost = match known {
            Some(permission) => {
                permission.granted = false;
                permission.hint = Some(hint.to_owned());
                permission.clone()
            }
            None => Permission {
                resource: resource.to_owned(),
                granted: false,
                needed_for: needed_for(resource).to_owned(),
                hint: Some(hint.to_owned()),
            },
        };
        warnings.retain(|warning| {
            warning.code != Warning::PERMISSION_MISSING || warning.resource != resource
        });
        warnings.push(Warning::permission_missing(&lost, StripeConnector.vendor()));
        connection::queries::set_permissions(
            &mut tx,
            organization,
            connection_id,
            &permissions,
            &warnings,
        )
        .await?;
        fenced_progress(&mut tx, &self.fence, Progress::default()).await?;
        self.commit(tx).await?;
        Ok(())
    }

    /// What to inline in an object of a list, as far as the key may read it.
    pub(crate) fn expansions(&self, list: List) -> Vec<&'static str> {
        match list {
            List::Charges => {
                let mut fields = Vec::new();
                if self.may_read("customers") {
                    fields.push("customer");
                }
                if self.may_read("refunds") {
                    fields.push("refunds");
                    if self.may_read("balance_transactions") {
                        fields.push("refunds.data.balance_transaction");
                    }
                }
                fields
            }
            List::Invoices => vec!["payments"],
            List::CheckoutSessions => vec!["line_items"],
            List::Products | List::Prices | List::PaymentIntents | List::Disputes => Vec::new(),
        }
    }

    /// The same for the list itself.
    pub(crate) fn list_expansions(&self, list: List) -> Vec<String> {
        let fields = self.expansions(list);
        fields.iter().map(|field| format!("data.{field}")).collect()
    }

    /// What rows are made of, as far as the key may read it, and what they mean: rows made of or meaning something else would
    /// differ.
    pub(crate) fn listed_resources(&self) -> Vec<String> {
        let fields = self.expansions(List::Charges);
        let lists = List::ALL.into_iter().filter(|list| self.reads(*list));
        let lists = lists.map(List::as_str);
        let all = fields.into_iter().chain(lists).chain([MEANING]);
        all.map(str::to_owned).collect()
    }

    /// How late Stripe may show an event or an object in a list.
    pub(crate) fn lag(&self) -> TimeDelta {
        TimeDelta::from_std(self.event_lag).unwrap_or(TimeDelta::zero())
    }
}

/// What is lost without a resource that connecting does not probe.
fn needed_for(resource: &str) -> &'static str {
    match resource {
        "disputes" => "disputes and their status",
        "payment_intents" => "the metadata of payment intents",
        "balance_transactions" => {
            "telling the released rest of a partial capture from a refund of the same amount"
        }
        _ => "complete rows",
    }
}
