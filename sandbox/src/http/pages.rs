//! The pages for users: plain HTML that works with a keyboard, a screen reader, a small screen and a dark theme. They have
//! no scripts and load nothing. Text from requests is escaped.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use super::response::{self, escape};
use crate::state::AuthorizationRequest;

const STYLE: &str = include_str!("pages.css");

/// A 302. The target must be ASCII without control characters.
pub(super) fn redirect(target: &str) -> Response<Body> {
    let mut response = response::status(StatusCode::FOUND);
    let target = HeaderValue::from_str(target).expect("targets are percent-encoded");
    response.headers_mut().insert(header::LOCATION, target);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The login page. `alert` is the error of the last attempt.
pub(super) fn login(status: StatusCode, csrf: &str, name: &str, alert: Option<&str>) -> Response<Body> {
    let (alert, mark) = match alert {
        Some(words) => (
            format!(r#"<p role="alert" id="alert">{}</p>"#, escape(words)),
            r#" aria-invalid="true" aria-describedby="alert""#,
        ),
        None => (String::new(), ""),
    };
    // After an error the name is filled in, so the password gets the focus.
    let (focus_name, focus_password) = if name.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
    let (csrf, name) = (escape(csrf), escape(name));
    let body = format!(
        r#"<h1>Log in</h1>
{alert}<form method="post" action="/login">
<input type="hidden" name="_csrf" value="{csrf}">
<label for="username">User name</label>
<input id="username" name="username" value="{name}" autocomplete="username" autocapitalize="none" spellcheck="false" required{mark}{focus_name}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{mark}{focus_password}>
<div class="buttons"><button type="submit">Log in</button></div>
</form>"#
    );
    page(status, "Log in", &body)
}

/// The approval page. Its form sends `id` back, which identifies the request.
pub(super) fn approval(id: &str, user: &str, request: &AuthorizationRequest) -> Response<Body> {
    let meaning = |scope: &String| match scope.as_str() {
        "read" => "<li>see your cameras and recordings (<code>read</code>)</li>".to_owned(),
        "write" => "<li>change your cameras and settings (<code>write</code>)</li>".to_owned(),
        other => format!("<li><code>{}</code></li>", escape(other)),
    };
    let scopes: String = request.scope.iter().map(meaning).collect();
    let (id, user, client) = (escape(id), escape(user), escape(&request.client));
    let redirect_uri = escape(&request.redirect_uri);
    let body = format!(
        r#"<h1>Allow {client} to use your account?</h1>
<p>It will be able to:</p>
<ul>{scopes}</ul>
<p class="quiet">You are logged in as <strong>{user}</strong>. Both buttons lead back to {redirect_uri}.</p>
<form method="post" action="/oauth/authorize">
<input type="hidden" name="request" value="{id}">
<div class="buttons"><button type="submit" name="user_oauth_approval" value="true">Approve</button>
<button type="submit" name="user_oauth_approval" value="false" class="second">Deny</button></div>
</form>"#
    );
    page(StatusCode::OK, "Approve", &body)
}

/// An error page, for an error that the server cannot redirect to the program.
pub(super) fn error(status: StatusCode, error: &str, description: &str) -> Response<Body> {
    let (error, description) = (escape(error), escape(description));
    let body = format!(
        r#"<h1>This login cannot continue</h1>
<p role="alert">{description}</p>
<p class="quiet">The program that opened this page sent a request with an error: <code>{error}</code>. The server cannot
redirect you back to the program, because its address is not known.</p>"#
    );
    page(status, "OAuth error", &body)
}

/// The front page.
pub(super) fn front() -> Response<Body> {
    let body = r#"<h1>cmauth-sandbox</h1>
<p>A mock CameraManager login server, for tests.</p>
<dl>
<dt>Login page</dt><dd><code>/oauth/authorize</code></dd>
<dt>Tokens</dt><dd><code>/oauth/token</code></dd>
<dt>Resources</dt><dd><code>/rest/v2.0/users/self</code><br><code>/rest/v2.4/cameras</code></dd>
<dt>Control API</dt><dd><code>/sandbox/clock</code><br><code>/sandbox/requests</code></dd>
</dl>"#;
    page(StatusCode::OK, "Front page", body)
}

/// The page for an unknown path.
pub(super) fn not_found() -> Response<Body> {
    page(StatusCode::NOT_FOUND, "Not found", "<h1>Nothing here</h1>\n<p>This path does not exist.</p>")
}

fn page(status: StatusCode, title: &str, body: &str) -> Response<Body> {
    let text = format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} – CameraManager sandbox</title>
<style>{STYLE}</style>
</head>
<body>
<header class="note"><strong>Sandbox.</strong> This is not the real CameraManager. Type no real password here.</header>
<main>
{body}
</main>
</body>
</html>
"#
    );
    let mut response = response::with_body(status, "text/html;charset=UTF-8", text);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // No `form-action`, because browsers also apply it to the redirect after a form, which leads to the program.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
