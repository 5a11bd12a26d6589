//! Text that must not be seen: client secrets, codes, access and refresh tokens.
//!
//! Everything that holds one of these holds it as a [`Secret`]. The functions that write text for people
//! ([`redact`]) live here too, so that one file answers for what is printable.

use std::fmt;

use percent_encoding::utf8_percent_encode;
use subtle::ConstantTimeEq;

use crate::url::COMPONENT;
use crate::wipe::Zeroizing;

/// A text that is wiped from memory when dropped, compares in constant time and prints as `[redacted]`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; no copy is made of a `String`.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Secret(text)
    }
}

impl PartialEq for Secret {
    /// Takes the same time wherever the texts differ; their lengths are no secret.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

pub(crate) const REDACTED: &str = "[redacted]";

/// What a text of the server may at most add to an error, in bytes.
const SERVER_TEXT_LIMIT: usize = 512;

/// A piece of a secret this long is a secret too: servers shorten what they echo.
const PIECE: usize = 8;

/// Makes a text of the server fit to be shown: control characters become spaces, every trace of `secrets` is
/// replaced, and at most 512 bytes are left.
///
/// Errors of this server echo the code or token that was sent (`Invalid authorization code: AbCdEf`), some versions
/// HTML-escaped.
pub(crate) fn redact(text: &str, secrets: &[&str]) -> String {
    // More than this is never shown, and redaction takes time in proportion.
    let text = cut(text, 8 * SERVER_TEXT_LIMIT);
    let mut hidden = vec![false; text.len()];
    for secret in secrets {
        for form in written_forms(secret) {
            hide(text.as_bytes(), form.as_bytes(), &mut hidden);
        }
    }

    let mut shown = String::with_capacity(text.len());
    let mut in_secret = false;
    for (i, c) in text.char_indices() {
        if hidden[i] {
            if !in_secret {
                shown.push_str(REDACTED);
            }
            in_secret = true;
        } else {
            shown.push(if c.is_control() { ' ' } else { c });
            in_secret = false;
        }
    }
    cut(&shown, SERVER_TEXT_LIMIT).trim().to_owned()
}

/// The ways in which a server may write a secret back.
fn written_forms(secret: &str) -> [Zeroizing<String>; 3] {
    let html = secret
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;");
    [secret.to_owned(), utf8_percent_encode(secret, COMPONENT).to_string(), html].map(Zeroizing::new)
}

/// Marks every place of `text` that repeats `secret`, or a piece of it of at least [`PIECE`] bytes.
fn hide(text: &[u8], secret: &[u8], hidden: &mut [bool]) {
    let shortest = secret.len().min(PIECE);
    if shortest == 0 {
        return;
    }
    let same = |a: &[u8], b: &[u8]| a.iter().zip(b).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    for start in 0..text.len() {
        let longest =
            (0..=secret.len() - shortest).map(|from| same(&text[start..], &secret[from..])).max().unwrap_or(0);
        if longest >= shortest {
            hidden[start..start + longest].fill(true);
        }
    }
}

/// At most `limit` bytes of the text, never half a character.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=text.len().min(limit)).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0f8fad5b-d9cb-469f-a165-70867728950e:10003";

    #[test]
    fn a_secret_prints_as_redacted() {
        let secret = Secret::new(TOKEN);
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(format!("{:?}", Some(&secret)), "Some([redacted])");
    }

    #[test]
    fn secrets_are_equal_when_their_texts_are() {
        assert_eq!(Secret::new("abc"), Secret::new("abc"));
        assert_ne!(Secret::new("abc"), Secret::new("abd"));
        assert_ne!(Secret::new("abc"), Secret::new("abcd"));
    }

    #[test]
    fn an_echoed_secret_is_replaced() {
        assert_eq!(redact(&format!("Invalid refresh token: {TOKEN}!"), &[TOKEN]), "Invalid refresh token: [redacted]!");
        assert_eq!(redact("Invalid authorization code: AbCdEf", &["AbCdEf"]), "Invalid authorization code: [redacted]");
    }

    #[test]
    fn an_escaped_shortened_or_recased_secret_is_replaced() {
        assert_eq!(redact("code A&amp;b&lt;cd", &["A&b<cd"]), "code [redacted]");
        assert_eq!(redact("x=a%20b%2Fc", &["a b/c"]), "x=[redacted]");
        assert_eq!(redact(&TOKEN[5..20], &[TOKEN]), "[redacted]");
        assert_eq!(redact(&TOKEN.to_uppercase(), &[TOKEN]), "[redacted]");
    }

    #[test]
    fn a_secret_across_the_cut_is_replaced() {
        for before in 480..530 {
            let text = format!("{}{TOKEN}", "é".repeat(before / 2));
            let shown = redact(&text, &[TOKEN]);
            assert!(shown.len() <= 512);
            assert!(!shown.contains(&TOKEN[..6]), "{shown}");
        }
    }

    #[test]
    fn control_characters_become_spaces() {
        assert_eq!(redact("a\r\nb\0c\x1b[31m", &[]), "a  b c [31m");
    }

    #[test]
    fn an_empty_secret_hides_nothing() {
        assert_eq!(redact("text", &[""]), "text");
    }
}
