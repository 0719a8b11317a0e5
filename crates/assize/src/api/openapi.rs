//! `/openapi.json`, generated from the handlers.

use axum::Json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{
    audit, cache, compare, dry_run, estimates, health, interactions, judges, keys, labels, metrics, otlp, outcomes, platform,
    reviews, scores, spend, tenants, verdicts,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Assize", description = "Judges production LLM traffic at the least cost and reports a number that can be trusted."),
    paths(
        otlp::traces,
        otlp::logs,
        interactions::create,
        interactions::list,
        interactions::show,
        estimates::list,
        verdicts::list,
        outcomes::list,
        spend::list,
        spend::today::show,
        spend::savings::show,
        spend::top::list,
        reviews::create,
        reviews::list,
        reviews::next,
        labels::create,
        labels::list,
        scores::create,
        scores::list,
        keys::projects,
        keys::create_project,
        keys::list,
        keys::create,
        keys::revoke,
        cache::show,
        cache::purge,
        metrics::list,
        metrics::show,
        metrics::put,
        metrics::delete,
        metrics::versions,
        dry_run::run,
        judges::list,
        tenants::list,
        tenants::create,
        tenants::show,
        tenants::patch,
        tenants::delete,
        tenants::put_budget,
        tenants::put_sampling,
        tenants::delete_sampling,
        tenants::disable,
        tenants::enable,
        platform::show,
        platform::put,
        audit::list,
        compare::compare,
        compare::show,
        health::live,
        health::ready,
        health::counters,
        document
    ),
    tags((name = "ingest", description = "Send interactions"), (name = "results", description = "Ask"), (name = "labels", description = "What people say"), (name = "control", description = "Tenants, projects and keys, and who changed what"), (name = "operation", description = "Is it well?")),
    security(("bearer" = []), ("basic" = [])),
    modifiers(&Keys, &Langfuse)
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

/// The same receivers at the paths where Langfuse's exporters look.
struct Langfuse;

impl Modify for Langfuse {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for name in ["traces", "logs"] {
            let Some(mut path) = document.paths.paths.get(&format!("/v1/{name}")).cloned() else { continue };
            if let Some(post) = &mut path.post {
                post.operation_id = Some(format!("langfuse_{name}"));
            }
            document.paths.paths.insert(format!("/api/public/otel/v1/{name}"), path);
        }
    }
}

/// The description of the surface over HTTP.
#[utoipa::path(get, path = "/openapi.json", tag = "operation", security(()), responses((status = 200, body = Object)))]
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
