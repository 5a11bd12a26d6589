//! The scripted user: opens an authorize URL like a person with a browser, logs in, and presses approve or deny.
//!
//! It goes through the real pages over real connections, reading the forms it is shown, and knows nothing else of the
//! server.

mod browser;
mod form;

use std::fmt;
use std::thread;

use browser::Browser;
use form::Form;

/// More pages than any login has.
const MAX_PAGES: usize = 20;

/// Who logs in, and what they say.
#[derive(Clone, Debug)]
pub struct User {
    /// The name typed into the login page.
    pub name: String,
    /// The password typed into the login page.
    pub password: String,
    /// Whether approve or deny is pressed, should the approval page appear.
    pub approve: bool,
    /// The certificate authority to trust (PEM): the only one. Needed for https, see
    /// [`Sandbox::ca_pem`](crate::Sandbox::ca_pem).
    pub ca_pem: Option<String>,
}

impl Default for User {
    /// The sandbox' own user, demo, who approves.
    fn default() -> User {
        User { name: "demo".into(), password: "demo".into(), approve: true, ca_pem: None }
    }
}

/// Why the user did not arrive at the redirect, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Error {
    fn new(words: impl Into<String>) -> Error {
        Error(words.into())
    }
}

/// Logs in at `authorize_url` and returns the URL that the server sends the browser to at the end: the first that
/// leaves the server's origin (scheme, host and port). That one is not opened.
///
/// # Errors
/// The server cannot be reached, shows an error page, or refuses the password.
pub fn log_in(authorize_url: &str, user: &User) -> Result<String, Error> {
    // On a thread of its own, because a runtime cannot be started inside the caller's.
    thread::scope(|scope| {
        let work = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
            runtime.map_err(|error| Error::new(error.to_string()))?.block_on(walk(authorize_url, user))
        });
        work.join().unwrap_or_else(|_| Err(Error::new("the scripted user failed; its message is above")))
    })
}

async fn walk(authorize_url: &str, user: &User) -> Result<String, Error> {
    let mut browser = Browser::new(authorize_url, user.ca_pem.as_deref())?;
    let mut answer = browser.get(authorize_url).await?;
    let mut has_logged_in = false;
    for _ in 0..MAX_PAGES {
        if let Some(target) = answer.location {
            if !browser.is_at_home(&target) {
                return Ok(target);
            }
            answer = browser.get(&target).await?;
            continue;
        }
        let page = &answer.body;
        if answer.status >= 400 {
            return Err(Error::new(format!("the server answered {}: {}", answer.status, words_of(page))));
        }
        let Some(form) = Form::find(page) else {
            return Err(Error::new(format!("the server showed a page without a form: {}", words_of(page))));
        };
        let fields = if form.has("password") {
            if has_logged_in {
                return Err(Error::new(format!("the login failed: {}", words_of(page))));
            }
            has_logged_in = true;
            form.filled(&[("username", &user.name), ("password", &user.password)])
        } else if form.has("user_oauth_approval") {
            form.filled(&[("user_oauth_approval", if user.approve { "true" } else { "false" })])
        } else {
            return Err(Error::new(format!("the server showed a form nobody knows: {}", words_of(page))));
        };
        let target = browser.resolve(&form.action);
        if !browser.is_at_home(&target) {
            return Err(Error::new(format!("the form would be sent to another server: {target}")));
        }
        answer = browser.post(&target, &fields).await?;
    }
    Err(Error::new("the server went on showing pages"))
}

/// What a page says: its alert, else its heading.
fn words_of(page: &str) -> String {
    form::text_of(page, "role=\"alert\"").or_else(|| form::text_of(page, "<h1")).unwrap_or_else(|| "no words".into())
}
