//! Signing in and out of the dashboard.

use std::sync::Arc;

use assize_core::control::Scope;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::api::Server;
use crate::api::auth::{COOKIE, SESSION_LASTS, holder_of_session, new_session};
use crate::ui::link;
use crate::ui::login::{self, Login};

/// Parameters of the login page.
#[derive(Debug, Deserialize)]
pub struct FormParams {
    #[serde(default)]
    next: String,
    /// A session that was handed out by the command line: a link that signs in.
    session: Option<String>,
}

/// What the form posts.
#[derive(Deserialize)]
pub struct Credentials {
    key: String,
    #[serde(default)]
    next: String,
}

/// The form, or straight in with a session from a link.
pub async fn form(State(server): State<Arc<Server>>, Query(params): Query<FormParams>) -> Response {
    let now = server.clock().now();
    let holder = params.session.as_deref().and_then(|session| holder_of_session(&server.access, session, now));
    match (holder, params.session.is_some()) {
        // The browser's session ends when the link's does.
        (Some(_), _) => welcome(&params.session.unwrap_or_default(), &params.next),
        (None, true) => refuse(&params.next, "This link does not sign in any more: use the key."),
        (None, false) => login::render(&Login { next: params.next, error: None }).into_response(),
    }
}

/// Signs in with an admin key.
pub async fn sign_in(State(server): State<Arc<Server>>, Form(credentials): Form<Credentials>) -> Response {
    match server.access.authenticate(credentials.key.trim()) {
        Some(who) if who.may(Scope::Admin) => {
            let session = new_session(&server.access, &who.key_id, server.clock().now(), SESSION_LASTS);
            welcome(&session, &credentials.next)
        }
        Some(_) => refuse(&credentials.next, "This key has no admin scope."),
        None => refuse(&credentials.next, "This key is not known, or was revoked."),
    }
}

/// Ends the session of this browser.
pub async fn sign_out() -> Response {
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(login::PATH)).into_response()
}

fn welcome(session: &str, next: &str) -> Response {
    let cookie = format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}", SESSION_LASTS.as_secs());
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(link::local(next))).into_response()
}

fn refuse(next: &str, why: &str) -> Response {
    let view = Login { next: next.to_owned(), error: Some(why.to_owned()) };
    (StatusCode::UNAUTHORIZED, login::render(&view)).into_response()
}
