//! The metadata keys that a connection's objects have.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use common::catalogue::{self, CatalogueKey};
use common::filter::MetadataSource;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::input::{Ids, Params};
use crate::problem::ApiError;
use crate::state::ApiState;
