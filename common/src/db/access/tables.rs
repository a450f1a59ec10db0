//! What the program's roles may do: the one description of grants, policies and row-level security.
//!
//! A new table or function is listed here; migrations grant nothing. Nothing here fails or asks the database.

use crate::db::Role;

/// Rights of a role on a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) role: Role,
    pub(super) privileges: &'static [&'static str],
    /// None means the whole table.
    pub(super) columns: &'static [&'static str],
}

const fn grant(role: Role, privileges: &'static [&'static str]) -> Grant {
    Grant {
        role,
        privileges,
        columns: &[],
    }
}

impl Grant {
    const fn on_columns(self, columns: &'static [&'static str]) -> Self {
        Self { columns, ..self }
    }
}

/// A policy besides that of the tenant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) name: &'static str,
    pub(super) command: &'static str,
    /// In alphabetical order.
    pub(super) roles: &'static [Role],
    /// Both expressions as PostgreSQL writes them.
    pub(super) using: &'static str,
    pub(super) check: Option<&'static str>,
}

/// How rows of a table are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowScope {
    /// Each belongs to one organization, whose setting shows it.
    Tenant,
    /// All belong to the engine; policies say who sees them.
    Engine,
    /// Not secrets, or a view of what is, and not under row-level security itself.
    Unrestricted,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) rows: RowScope,
    pub(super) grants: &'static [Grant],
    pub(super) policies: &'static [Policy],
}

const fn table(name: &'static str, grants: &'static [Grant]) -> Table {
    Table {
        name,
        rows: RowScope::Tenant,
        grants,
        policies: &[],
    }
}

impl Table {
    const fn with_policies(self, policies: &'static [Policy]) -> Self {
        Self { policies, ..self }
    }

    const fn with_rows(self, rows: RowScope) -> Self {
        Self { rows, ..self }
    }
}

use Role::{Api, Consumer, Operator, Scheduler, Webhooks};

const READ: &[&str] = &["SELECT"];
const ALL: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE"];

/// What became of an entry of the ledger, and when it is looked up next.
const OUTCOME_OF_ENTRY: &[&str] = &[
    "state",
    "external_id",
    "error_code",
    "error_message",
    "attempts",
    "next_attempt_at",
    "payout_status",
    "arrival_date",
    "read_at",
];

const CONSUMER_ONLY: &[Grant] = &[grant(Consumer, ALL)];
const API_AND_CONSUMER: &[Grant] = &[grant(Api, ALL), grant(Consumer, ALL)];
const CONSUMER_WRITES_API_READS: &[Grant] = &[grant(Api, READ), grant(Consumer, ALL)];

/// The roles see every tenant's rows of a table: work is found across tenants, and what it touches is then
/// read and written under the tenant's setting.
const fn every_tenant(
    command: &'static str,
    roles: &'static [Role],
    check: Option<&'static str>,
) -> Policy {
    Policy {
        name: "every_tenant",
        command,
        roles,
        using: "true",
        check,
    }
}

/// A caller is known by what it bears before its organization is: knowing the hash shows that one row.
const fn bearer(using: &'static str) -> Policy {
    Policy {
        name: "bearer",
        command: "SELECT",
        roles: &[Api],
        using,
        check: None,
    }
}

const BEARER_OF_TOKEN: Policy = bearer(
    "token_hash = decode(NULLIF(current_setting('app.token_hash'::text, true), \
     ''::text), 'hex'::text)",
);
const BEARER_OF_SESSION: Policy = bearer(
    "session_hash = decode(NULLIF(current_setting('app.session_hash'::text, true), \
     ''::text), 'hex'::text)",
);
const BEARER_OF_LINK: Policy = bearer(
    "link_hash = decode(NULLIF(current_setting('app.link_hash'::text, true), \
     ''::text), 'hex'::text)",
);

/// What operators see of every organization.
const OPERATOR: Policy = Policy {
    name: "operator",
    ..every_tenant("SELECT", &[Operator], None)
};

pub(super) const TABLES: &[Table] = &[
    // By what is applied a program knows whether it may begin.
    table(
        "_sqlx_migrations",
        &[
            grant(Api, READ),
            grant(Scheduler, READ),
            grant(Consumer, READ),
            grant(Webhooks, READ),
            grant(Operator, READ),
        ],
    )
    .with_rows(RowScope::Unrestricted),
    table(
        "organizations",
        &[
            grant(Operator, READ),
            grant(Operator, &["UPDATE"]).on_columns(&["platform_fee_basis_points"]),
            // Those that sessions of another application name.
            grant(Api, &["SELECT", "INSERT"]),
            grant(Scheduler, READ),
            grant(Consumer, READ),
            // The plan in force, once billing has read it.
            grant(Api, &["UPDATE"]).on_columns(&["plan"]),
            grant(Consumer, &["UPDATE"]).on_columns(&["plan"]),
        ],
    )
    .with_policies(&[
        every_tenant("SELECT", &[Scheduler], None),
        OPERATOR,
        // What the platform keeps of an organization's transfers is not the organization's to change.
        Policy {
            name: "sets_fee",
            ..every_tenant("UPDATE", &[Operator], Some("true"))
        },
    ]),
    table(
        "api_tokens",
        &[
            grant(Api, &["SELECT", "INSERT"]),
            // Neither the role nor the owner of a token, nor what opens it, can change.
            grant(Api, &["UPDATE"]).on_columns(&["revoked_at", "last_used_at", "suspended_at"]),
            // Lets the key of a subscription sleep, and reads no hash.
            grant(Consumer, READ).on_columns(&["organization_id", "token_id", "suspended_at"]),
            grant(Consumer, &["UPDATE"]).on_columns(&["suspended_at"]),
        ],
    )
    .with_policies(&[BEARER_OF_TOKEN]),
    table(
        "browser_sessions",
        &[
            grant(Api, &["SELECT", "INSERT", "DELETE"]),
            grant(Api, &["UPDATE"]).on_columns(&["last_used_at"]),
            // Deletes those that have expired, and reads no hash.
            grant(Scheduler, &["DELETE"]),
            grant(Scheduler, READ).on_columns(&["last_used_at", "expires_at"]),
        ],
    )
    .with_policies(&[
        every_tenant("ALL", &[Scheduler], Some("true")),
        BEARER_OF_SESSION,
    ]),
    table(
        "sign_in_links",
        &[
            // Made by `stripe-sync sign-in-link` with the rights of the owner.
            grant(Api, &["SELECT", "DELETE"]),
            grant(Scheduler, &["DELETE"]),
            grant(Scheduler, READ).on_columns(&["expires_at"]),
        ],
    )
    .with_policies(&[
        every_tenant("ALL", &[Scheduler], Some("true")),
        BEARER_OF_LINK,
    ]),
    table(
        "platform_connections",
        &[
            grant(Webhooks, READ).on_columns(&[
                "organization_id",
                "connection_id",
                "connector",
                "external_account_id",
                "livemode",
                "paused",
                "problem_code",
                "deleting_at",
                "via_platform",
            ]),
            grant(Api, &["SELECT", "INSERT", "UPDATE"]),
            grant(Scheduler, READ),
            grant(Scheduler, &["UPDATE"]).on_columns(&["next_sync_at"]),
            grant(Consumer, &["SELECT", "UPDATE", "DELETE"]),
        ],
    )
    .with_policies(&[
        every_tenant("ALL", &[Scheduler], Some("true")),
        Policy {
            name: "receives_webhooks",
            ..every_tenant("SELECT", &[Webhooks], None)
        },
    ]),
    table(
        "connection_credentials",
        &[
            grant(Webhooks, READ),
            grant(Api, ALL),
            grant(Scheduler, READ).on_columns(&[
                "organization_id",
                "connection_id",
                "purpose",
                "key_id",
            ]),
            grant(Consumer, &["SELECT", "UPDATE", "DELETE"]),
        ],
    )
    .with_policies(&[
        // Which keys are in use, and for whom, but nothing that they seal.
        every_tenant("SELECT", &[Scheduler], None),
        // What verifies a signature, and no key.
        Policy {
            name: "webhook_secrets",
            command: "SELECT",
            roles: &[Webhooks],
            using: "(purpose <> 'api_key'::text)",
            check: None,
        },
    ]),
    table(
        "connector_filter_rules",
        &[grant(Api, ALL), grant(Consumer, &["SELECT", "DELETE"])],
    ),
    table(
        "saved_questions",
        &[
            grant(Api, ALL),
            // Those that come with a plan.
            grant(Consumer, &["SELECT", "INSERT"]),
        ],
    ),
    table(
        "sync_jobs",
        &[
            // In which state events are.
            grant(Operator, READ).on_columns(&[
                "organization_id",
                "connection_id",
                "status",
                "lease_owner",
                "started_at",
            ]),
            grant(Webhooks, &["SELECT", "INSERT"]),
            grant(Webhooks, &["UPDATE"]).on_columns(&["trigger"]),
            grant(Api, &["SELECT", "INSERT", "UPDATE"]),
            grant(Scheduler, ALL),
            grant(Consumer, &["SELECT", "INSERT", "UPDATE"]),
        ],
    )
    .with_policies(&[
        every_tenant("ALL", &[Consumer, Scheduler, Webhooks], Some("true")),
        OPERATOR,
    ]),
    // A view, under the row-level security of the table below it. UPDATE is the right to lock its rows.
    table(
        "startable_jobs",
        &[
            grant(Scheduler, &["SELECT", "UPDATE"]),
            grant(Consumer, &["SELECT", "UPDATE"]),
        ],
    )
    .with_rows(RowScope::Unrestricted),
    table(
        "stripe_sync_state",
        &[grant(Api, &["SELECT", "INSERT"]), grant(Consumer, ALL)],
    ),
    table("stripe_revenue_data", CONSUMER_WRITES_API_READS),
    table("stripe_daily_aggregates", CONSUMER_WRITES_API_READS),
    table("stripe_aggregate_versions", CONSUMER_WRITES_API_READS),
    table("stripe_daily_rollups", CONSUMER_WRITES_API_READS),
    table("stripe_omitted_value_hashes", CONSUMER_WRITES_API_READS),
    table("stripe_stale_days", CONSUMER_WRITES_API_READS),
    table("stripe_referenced_objects", CONSUMER_WRITES_API_READS),
    table("stripe_metadata_keys", CONSUMER_WRITES_API_READS),
    table("stripe_parked_objects", CONSUMER_WRITES_API_READS),
    table("stripe_out_of_range_charges", CONSUMER_WRITES_API_READS),
    table("stripe_compared_days", CONSUMER_WRITES_API_READS),
    table("stripe_differing_objects", CONSUMER_ONLY),
    table("stripe_purchases", CONSUMER_ONLY),
    table("stripe_disputes", CONSUMER_WRITES_API_READS),
    table("stripe_refunds", CONSUMER_WRITES_API_READS),
    table(
        "stripe_restatements",
        &[
            grant(Api, READ),
            grant(Consumer, ALL),
            // Deletes those that are a year old, and reads no figure.
            grant(Scheduler, &["DELETE"]),
            grant(Scheduler, READ).on_columns(&[
                "organization_id",
                "connection_id",
                "restatement_id",
                "restated_at",
            ]),
        ],
    )
    .with_policies(&[every_tenant("ALL", &[Scheduler], Some("true"))]),
    table(
        "webhook_endpoints",
        &[
            // Which connections need not be polled.
            grant(Scheduler, READ),
            grant(Api, &["SELECT", "INSERT", "DELETE"]),
            grant(Consumer, &["SELECT", "DELETE"]),
            grant(Api, &["UPDATE"]).on_columns(&["paused_by_plan"]),
            grant(Consumer, &["UPDATE"]).on_columns(&["paused_by_plan"]),
            grant(Webhooks, READ),
            grant(Webhooks, &["UPDATE"]).on_columns(&["last_signature_failure_at"]),
        ],
    )
    .with_policies(&[every_tenant("ALL", &[Scheduler, Webhooks], Some("true"))]),
    table(
        "platform_webhook_endpoints",
        &[grant(Api, &["SELECT", "INSERT", "UPDATE"])],
    ),
    table(
        "connected_accounts",
        &[
            grant(Api, ALL),
            grant(Consumer, &["SELECT", "UPDATE"]),
            grant(Webhooks, READ).on_columns(&["organization_id", "account_id"]),
        ],
    )
    .with_policies(&[
        // Whose account an event names, and which accounts are to be read again.
        every_tenant("ALL", &[Consumer, Webhooks], Some("true")),
    ]),
    table(
        "ledger_entries",
        &[
            // What an entry is never changes, and none is deleted.
            grant(Api, &["SELECT", "INSERT"]),
            grant(Consumer, &["SELECT", "INSERT"]),
            grant(Api, &["UPDATE"]).on_columns(OUTCOME_OF_ENTRY),
            grant(Consumer, &["UPDATE"]).on_columns(OUTCOME_OF_ENTRY),
        ],
    )
    .with_policies(&[
        // What is to be settled is found across tenants.
        every_tenant("ALL", &[Consumer], Some("true")),
    ]),
    table(
        "ledger_reconciliations",
        &[
            grant(Api, READ),
            grant(Consumer, &["SELECT", "INSERT", "UPDATE"]),
        ],
    )
    .with_policies(&[every_tenant("ALL", &[Consumer], Some("true"))]),
    table(
        "ledger_differences",
        &[
            grant(Api, READ),
            grant(Consumer, &["SELECT", "INSERT", "DELETE"]),
        ],
    ),
    table(
        "billing_customers",
        &[
            grant(Api, ALL),
            grant(Consumer, &["SELECT", "UPDATE"]),
            grant(Webhooks, READ).on_columns(&["organization_id", "customer_id"]),
        ],
    )
    .with_policies(&[
        // Whose customer an event names, and which customers are to be read again.
        every_tenant("ALL", &[Consumer, Webhooks], Some("true")),
    ]),
    // Read again by either program, and replaced.
    table("billing_subscriptions", API_AND_CONSUMER),
    table("billing_invoices", API_AND_CONSUMER),
    table("billing_payments", API_AND_CONSUMER),
    table("billing_checkouts", API_AND_CONSUMER),
    table("billing_prices", API_AND_CONSUMER),
    table("billing_api_keys", API_AND_CONSUMER),
    table("billing_fulfilments", API_AND_CONSUMER),
    table("billing_repairs", API_AND_CONSUMER),
    table("billing_requests", API_AND_CONSUMER),
    table("billing_trial_cards", API_AND_CONSUMER),
    table(
        "webhook_events",
        &[
            grant(Operator, READ),
            // Deletes old events, of which it reads no more than that they are.
            grant(Scheduler, &["DELETE"]),
            grant(Scheduler, READ).on_columns(&[
                "organization_id",
                "event_id",
                "endpoint_id",
                "connection_id",
                "received_at",
                "status",
                "next_attempt_at",
                "found_by_polling",
            ]),
            // The right to lock rows.
            grant(Scheduler, &["UPDATE"]).on_columns(&["status"]),
            // Events of our own are stored by whoever reads how an organization stands.
            grant(Api, &["SELECT", "INSERT", "UPDATE"]),
            grant(Consumer, ALL),
            // Stores an event and learns whether it was there; what others hold it cannot read.
            grant(Webhooks, &["INSERT"]),
            grant(Webhooks, &["UPDATE"]).on_columns(&["found_by_polling"]),
            grant(Webhooks, READ).on_columns(&[
                "organization_id",
                "event_id",
                "endpoint_id",
                "external_event_id",
                "event_type",
                "found_by_polling",
                "account",
            ]),
        ],
    )
    .with_policies(&[
        every_tenant("ALL", &[Scheduler, Webhooks], Some("true")),
        OPERATOR,
        // Events of the platform's endpoints are found across tenants; no job knows of them.
        Policy {
            name: "platform_endpoints",
            command: "ALL",
            roles: &[Consumer],
            using: "(connection_id IS NULL)",
            check: Some("(connection_id IS NULL)"),
        },
    ]),
    // A view, under the row-level security of the tables below it.
    table(
        "webhook_event_states",
        &[grant(Api, READ), grant(Operator, READ)],
    )
    .with_rows(RowScope::Unrestricted),
    table(
        "webhook_measurements",
        &[
            grant(Operator, READ),
            grant(Api, READ),
            grant(Scheduler, &["SELECT", "DELETE"]),
            grant(Webhooks, &["SELECT", "INSERT", "UPDATE"]),
        ],
    )
    .with_policies(&[
        every_tenant("ALL", &[Scheduler, Webhooks], Some("true")),
        OPERATOR,
    ]),
    table(
        "webhook_forwards",
        &[
            // Whether an event may be deleted.
            grant(Scheduler, READ).on_columns(&["organization_id", "event_id", "status"]),
            grant(Api, &["SELECT", "INSERT", "UPDATE"]),
            // Deliveries are found across tenants; what is sent is then read under the tenant's setting.
            grant(Consumer, &["SELECT", "INSERT", "UPDATE"]),
            grant(Webhooks, &["INSERT"]),
        ],
    )
    .with_policies(&[every_tenant(
        "ALL",
        &[Consumer, Scheduler, Webhooks],
        Some("true"),
    )]),
    table(
        "program_encryption_keys",
        &[grant(Api, ALL), grant(Consumer, ALL)],
    )
    .with_policies(&[Policy {
        name: "every_program",
        command: "ALL",
        roles: &[Api, Consumer],
        using: "true",
        check: Some("true"),
    }])
    .with_rows(RowScope::Engine),
];

/// Functions that run with the caller's rights, and that statements or policies call.
pub(super) const FUNCTIONS: &[&str] = &[
    "bump_aggregate_version",
    "current_organization",
    "delete_daily_rollups_by_ctid",
    "metadata_children",
    "metadata_collect_at",
    "metadata_compact",
    "metadata_descendants",
    "metadata_element",
    "metadata_is_less",
    "metadata_length",
    "metadata_matches",
    "metadata_number",
    "metadata_parse_json",
    "metadata_slice",
    "metadata_text",
    "metadata_texts_at_path",
    "metadata_value_hash",
    "metadata_with_parsed_json",
    "session_by_hash",
    "sign_in_link_by_hash",
    "token_by_hash",
    "webhook_events_matching",
];

/// Functions that run with their owner's rights (`SECURITY DEFINER`), without arguments, and who may call
/// each.
pub(super) const DEFINER_FUNCTIONS: &[(&str, Role)] = &[("analyze_revenue_data", Consumer)];
