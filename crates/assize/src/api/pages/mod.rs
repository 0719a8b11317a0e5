//! The dashboard: fills the views of `ui` and answers with pages.

mod overview;
mod review;
mod session;
mod spend;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use assize_core::control::Scope;
use assize_core::results::Results;
use assize_core::{Dimension, ProjectName, Timestamp};
use axum::Router;
use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures::Stream;
use serde::Deserialize;
use tower_http::set_header::SetResponseHeaderLayer;

use super::auth::{self, Reader};
use super::error::ApiError;
use super::params::Segments;
use super::{Server, interactions};
use crate::access::Principal;
use crate::pipeline::report::{EstimatesQuery, GroupBy, report};
use crate::ui::explore::{Explore, Filters};
use crate::ui::interaction::InteractionPage;
use crate::ui::layout::Layout;
use crate::ui::problem::{self, Problem};
use crate::ui::{assets, explore, interaction, layout, login};

/// Interactions on a page.
const ROWS: usize = 50;
/// Readers of live updates at once.
const LIVE_MAX: usize = 64;
const LIVE_EVERY: Duration = Duration::from_secs(1);

/// The routes of the dashboard.
pub fn router() -> Router<Arc<Server>> {
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/explore", get(list))
        .route(crate::ui::review::PATH, get(review::show).post(review::take))
        .route(crate::ui::review::DRAW_PATH, post(review::draw_more))
        .route(crate::ui::spend::PATH, get(spend::show))
        .route("/interactions", get(show_named))
        .route("/interactions/{id}", get(show))
        .route(layout::EVENTS_PATH, get(events))
        .route(login::PATH, get(session::form).post(session::sign_in))
        .route(layout::LOGOUT_PATH, post(session::sign_out));
    let headers = assets::PAGE_HEADERS.iter().fold(pages, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::if_not_present(HeaderName::from_static(name), HeaderValue::from_static(value)))
    });
    headers.route(assets::ROUTE, get(assets::serve))
}

/// Who looks at the dashboard: an admin. Anybody else is shown the way to the login page.
pub struct Viewer {
    pub who: Principal,
    pub project: ProjectName,
}

#[derive(Deserialize)]
struct ProjectParam {
    project: Option<String>,
}

impl FromRequestParts<Arc<Server>> for Viewer {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Response> {
        let Ok(who) = auth::authorize(&server.access, &parts.headers, Scope::Admin, server.clock().now()) else {
            return Err(Redirect::to(&to_login(&parts.uri)).into_response());
        };
        let named = Query::<ProjectParam>::try_from_uri(&parts.uri)
            .ok()
            .and_then(|Query(param)| param.project)
            .filter(|name| !name.is_empty());
        let project = match named {
            Some(name) => Reader(who.clone()).project(Some(&name)).map_err(page_of_error)?,
            None => busiest(server, &who).await,
        };
        Ok(Self { who, project })
    }
}

/// The key's own project, unless it is empty and another is not: nobody wants to begin on an empty page.
async fn busiest(server: &Server, who: &Principal) -> ProjectName {
    let now = server.clock().now();
    let from = now.minus(Duration::from_secs(7 * 86_400));
    let to = now.plus(Duration::from_secs(3_600));
    let mut best = (0, who.project.clone());
    let own = std::iter::once(who.project.clone());
    for project in own.chain(server.access.projects().into_iter().take(50)) {
        let accepted = server.results.outcomes(&project, from, to).await.map_or(0, |outcomes| outcomes.accepted);
        if accepted > 0 && project == who.project {
            return project;
        }
        if accepted > best.0 {
            best = (accepted, project);
        }
    }
    best.1
}

fn to_login(uri: &Uri) -> String {
    let next = uri.path_and_query().map_or("/", |path| path.as_str());
    crate::ui::link::Href::new(login::PATH).with("next", next).build()
}

impl Viewer {
    /// The frame of a page.
    pub fn layout(&self, server: &Server) -> Layout {
        Layout {
            project: self.project.clone(),
            projects: server.access.projects(),
            now: server.clock().now(),
            simulated: server.pipeline.panels.of_project(&self.project).simulated,
            signed_in: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// An error as a page.
pub fn page_of_error(error: ApiError) -> Response {
    let title = match error.status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::BAD_REQUEST => "This address is not understood",
        _ => "Something went wrong",
    };
    let remedy = match error.status {
        StatusCode::NOT_FOUND => "Go back, or choose another project above.",
        StatusCode::BAD_REQUEST => "Correct the address, or start from the overview.",
        _ => "Try again in a moment; the server's log says more.",
    };
    let problem =
        Problem { status: error.status.as_u16(), title: title.to_owned(), what: error.message, remedy: remedy.to_owned() };
    (error.status, problem::render(&problem)).into_response()
}

async fn list(State(server): State<Arc<Server>>, viewer: Viewer, Query(filters): Query<Filters>) -> Result<Response, Response> {
    let panel = server.pipeline.panels.of_project(&viewer.project);
    let metrics: Vec<_> = panel.policy.metrics.iter().map(|metric| metric.name.clone()).collect();
    let (rows, next, error) = match filters.resolve(&viewer.project, ROWS) {
        Err(error) => (Vec::new(), None, Some(error)),
        Ok(filter) => match server.results.interactions(&filter).await {
            Ok(page) => (page.items.iter().map(explore::Row::from).collect(), page.next, None),
            Err(error) => return Err(page_of_error(error.into())),
        },
    };
    let models = models(&*server.results, &server, &viewer.project).await.unwrap_or_default();
    let view = Explore { layout: viewer.layout(&server), filters, error, metrics, models, rows, next };
    Ok(explore::render(&view).into_response())
}

/// Models seen lately, to choose from.
async fn models(results: &dyn Results, server: &Server, project: &ProjectName) -> Option<Vec<String>> {
    let panel = server.pipeline.panels.of_project(project);
    let now = server.clock().now();
    let query = EstimatesQuery {
        project: project.clone(),
        metric: panel.policy.metrics.first()?.name.clone(),
        from: now.minus(Duration::from_secs(30 * 86_400)),
        to: now.plus(Duration::from_secs(3_600)),
        group_by: GroupBy::Dimension(Dimension::Model),
        level: server.settings.report.level,
    };
    let groups = report(results, &query).await.ok()?;
    let mut models: Vec<String> = groups.into_iter().map(|group| group.key).filter(|key| !key.is_empty()).collect();
    models.dedup();
    Some(models)
}

async fn show(
    State(server): State<Arc<Server>>,
    viewer: Viewer,
    id: Result<Segments<String>, ApiError>,
) -> Result<Response, Response> {
    let Segments(id) = id.map_err(page_of_error)?;
    let record = interactions::find(&server, &viewer.project, &id).await.map_err(page_of_error)?;
    let view = InteractionPage { layout: viewer.layout(&server), record };
    Ok(interaction::render(&view).into_response())
}

#[derive(Deserialize)]
struct IdParam {
    #[serde(default)]
    id: String,
}

/// For ids that cannot be a segment of a path, such as `..`.
async fn show_named(
    server: State<Arc<Server>>,
    viewer: Viewer,
    Query(IdParam { id }): Query<IdParam>,
) -> Result<Response, Response> {
    show(server, viewer, Ok(Segments(id))).await
}

/// Says that something has changed, at most once a second; the page then fetches itself again.
async fn events(
    State(server): State<Arc<Server>>,
    viewer: Viewer,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Response> {
    drop(viewer);
    let Ok(place) = Arc::clone(&server.live).try_acquire_owned() else {
        let message = format!("more than {LIVE_MAX} pages follow live already");
        return Err(ApiError::unavailable("overloaded", message, super::overload::retry_after()).into_response());
    };
    let state = (server, place, None);
    let stream = futures::stream::unfold(state, |(server, place, seen)| async move {
        loop {
            server.stop.run_until_cancelled(tokio::time::sleep(LIVE_EVERY)).await?;
            let changes = server.pipeline.counters.changes();
            if seen != Some(changes) {
                return Some((Ok(Event::default().data("changed")), (server, place, Some(changes))));
            }
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// As many places as there may be readers of live updates.
pub fn live_places() -> Arc<tokio::sync::Semaphore> {
    Arc::new(tokio::sync::Semaphore::new(LIVE_MAX))
}

/// The start of the hour or day that spend is keyed by: `2026-11-24T08:00:00Z` or `2026-11-24`.
fn start_of(key: &str) -> Option<Timestamp> {
    let day = || Timestamp::parse(&format!("{key}T00:00:00Z"));
    Timestamp::parse(key).or_else(|_| day()).ok()
}
