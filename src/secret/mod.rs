//! Secrets: client secrets, authorization codes, access tokens and refresh tokens.
//!
//! A type that holds one of these holds it as a [`Secret`]. A text of the server must pass through [`redact`] before it
//! is printed.

use std::fmt;

use percent_encoding::utf8_percent_encode;
use subtle::ConstantTimeEq;

use crate::escapes::Readings;
use crate::url::COMPONENT;
use crate::wipe::Zeroizing;

/// A text that is wiped from memory when dropped, is compared in constant time, and prints as `[redacted]`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text. A `String` is not copied.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself. The caller must keep it secret.
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
    /// Takes the same time wherever the texts differ. Their lengths are not secret.
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

/// The longest text of the server in an error, in bytes.
const MAX_SHOWN_LEN: usize = 512;

/// How much of the beginning of a text can be shown. It is more than an error has, because redaction makes the text
/// shorter. The limit also bounds the time of redaction.
const MAX_REDACTED_LEN: usize = 8 * MAX_SHOWN_LEN;

/// How much of the text is searched: twice as much, to find a secret of which only the beginning could be shown.
const MAX_SEARCHED_LEN: usize = 2 * MAX_REDACTED_LEN;

/// A piece of a secret with this many bytes is secret, too: servers shorten what they echo.
const PIECE_LEN: usize = 8;

/// The largest number of comparisons for one text. An ordinary text needs a fortieth. A text that needs more was made
/// to take long, and is not shown at all.
const MAX_STEPS: usize = 2_000_000;

/// Prepares a text of the server for printing: control characters become spaces, all pieces of `secrets` are replaced,
/// and at most 512 bytes are left. Ordinary words of a message stay, even if a secret is such a word.
///
/// Errors of this server echo the code or token of the request (`Invalid authorization code: AbCdEf`). The server, or a
/// proxy on the way, may escape them: percent-encoded, as in JSON or as in HTML, several times and in any combination.
pub(crate) fn redact(text: &str, secrets: &[&str]) -> String {
    let text = cut(text, MAX_SEARCHED_LEN);
    let readings = Readings::new(text.as_bytes());
    let text = cut(text, MAX_REDACTED_LEN);
    let mut hidden = vec![false; text.len()];
    let mut steps = MAX_STEPS;
    for secret in secrets {
        for form in written_forms(secret) {
            if Pieces::of(&form).hide(text, &readings, &mut hidden, &mut steps).is_none() {
                return REDACTED.to_owned();
            }
        }
    }

    let mut shown = String::with_capacity(text.len());
    let mut in_secret = false;
    for (i, c) in text.char_indices() {
        if hidden[i..i + c.len_utf8()].contains(&true) {
            if !in_secret {
                shown.push_str(REDACTED);
            }
            in_secret = true;
        } else {
            shown.push(if c.is_control() { ' ' } else { c });
            in_secret = false;
        }
    }
    cut(&shown, MAX_SHOWN_LEN).trim().to_owned()
}

/// The secret itself, and two escaped forms. The escaped forms are longer, so shorter pieces of the secret are found in
/// them.
fn written_forms(secret: &str) -> [Zeroizing<String>; 3] {
    let html = secret
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;");
    [secret.to_owned(), utf8_percent_encode(secret, COMPONENT).to_string(), html].map(Zeroizing::new)
}

/// All pieces of a secret with [`PIECE_LEN`] bytes. A shorter secret is one piece.
struct Pieces {
    /// Each piece as a number whose highest byte is the first one. Sorted, so that pieces with the same beginning are
    /// neighbours.
    sorted: Zeroizing<Vec<u64>>,
    /// The length of each piece, in bytes.
    length: usize,
    /// The length of the secret, in bytes.
    secret_len: usize,
    /// Whether the secret is as short as a syllable, or an ordinary word.
    can_be_ordinary: bool,
}

impl Pieces {
    fn of(secret: &str) -> Pieces {
        let can_be_ordinary = vocabulary::can_be_ordinary(secret);
        let secret = secret.as_bytes();
        let length = secret.len().min(PIECE_LEN);
        let number = |piece: &[u8]| piece.iter().fold(0, |number, byte| number << 8 | u64::from(fold(*byte)));
        let mut sorted = Zeroizing::new(Vec::with_capacity(secret.len()));
        if length > 0 {
            sorted.extend(secret.windows(length).map(number));
        }
        sorted.sort_unstable();
        sorted.dedup();
        Pieces { sorted, length, secret_len: secret.len(), can_be_ordinary }
    }

    /// Marks every part of a text that can be read as one of the pieces, and is no ordinary part of a message. `None` if
    /// that takes more than `steps`.
    fn hide(&self, text: &str, readings: &Readings, hidden: &mut [bool], steps: &mut usize) -> Option<()> {
        if self.length == 0 {
            return Some(());
        }
        for start in 0..hidden.len() {
            if let Some(end) = self.end_of(readings, start as u32, 0, 0, steps)? {
                let end = hidden.len().min(end as usize);
                if !(self.can_be_ordinary && vocabulary::is_ordinary(text, start, end, self.secret_len)) {
                    hidden[start..end].fill(true);
                }
            }
        }
        Some(())
    }

    /// The end of the longest piece that can be read from `position` on. `beginning` has the first `known` bytes of the
    /// piece, which were read before `position`.
    fn end_of(
        &self,
        readings: &Readings,
        position: u32,
        known: usize,
        beginning: u64,
        steps: &mut usize,
    ) -> Option<Option<u32>> {
        if known == self.length {
            return Some(Some(position));
        }
        let mut longest = None;
        for reading in readings.at(position) {
            *steps = steps.checked_sub(1)?;
            let bytes = &reading.bytes()[..reading.bytes().len().min(self.length - known)];
            let beginning = bytes.iter().fold(beginning, |number, byte| number << 8 | u64::from(fold(*byte)));
            let known = known + bytes.len();
            if self.has_beginning(beginning, known) {
                longest = longest.max(self.end_of(readings, reading.end, known, beginning, steps)?);
            }
        }
        Some(longest)
    }

    /// Whether one of the pieces begins with these `known` bytes.
    fn has_beginning(&self, beginning: u64, known: usize) -> bool {
        let begins = |piece: &u64| piece >> (8 * (self.length - known));
        let first = self.sorted.partition_point(|piece| begins(piece) < beginning);
        self.sorted.get(first).is_some_and(|piece| begins(piece) == beginning)
    }
}

/// Normalizes a byte for comparison: servers change the case of what they echo, a form has a plus for a space, and a
/// control character is shown as a space.
fn fold(byte: u8) -> u8 {
    match byte {
        b'+' => b' ',
        control if control.is_ascii_control() => b' ',
        byte => byte.to_ascii_lowercase(),
    }
}

/// At most `limit` bytes of the text, without an incomplete character.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=text.len().min(limit)).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

pub(crate) mod vocabulary;

#[cfg(test)]
mod random_escapes;

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
    fn a_secret_across_the_length_limit_is_replaced() {
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

    /// Characters that servers escape: `/`, `+`, `=`, `&`, quotes, a backslash, a percent sign, a space, a letter of
    /// two bytes.
    const SYMBOLS: &str = "a/b+c=d&e\"f'g\\h%i<j>k l\u{e9}m";

    #[test]
    fn a_secret_in_any_escaped_form_is_replaced() {
        for escaped in [
            // Percent-encoded: twice, some characters only, and as JavaScript's `escape` does it.
            "a%252Fb%252Bc%253Dd%2526e%2522f%2527g%255Ch%2525i%253Cj%253Ek%2520l%25C3%25A9m",
            "a/b%2bc%3dd%26e\"f'g\\h%25i<j>k+l\u{e9}m",
            "a%u002Fb%u002Bc=d&e\"f'g\\h%25i<j>k l%u00E9m",
            // As in JSON: once, twice, and with the escapes of Java and JavaScript.
            "a\\/b\\u002bc\\u003Dd\\u0026e\\\"f\\u0027g\\\\h%i\\u003cj\\u003Ek l\\u00e9m",
            "a\\\\/b\\\\u002bc=d&e\\\\\\\"f'g\\\\\\\\h%i<j>k l\\\\u00e9m",
            "a\\x2fb\\x2Bc=d&e\\x22f\\'g\\x5ch%i<j>k l\\xe9m",
            // As in HTML: numbers, names, twice.
            "a&#47;b&#43;c&#61;d&#38;e&#34;f&#39;g&#92;h&#37;i&#60;j&#62;k&#32;l&#233;m",
            "a&#x2F;b&#x2b;c&#X3D;d&#x00026;e&#x22;f&#x27;g&#x5C;h&#x25;i&#x3c;j&#x3E;k l&#xE9;m",
            "a&sol;b&plus;c&equals;d&amp;e&quot;f&apos;g&bsol;h&percnt;i&lt;j&gt;k l\u{e9}m",
            "a/b+c=d&amp;amp;e&amp;quot;f&amp;#39;g\\h%i&amp;lt;j&amp;gt;k l\u{e9}m",
            // In combination.
            "a%26%2347%3Bb%26%2343%3Bc%3Dd%26amp%3Be%26quot%3Bf'g%5Ch%25i%26lt%3Bj%26gt%3Bk%20l%C3%A9m",
            "a\\u00252Fb\\u00252Bc%3Dd%26e%22f%27g%5Ch%25i%3Cj%3Ek%20l%C3%A9m",
        ] {
            assert_eq!(redact(&format!("code: {escaped}."), &[SYMBOLS]), "code: [redacted].", "{escaped}");
        }
        assert_eq!(redact("x\\ud83d\\uDE00y", &["x\u{1f600}y"]), "[redacted]");
        assert_eq!(redact("abcd\nefgh", &["abcd efgh"]), "[redacted]");
    }

    #[test]
    fn escapes_that_hide_no_secret_stay_as_they_are() {
        let text = "100 % of caf&eacute;s &amp; bars \\ \\u002 \\ud83d %zz &#x; &#1114112; %25";
        assert_eq!(redact(text, &[TOKEN, SYMBOLS, "AbCdEf"]), text);
    }

    #[test]
    fn a_short_secret_at_the_end_of_the_searched_text_is_replaced() {
        // Redaction shortens the text, so its end can be shown.
        let text = format!("{}{}", "abcdefgh".repeat(511), "x");
        for text in [format!("{text}%2541%2562%2543"), format!("{text}AbCdEf"), format!("{text}0xAbCdEf")] {
            let shown = redact(&text, &["abcdefgh", "AbCdEf"]);
            assert!(!shown.contains("Ab") && !shown.contains("%2562"), "{shown}");
        }
    }

    #[test]
    fn a_text_that_was_made_to_take_long_is_redacted_in_time() {
        for piece in ["%25", "\\", "&amp;", "&#38;", "%5c", "\\u005c", "%2525\\\\&", "%"] {
            let text = piece.repeat(100_000);
            let begun = std::time::Instant::now();
            for secret in [SYMBOLS, "%%%%%%%%%%%%%%%%", "\\\\\\\\\\\\\\\\\\\\", &piece.repeat(1000)] {
                assert!(redact(&text, &[secret]).len() <= 512);
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{piece}: {:?}", begun.elapsed());
        }
    }
}
