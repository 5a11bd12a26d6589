//! The record: what a session keeps in its store, as JSON. It contains the tokens, their times, their owner and generation.

use serde_json::{Value, json};

use crate::error::{Advice, Error, Status};
use crate::json::Wiped;
use crate::secret::Secret;
use crate::tokens::Tokens;

/// The version of the format. A record with a later version is refused.
const FORMAT_VERSION: u64 = 1;

/// The largest generation: languages whose numbers are floating-point represent it exactly. It grows by one with each change, from
/// the number of milliseconds since 1970, so it is never reached.
pub(crate) const MAX_GENERATION: u64 = (1 << 53) - 1;

/// The generation of the next change.
pub(crate) fn next_generation(generation: u64) -> u64 {
    generation.saturating_add(1).min(MAX_GENERATION)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The owner of the tokens. `None`: libcmauth 0.1 wrote the record, without an owner.
    pub(crate) owner: Option<Owner>,
    /// A random number for the login that the tokens come from. A refresh keeps it. `None`: version 0.1 wrote the record.
    pub(crate) login: Option<u64>,
    pub(crate) tokens: Tokens,
    /// Grows with each change, by any session that shares the store.
    pub(crate) generation: u64,
    /// When the tokens were obtained, in Unix milliseconds.
    pub(crate) obtained_at: i64,
    /// The same by the boot clock. `None` if the system has no boot ID.
    pub(crate) obtained_boot: Option<BootTime>,
    /// When to refresh the tokens, in Unix milliseconds. Drawn once, so that all sessions on the store agree. `None`: never.
    pub(crate) refresh_at: Option<i64>,
    /// Until when early refreshes are held off, in Unix milliseconds. See [`held_until`](Self::held_until).
    pub(crate) held_until: Option<i64>,
    /// The tokens come from a refresh, so their lifetime is the longest that the server issues. A login can return tokens that were
    /// issued earlier.
    pub(crate) refreshed: bool,
    /// How many refreshes in a row replaced young tokens because the API had rejected them.
    pub(crate) rejections: u32,
}

/// The API key and the server that the tokens belong to. The tokens must not be sent to any other server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) client_id: String,
    pub(crate) base_url: String,
}

/// A time of the boot clock, in milliseconds since the machine started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BootTime {
    pub(crate) boot_id: String,
    pub(crate) at: i64,
}

impl Record {
    pub(crate) fn to_text(&self) -> Secret {
        let tokens = self.tokens.to_json();
        let owner = self.owner.as_ref();
        let boot = self.obtained_boot.as_ref();
        let room = 1024 + 2 * (tokens.expose().len() + owner.map_or(0, |o| o.client_id.len() + o.base_url.len()));
        let object = json!({
            "cmauth": FORMAT_VERSION,
            "client_id": owner.map(|owner| &owner.client_id),
            "base_url": owner.map(|owner| &owner.base_url),
            "login": self.login,
            "generation": self.generation,
            "obtained_at": self.obtained_at,
            "boot_id": boot.map(|boot| &boot.boot_id),
            "obtained_boot": boot.map(|boot| boot.at),
            "refresh_at": self.refresh_at,
            "held_until": self.held_until,
            "refreshed": self.refreshed,
            "rejections": self.rejections,
            "tokens": tokens.expose(),
        });
        Secret::new(Wiped(object).to_text(room))
    }

    /// Parses a text that [`to_text`](Self::to_text) or version 0.1 wrote.
    ///
    /// # Errors
    /// [`Store`](Status::Store), advice fix. The message says what is wrong and quotes nothing of the content.
    pub(crate) fn from_text(text: &Secret) -> Result<Record, Error> {
        let mut value = Wiped::parse(text.expose().as_bytes()).ok_or_else(|| damaged("it is not JSON"))?;
        match value.0.get("cmauth").and_then(Value::as_u64) {
            Some(FORMAT_VERSION) => {}
            Some(_) => return Err(damaged("a later version of libcmauth wrote it")),
            None => return Err(damaged("libcmauth did not write it")),
        }
        let number = |key: &str| value.0.get(key).and_then(Value::as_i64);
        let positive = |key: &str| value.0.get(key).and_then(Value::as_u64);
        let text = |key: &str| value.0.get(key).and_then(Value::as_str).map(str::to_owned);
        let generation = positive("generation").ok_or_else(|| damaged("its generation is missing"))?;
        if generation > MAX_GENERATION {
            return Err(damaged("its generation is too large"));
        }
        let obtained_at = number("obtained_at").ok_or_else(|| damaged("its time is missing"))?;
        let refresh_at = number("refresh_at");
        let held_until = number("held_until");
        let refreshed = value.0.get("refreshed").and_then(Value::as_bool).unwrap_or(false);
        let login = positive("login");
        let rejections = positive("rejections").and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        let obtained_boot = text("boot_id").zip(number("obtained_boot")).map(|(boot_id, at)| BootTime { boot_id, at });
        let owner = match (text("client_id"), text("base_url")) {
            (Some(client_id), Some(base_url)) => Some(Owner { client_id, base_url }),
            (None, None) => None,
            _ => return Err(damaged("it names an API key without a server, or a server without an API key")),
        };
        let tokens = value.take_text("tokens").ok().flatten().and_then(|json| Tokens::from_json(&json).ok());
        let tokens = tokens.ok_or_else(|| damaged("its tokens are missing"))?;
        Ok(Record {
            owner,
            login,
            tokens,
            generation,
            obtained_at,
            obtained_boot,
            refresh_at,
            held_until,
            refreshed,
            rejections,
        })
    }

    /// Until when early refreshes are held off, in Unix milliseconds: never past the expiry of the tokens.
    pub(crate) fn held_until(&self) -> Option<i64> {
        let expires_at = self.tokens.expires_at()?.saturating_mul(1000);
        self.held_until.map(|until| until.min(expires_at))
    }

    /// Checks that the tokens belong to `owner`. A record of version 0.1 names no owner and belongs to every owner.
    ///
    /// # Errors
    /// [`Store`](Status::Store), advice fix. The message says what differs.
    pub(crate) fn check_owner(&self, owner: &Owner) -> Result<(), Error> {
        let Some(other) = self.owner.as_ref().filter(|other| *other != owner) else {
            return Ok(());
        };
        let mut differs = Vec::new();
        if other.client_id != owner.client_id {
            differs.push(format!("of API key {:?}, and this client has {:?}", other.client_id, owner.client_id));
        }
        if other.base_url != owner.base_url {
            differs.push(format!("for the server {:?}, and this client has {:?}", other.base_url, owner.base_url));
        }
        let what = format!("the store has a login {}", differs.join(", and "));
        let remedy = "give this session its own store; to remove the login from the store, call forget";
        Err(Error::new(Status::Store, what, "").with_advice(Advice::Fix, remedy))
    }
}

fn damaged(problem: &str) -> Error {
    Error::new(Status::Store, format!("the content of the store is not a session: {problem}"), "")
        .with_advice(Advice::Fix, "look at the content; to remove it, call forget and log in again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let json = r#"{"access_token":"a:1","refresh_token":"r:1","token_type":"bearer","expires_at":1700000100}"#;
        Record {
            owner: Some(Owner { client_id: "key.test".to_owned(), base_url: "https://example.com".to_owned() }),
            login: Some(u64::MAX),
            tokens: Tokens::from_json(json).unwrap(),
            generation: 1_700_000_000_001,
            obtained_at: 1_700_000_000_000,
            obtained_boot: Some(BootTime { boot_id: "0d6f".to_owned(), at: 12_345 }),
            refresh_at: Some(1_700_000_080_123),
            held_until: Some(1_700_000_090_123),
            refreshed: true,
            rejections: 2,
        }
    }

    #[test]
    fn a_record_survives_serialization() {
        let of_0_1 = Record {
            owner: None,
            login: None,
            obtained_boot: None,
            held_until: None,
            refreshed: false,
            rejections: 0,
            ..record()
        };
        for record in [record(), Record { refresh_at: None, ..record() }, of_0_1] {
            assert_eq!(Record::from_text(&record.to_text()).unwrap(), record);
        }
    }

    #[test]
    fn a_record_of_0_1_is_read() {
        let text =
            r#"{"cmauth":1,"generation":7,"obtained_at":1000,"refresh_at":2000,"tokens":"{\"access_token\":\"a:1\"}"}"#;
        let record = Record::from_text(&Secret::new(text)).unwrap();
        assert_eq!((record.owner.as_ref(), record.login, record.generation), (None, None, 7));
        let anybody = Owner { client_id: "a".to_owned(), base_url: "b".to_owned() };
        record.check_owner(&anybody).unwrap();
    }

    #[test]
    fn a_login_of_another_key_or_server_is_refused_and_the_difference_is_named() {
        let owner = record().owner.unwrap();
        record().check_owner(&owner).unwrap();
        let key = Owner { client_id: "other.test".to_owned(), ..owner.clone() };
        let server = Owner { base_url: "https://other.example".to_owned(), ..owner };
        for (owner, named, not_named) in [(&key, "other.test", "server"), (&server, "other.example", "API key")] {
            let error = record().check_owner(owner).unwrap_err();
            assert_eq!((error.status(), error.advice()), (Status::Store, Advice::Fix));
            assert!(error.message().contains(named) && !error.message().contains(not_named), "{error}");
        }
    }

    #[test]
    fn a_damaged_record_is_refused_with_a_reason_that_quotes_no_content() {
        let whole = record().to_text();
        let whole = whole.expose();
        for (text, problem) in [
            (String::new(), "not JSON"),
            (whole[..whole.len() - 1].to_owned(), "not JSON"),
            ("[1]".to_owned(), "did not write it"),
            (whole.replace("\"cmauth\":1", "\"cmauth\":2"), "a later version"),
            (whole.replace("generation", "x"), "generation"),
            (whole.replace("1700000000001", "9007199254740992"), "its generation is too large"),
            (whole.replace("obtained_at", "x"), "time"),
            (whole.replace("access_token", "x"), "tokens"),
            (whole.replace("tokens", "x"), "tokens"),
            (whole.replace("base_url", "x"), "without a server"),
        ] {
            let error = Record::from_text(&Secret::new(text)).unwrap_err();
            assert_eq!((error.status(), error.advice()), (Status::Store, Advice::Fix));
            assert!(error.message().contains(problem) && !error.message().contains("a:1"), "{error}");
        }
    }
}
