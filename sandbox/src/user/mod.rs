//! The scripted user: opens an authorization URL, logs in, and presses Approve or Deny, as a person with a browser does.
//!
//! It uses the same pages as a person, over real connections, and reads their forms.

mod browser;
mod form;

use std::fmt;
use std::thread;

use browser::Browser;
use form::Form;

/// No login has more pages.
const MAX_PAGES: usize = 20;

/// The user who logs in, and the decision on the approval page.
#[derive(Clone, Debug)]
pub struct User {
    /// The name for the login page.
    pub name: String,
    /// The password for the login page.
    pub password: String,
    /// Whether the user presses Approve or Deny, if the approval page appears.
    pub approve: bool,
    /// The only certificate authority to trust (PEM). https needs it; see
    /// [`Sandbox::ca_pem`](crate::Sandbox::ca_pem).
    pub ca_pem: Option<String>,
}

impl Default for User {
    /// The default user of the sandbox, demo, who approves.
    fn default() -> User {
        User { name: "demo".into(), password: "demo".into(), approve: true, ca_pem: None }
    }
}

/// Why the login failed, in one sentence.
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

/// Logs in at `authorize_url`. Returns the URL of the first redirect that leaves the origin of the server (scheme, host
/// and port), without opening it.
///
/// # Errors
/// The server cannot be reached, shows an error page, or rejects the password; or the user would deny, and the server does
/// not ask.
pub fn log_in(authorize_url: &str, user: &User) -> Result<String, Error> {
    // On another thread, because the caller can be inside a runtime, and runtimes cannot be nested.
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
    let mut response = browser.get(authorize_url).await?;
    let (mut has_logged_in, mut was_asked) = (false, false);
    for _ in 0..MAX_PAGES {
        if let Some(target) = response.location {
            if !browser.is_at_home(&target) {
                if !user.approve && !was_asked && target.contains("code=") {
                    return Err(Error::new("the server did not ask for an approval, which the user has given before"));
                }
                return Ok(target);
            }
            response = browser.get(&target).await?;
            continue;
        }
        let page = &response.body;
        if response.status >= 400 {
            return Err(Error::new(format!("the server responded with {}: {}", response.status, text_of(page))));
        }
        let Some(form) = Form::find(page) else {
            return Err(Error::new(format!("the server showed a page without a form: {}", text_of(page))));
        };
        let fields = if form.has("password") {
            if has_logged_in {
                return Err(Error::new(format!("the login failed: {}", text_of(page))));
            }
            has_logged_in = true;
            form.filled(&[("username", &user.name), ("password", &user.password)])
        } else if form.has("user_oauth_approval") {
            was_asked = true;
            form.filled(&[("user_oauth_approval", if user.approve { "true" } else { "false" })])
        } else {
            return Err(Error::new(format!("the server showed an unknown form: {}", text_of(page))));
        };
        let target = browser.resolve(&form.action);
        if !browser.is_at_home(&target) {
            return Err(Error::new(format!("the form would be sent to another server: {target}")));
        }
        response = browser.post(&target, &fields).await?;
    }
    Err(Error::new("the server showed too many pages"))
}

/// The text of a page: its alert, else its heading.
fn text_of(page: &str) -> String {
    form::element_text(page, "role=\"alert\"")
        .or_else(|| form::element_text(page, "<h1"))
        .unwrap_or_else(|| "no text".into())
}
