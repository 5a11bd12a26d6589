//! [`User`]: who a login is of, as the API describes the user.

use serde_json::Value;

use crate::json::Wiped;

/// The user of a login, from `GET /rest/v2.0/users/self`. [`Client::user`](crate::Client::user) asks for it. Contains no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The ID of the user, the same for every login: `"20003"`. A program that serves many users can keep them by it.
    pub id: String,
    /// The name with which the user logs in.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
}

/// The longest ID, name or address that is kept.
const MAX_LEN: usize = 256;

impl User {
    /// Reads the body of a 2xx. The error says what is wrong with it and quotes nothing of it.
    pub(crate) fn parse(body: &[u8]) -> Result<User, &'static str> {
        let body = Wiped::parse(body).ok_or("it is not JSON")?;
        let text = |key: &str| {
            let text = body.0.get(key)?.as_str()?;
            let fits = (1..=MAX_LEN).contains(&text.len()) && !text.chars().any(char::is_control);
            fits.then(|| text.to_owned())
        };
        let id = match body.0.get("userId") {
            Some(Value::Number(number)) if number.is_u64() || number.is_i64() => Some(number.to_string()),
            Some(Value::String(_)) => text("userId"),
            _ => None,
        };
        Ok(User { id: id.ok_or("it has no userId")?, name: text("username"), email: text("emailAddress") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_an_id_and_can_have_a_name_and_an_address() {
        let body = br#"{"userId":20003,"username":"demo","emailAddress":"demo@example.com","zoneId":3}"#;
        let (name, email) = (Some("demo".to_owned()), Some("demo@example.com".to_owned()));
        assert_eq!(User::parse(body).unwrap(), User { id: "20003".to_owned(), name, email });
        let sparse = User::parse(br#"{"userId":"a:7","username":"","emailAddress":5}"#).unwrap();
        assert_eq!(sparse, User { id: "a:7".to_owned(), name: None, email: None });
    }

    #[test]
    fn a_body_without_an_id_is_refused() {
        for (body, problem) in [
            (&b"<html>"[..], "not JSON"),
            (b"[]", "no userId"),
            (b"{}", "no userId"),
            (br#"{"userId":""}"#, "no userId"),
            (br#"{"userId":1.5}"#, "no userId"),
            (br#"{"userId":null}"#, "no userId"),
            (br#"{"userId":"a\n"}"#, "no userId"),
        ] {
            assert!(User::parse(body).unwrap_err().contains(problem));
        }
        assert!(User::parse(format!(r#"{{"userId":"{}"}}"#, "a".repeat(257)).as_bytes()).is_err());
    }
}
