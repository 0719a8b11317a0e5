//! `/openapi.json`, generated from the handlers.

use axum::Json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{estimates, interactions, keys, outcomes, spend, verdicts};

#[derive(OpenApi)]
#[openapi(
    info(title = "Assize", description = "Judges production LLM traffic at the least cost and reports a number that can be trusted."),
    paths(
        interactions::create,
        interactions::list,
        interactions::show,
        estimates::list,
        verdicts::list,
        outcomes::list,
        spend::list,
        keys::projects,
        keys::create_project,
        keys::list,
        keys::create,
        keys::revoke
    ),
    tags((name = "ingest", description = "Send interactions"), (name = "results", description = "Ask"), (name = "control", description = "Projects and keys")),
    security(("bearer" = []), ("basic" = [])),
    modifiers(&Keys)
)]
struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme("basic", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
    }
}

/// The description of the REST surface.
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
