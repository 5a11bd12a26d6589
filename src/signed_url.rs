//! [`SignedUrl`]: a URL with the access token in its query, for programs that cannot send a header.

use std::fmt;

use crate::secret::Secret;

/// A URL with the access token as its query parameter `access_token`, which the API requires for downloads of recordings.
/// [`Session::sign_url`](crate::Session::sign_url) makes it. It is as secret as the token, and its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl {
    url: Secret,
    expires_at: Option<i64>,
}

impl SignedUrl {
    pub(crate) fn new(url: Secret, expires_at: Option<i64>) -> SignedUrl {
        SignedUrl { url, expires_at }
    }

    /// The URL. Do not log it.
    pub fn url(&self) -> &Secret {
        &self.url
    }

    /// When the token in the URL expires, in Unix seconds. `None`: it does not expire. A refresh ends it earlier:
    /// [`Session::hold`](crate::Session::hold) keeps refreshes away.
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedUrl").field("url", &self.url).field("expires_at", &self.expires_at).finish()
    }
}
