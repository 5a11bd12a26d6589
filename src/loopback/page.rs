//! The pages that the browser shows after the redirect, as HTTP responses.

/// The page to show. It quotes nothing of the request.
pub(super) enum Page {
    LoggedIn(Option<String>),
    Denied,
    Failed,
    BadRequest,
}

impl Page {
    pub(super) fn to_http(&self) -> String {
        let (status, title, text) = match self {
            Page::LoggedIn(text) => {
                ("200 OK", "Logged in", text.as_deref().unwrap_or("You are logged in.\nYou can close this page."))
            }
            Page::Denied => ("200 OK", "Not logged in", "You did not allow the access.\nYou can close this page."),
            Page::Failed => {
                ("200 OK", "Not logged in", "The login did not work.\nThe program that started it shows the reason.")
            }
            Page::BadRequest => ("400 Bad Request", "Not this page", "This address is only for a login."),
        };
        let mark = if matches!(self, Page::LoggedIn(_)) { "&#10003;" } else { "!" };
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <style>{STYLE}</style>\n<main>\n<p class=\"mark\" aria-hidden=\"true\">{mark}</p>\n<h1>{}</h1>\n</main>\n</html>\n",
            escaped(text)
        );
        format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'\r\n\
             X-Frame-Options: DENY\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

const STYLE: &str = "\
:root{color-scheme:light dark;--page:#eef1f5;--card:#fff;--text:#1b2430;--line:#c3cad4;--accent:#0b5cad}\
@media(prefers-color-scheme:dark){:root{--page:#12171e;--card:#1c232d;--text:#e8ecf2;--line:#4a5666;--accent:#7db8f5}}\
body{margin:0;min-height:100vh;display:flex;background:var(--page);color:var(--text);font:1rem/1.5 system-ui,sans-serif}\
main{box-sizing:border-box;width:min(26rem,calc(100% - 2rem));margin:auto;padding:2rem;text-align:center;\
background:var(--card);border:1px solid var(--line);border-radius:.75rem}\
.mark{margin:0 auto 1rem;width:3rem;height:3rem;border-radius:50%;font:bold 1.5rem/3rem system-ui,sans-serif;\
color:var(--card);background:var(--accent)}\
h1{margin:0;font-size:1.15rem;font-weight:500;overflow-wrap:anywhere;white-space:pre-line}";

/// Escapes text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
