//! What a session keeps in its store: the tokens, and when they came and are to be refreshed. JSON.

use serde_json::{Value, json};

use crate::error::{Advice, Error, Status};
use crate::json::Wiped;
use crate::secret::Secret;
use crate::tokens::Tokens;

/// The only form so far. A later one is refused by this version, not misread.
const FORM: u64 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) tokens: Tokens,
    /// Grows with every change of the session, by whomever.
    pub(crate) generation: u64,
    /// When the tokens came, in Unix milliseconds.
    pub(crate) obtained_at: i64,
    /// When to refresh them, in Unix milliseconds: drawn once, so that all who share the store agree. `None`: never.
    pub(crate) refresh_at: Option<i64>,
}

impl Record {
    pub(crate) fn to_text(&self) -> Secret {
        let tokens = self.tokens.to_json();
        let room = 256 + 2 * tokens.expose().len();
        let object = json!({
            "cmauth": FORM,
            "generation": self.generation,
            "obtained_at": self.obtained_at,
            "refresh_at": self.refresh_at,
            "tokens": tokens.expose(),
        });
        Secret::new(Wiped(object).to_text(room))
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    /// [`Store`](Status::Store), advice fix, saying what is wrong with it and nothing of what is in it.
    pub(crate) fn from_text(text: &Secret) -> Result<Record, Error> {
        let mut value = Wiped::parse(text.expose().as_bytes()).ok_or_else(|| damaged("it is not JSON"))?;
        match value.0.get("cmauth").and_then(Value::as_u64) {
            Some(FORM) => {}
            Some(_) => return Err(damaged("a later version of libcmauth wrote it")),
            None => return Err(damaged("libcmauth did not write it")),
        }
        let number = |key: &str| value.0.get(key).and_then(Value::as_i64);
        let generation = value.0.get("generation").and_then(Value::as_u64);
        let generation = generation.ok_or_else(|| damaged("its generation is missing"))?;
        let obtained_at = number("obtained_at").ok_or_else(|| damaged("its time is missing"))?;
        let refresh_at = number("refresh_at");
        let tokens = value.take_text("tokens").ok().flatten().and_then(|json| Tokens::from_json(&json).ok());
        let tokens = tokens.ok_or_else(|| damaged("its tokens are missing"))?;
        Ok(Record { tokens, generation, obtained_at, refresh_at })
    }
}

fn damaged(problem: &str) -> Error {
    Error::new(Status::Store, format!("what the store has is no session: {problem}"), "")
        .with_advice(Advice::Fix, "look at it; to give it up, call forget and log in again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let json = r#"{"access_token":"a:1","refresh_token":"r:1","token_type":"bearer","expires_at":1700000100}"#;
        Record {
            tokens: Tokens::from_json(json).unwrap(),
            generation: 1_700_000_000_001,
            obtained_at: 1_700_000_000_000,
            refresh_at: Some(1_700_000_080_123),
        }
    }

    #[test]
    fn a_record_survives_its_text() {
        for record in [record(), Record { refresh_at: None, ..record() }] {
            assert_eq!(Record::from_text(&record.to_text()).unwrap(), record);
        }
    }

    #[test]
    fn a_damaged_record_is_refused_with_the_reason_and_without_its_content() {
        let whole = record().to_text();
        let whole = whole.expose();
        for (text, problem) in [
            (String::new(), "not JSON"),
            (whole[..whole.len() - 1].to_owned(), "not JSON"),
            ("[1]".to_owned(), "did not write it"),
            (whole.replace("\"cmauth\":1", "\"cmauth\":2"), "a later version"),
            (whole.replace("generation", "x"), "generation"),
            (whole.replace("obtained_at", "x"), "time"),
            (whole.replace("access_token", "x"), "tokens"),
            (whole.replace("tokens", "x"), "tokens"),
        ] {
            let error = Record::from_text(&Secret::new(text)).unwrap_err();
            assert_eq!((error.status(), error.advice()), (Status::Store, Advice::Fix));
            assert!(error.message().contains(problem) && !error.message().contains("a:1"), "{error}");
        }
    }
}
