//! [`Tokens`]: what the server issued, and when it expires. Immutable; a refresh makes new tokens.
//!
//! The parser of the token endpoint's responses makes them. Applications can keep them as JSON.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::clock::unix_now;
use crate::error::Error;
use crate::json;
use crate::secret::{Secret, redact};
use crate::wipe::Zeroizing;

/// The tokens of one logged-in user, with the time when the access token expires. A clone is cheap and shares the same memory,
/// which is wiped when the last clone is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens(Arc<Parts>);

#[derive(PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) access_token: Secret,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) token_type: String,
    pub(crate) scope: Option<String>,
    /// In Unix seconds. `None`: the access token does not expire.
    pub(crate) expires_at: Option<i64>,
}

/// The latest time of expiry: the end of the year 9999, which the date types of most languages can still represent.
const MAX_EXPIRES_AT: i64 = 253_402_300_799;

impl From<Parts> for Tokens {
    fn from(parts: Parts) -> Self {
        let expires_at = parts.expires_at.map(|at| at.min(MAX_EXPIRES_AT));
        Tokens(Arc::new(Parts { expires_at, ..parts }))
    }
}

impl Tokens {
    /// Makes tokens from values that the application kept in its own format; [`to_json`](Self::to_json) is simpler.
    /// `expires_at` is in Unix seconds. `None`: the access token does not expire.
    pub fn new(
        access_token: Secret,
        refresh_token: Option<Secret>,
        token_type: String,
        scope: Option<String>,
        expires_at: Option<i64>,
    ) -> Tokens {
        Tokens::from(Parts { access_token, refresh_token, token_type, scope, expires_at })
    }

    /// The access token, for the header `Authorization: Bearer …`. It is opaque; CameraManager's look like `<UUID>:<zone>`.
    pub fn access_token(&self) -> &Secret {
        &self.0.access_token
    }

    /// The value of the header `Authorization`: "Bearer " and the access token (RFC 6750, section 2.1).
    pub fn authorization(&self) -> Secret {
        let mut text = Zeroizing::new(String::with_capacity(7 + self.access_token().expose().len()));
        text.push_str("Bearer ");
        text.push_str(self.access_token().expose());
        Secret::from(text)
    }

    /// The refresh token, for [`Client::refresh`](crate::Client::refresh), if the server issued one. It is valid until the user
    /// logs out (step 5 of the vendor's guide "OAuth login panel + refresh token").
    pub fn refresh_token(&self) -> Option<&Secret> {
        self.0.refresh_token.as_ref()
    }

    /// The token type in the server's spelling: `"bearer"`.
    pub fn token_type(&self) -> &str {
        &self.0.token_type
    }

    /// The granted scope as the server wrote it: `"write"` or `"read write"`.
    pub fn scope(&self) -> Option<&str> {
        self.0.scope.as_deref()
    }

    /// When the access token expires, in Unix seconds. The lifetime is counted from before the request, so the token is never
    /// used too long. At most 253402300799, the end of the year 9999. `None`: it does not expire.
    pub fn expires_at(&self) -> Option<i64> {
        self.0.expires_at
    }

    /// Seconds until the access token expires, from 0 to 2147483647 (68 years). `None`: it does not expire.
    pub fn expires_in(&self) -> Option<i64> {
        let left = |at: i64| at.saturating_sub(unix_now()).clamp(0, i32::MAX.into());
        self.0.expires_at.map(left)
    }

    /// These tokens. If they have no refresh token, they get `old`.
    pub(crate) fn or_refresh_token(self, old: &str) -> Tokens {
        if self.0.refresh_token.is_some() {
            return self;
        }
        Tokens::from(Parts { refresh_token: Some(Secret::new(old)), ..self.to_parts() })
    }

    /// These tokens. If the server named no scope, they get `old`, because the scope is unchanged then (RFC 6749, section 6).
    pub(crate) fn or_scope(self, old: Option<&str>) -> Tokens {
        match old {
            Some(old) if self.0.scope.is_none() => {
                Tokens::from(Parts { scope: Some(old.to_owned()), ..self.to_parts() })
            }
            _ => self,
        }
    }

    fn to_parts(&self) -> Parts {
        Parts {
            access_token: self.0.access_token.clone(),
            refresh_token: self.0.refresh_token.clone(),
            token_type: self.0.token_type.clone(),
            scope: self.0.scope.clone(),
            expires_at: self.0.expires_at,
        }
    }

    /// The tokens as JSON, for an application to keep. It is as secret as the tokens.
    ///
    /// A JSON object with `access_token` and `token_type`. `refresh_token`, `scope` and `expires_at` (Unix seconds) are present
    /// if they have a value. Later versions may add keys.
    pub fn to_json(&self) -> Secret {
        let parts = &*self.0;
        // Large enough for the keys, and for texts that grow by escapes.
        let texts = [Some(parts.access_token.expose()), parts.refresh_token.as_ref().map(Secret::expose), self.scope()];
        let room = 512 + 2 * texts.into_iter().flatten().map(str::len).sum::<usize>();
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("access_token", parts.access_token.expose().into());
        put("token_type", parts.token_type.as_str().into());
        if let Some(refresh_token) = &parts.refresh_token {
            put("refresh_token", refresh_token.expose().into());
        }
        if let Some(scope) = &parts.scope {
            put("scope", scope.as_str().into());
        }
        if let Some(expires_at) = parts.expires_at {
            put("expires_at", expires_at.into());
        }
        Secret::new(json::Wiped(Value::Object(object)).to_text(room))
    }

    /// Restores tokens from the JSON of [`to_json`](Self::to_json). Ignores unknown keys.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Status::InvalidArgument): the JSON is not what `to_json` returned; the message names the key.
    pub fn from_json(json: &str) -> Result<Tokens, Error> {
        let bad = |problem: &str| Error::invalid_argument("json", problem);
        let mut value =
            json::Wiped::parse(json.as_bytes()).ok_or_else(|| bad("not JSON; give what to_json returned"))?;
        if !value.0.is_object() {
            return Err(bad("not an object; give what to_json returned"));
        }
        let mut text = |key: &str| match value.take_text(key) {
            Ok(text) => Ok(text.filter(|text| !text.is_empty())),
            Err(json::NotText) => Err(bad(&format!("\"{key}\" is not a string"))),
        };
        let access_token = text("access_token")?;
        let refresh_token = text("refresh_token")?;
        let token_type = text("token_type")?;
        let scope = text("scope")?;
        let expires_at = match value.0.get("expires_at") {
            None | Some(Value::Null) => None,
            Some(at) => Some(at.as_i64().ok_or_else(|| bad("\"expires_at\" is not a whole number of seconds"))?),
        };

        let access_token = access_token.ok_or_else(|| bad("\"access_token\" is missing"))?;
        for (key, token) in [
            ("access_token", Some(&access_token)),
            ("refresh_token", refresh_token.as_ref()),
            ("token_type", token_type.as_ref()),
            ("scope", scope.as_ref()),
        ] {
            if token.is_some_and(|token| token.chars().any(char::is_control)) {
                return Err(bad(&format!("\"{key}\" contains a control character")));
            }
        }
        if token_type.as_ref().is_some_and(|token_type| !token_type.eq_ignore_ascii_case("bearer")) {
            return Err(bad("\"token_type\" is not bearer; this library has no use for other tokens"));
        }
        let plain = |mut text: Zeroizing<String>| std::mem::take(&mut *text);
        Ok(Tokens::from(Parts {
            access_token: Secret::from(access_token),
            refresh_token: refresh_token.map(Secret::from),
            token_type: token_type.map_or_else(|| "bearer".to_owned(), plain),
            scope: scope.map(plain),
            expires_at,
        }))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A server, or a file that was edited, may repeat a token in another field.
        let secrets = [self.0.access_token.expose(), self.0.refresh_token.as_ref().map_or("", Secret::expose)];
        f.debug_struct("Tokens")
            .field("access_token", &self.0.access_token)
            .field("refresh_token", &self.0.refresh_token)
            .field("token_type", &redact(self.token_type(), &secrets))
            .field("scope", &self.scope().map(|scope| redact(scope, &secrets)))
            .field("expires_at", &self.0.expires_at)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Tokens {
        Tokens::from(Parts {
            access_token: Secret::new("access:1"),
            refresh_token: Some(Secret::new("refresh:1")),
            token_type: "bearer".to_owned(),
            scope: Some("write".to_owned()),
            expires_at: Some(1_700_000_000),
        })
    }

    #[test]
    fn tokens_survive_conversion_to_json() {
        let sparse = Tokens::from_json(r#"{"access_token":"a","new key":[1]}"#).unwrap();
        assert_eq!(sparse.token_type(), "bearer");
        assert_eq!(sparse.refresh_token(), None);
        assert_eq!(sparse.expires_at(), None);
        for tokens in [full(), sparse] {
            assert_eq!(Tokens::from_json(tokens.to_json().expose()).unwrap(), tokens);
        }
    }

    /// Found by fuzzing: a token type that repeats the access token.
    #[test]
    fn debug_shows_no_token_that_is_repeated_in_another_field() {
        let (access_token, refresh_token) = (Secret::new("access-token:1"), Some(Secret::new("refresh-token:1")));
        let (token_type, scope) = ("bearer access-token:1".to_owned(), Some("write refresh-token:1".to_owned()));
        let tokens = Tokens::new(access_token, refresh_token, token_type, scope, None);
        assert_eq!(
            format!("{tokens:?}"),
            "Tokens { access_token: [redacted], refresh_token: Some([redacted]), token_type: \"bearer [redacted]\", \
             scope: Some(\"write [redacted]\"), expires_at: None }"
        );
    }

    #[test]
    fn the_authorization_is_bearer_and_the_access_token_and_hides_it() {
        let authorization = full().authorization();
        assert_eq!(authorization.expose(), format!("Bearer {}", full().access_token().expose()));
        assert_eq!(format!("{authorization:?}"), "[redacted]");
    }

    #[test]
    fn times_that_no_date_type_has_are_cut() {
        let tokens = |at: i64| Tokens::new(Secret::new("a"), None, "bearer".to_owned(), None, Some(at));
        assert_eq!(tokens(i64::MAX).expires_at(), Some(253_402_300_799));
        assert_eq!(tokens(i64::MAX).expires_in(), Some(2_147_483_647));
        assert!(Tokens::from_json(r#"{"access_token":"a","expires_at":9e18}"#).is_err());
        let json = r#"{"access_token":"a","expires_at":9000000000000000000}"#;
        assert_eq!(Tokens::from_json(json).unwrap().expires_at(), Some(253_402_300_799));
    }

    #[test]
    fn json_without_tokens_is_refused_with_the_key_and_without_its_content() {
        for (json, problem) in [
            ("hunter2", "not JSON"),
            ("[1]", "not an object"),
            ("{}", "\"access_token\" is missing"),
            (r#"{"access_token":""}"#, "\"access_token\" is missing"),
            (r#"{"access_token":5}"#, "\"access_token\" is not a string"),
            (r#"{"access_token":"hunter2\n"}"#, "\"access_token\" contains a control"),
            (r#"{"access_token":"a","refresh_token":["hunter2"]}"#, "\"refresh_token\" is not a"),
            (r#"{"access_token":"a","token_type":"mac hunter2"}"#, "\"token_type\" is not bearer"),
            (r#"{"access_token":"a","expires_at":"hunter2"}"#, "\"expires_at\" is not a whole"),
        ] {
            let error = Tokens::from_json(json).unwrap_err();
            assert_eq!(error.status(), crate::Status::InvalidArgument);
            assert!(error.message().contains(problem), "{json}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", full());
        assert!(shown.contains("[redacted]") && shown.contains("write"), "{shown}");
        assert!(!shown.contains("access:1") && !shown.contains("refresh:1"), "{shown}");
    }

    #[test]
    fn seconds_left_are_never_negative() {
        assert_eq!(full().expires_in(), Some(0));
        let json = format!(r#"{{"access_token":"a","expires_at":{}}}"#, unix_now() + 100);
        let left = Tokens::from_json(&json).unwrap().expires_in().unwrap();
        assert!((98..=100).contains(&left), "{left}");
    }
}
