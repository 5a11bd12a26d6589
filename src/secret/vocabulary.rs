//! Texts of the server that are no secret, even if a secret is the same word.
//!
//! A test has a client secret such as `secret`, or a token such as `token`. If every such word were hidden, the text would
//! say nothing, and its holes would show what the secret is.

/// The words of the messages of Spring Security OAuth and of the vendor's guide, of the codes of RFC 6749 and RFC 6750, and
/// of HTTP's reason phrases.
const WORDS: &str = "\
    a accept acceptable access accessed account again allowed an and api applicable approval approve approved are at \
    authenticate authentication authorities authority authorization authorize authorized bad basic be bearer been \
    bodies body but by bytes camera cameras cannot client closed code conflict connection content could credentials \
    delete denied deny detached detail did different disabled does dynamic encoding entity error exceeded exception \
    expired expires failed failure first for forbidden found from full gateway get given gone grant granted grants \
    has have header host html http https id implicit in insufficient internal invalid is it json key large length \
    limit limits locked login logout long many match matched media message method mismatch mismatched missing \
    modified moved multiple must name narrow new no not null oauth of ok old on one only or page parameter \
    parameters password path payload permanently permission permitted post precondition private processing proxy \
    public put query range rate read realm redirect refresh registered rejected representation request requested \
    requests required requires resource resources response rest revoked scope scopes secret secured self server \
    service session status string such support supported temporarily temporary test the this time timeout title to \
    token tokens too try type unable unauthorized unavailable unexpected unknown unprocessable unsupported uri url \
    use used user username users using valid value values was were when while with without write wrong xml you your";

/// A shorter secret is hidden as a whole word only: it protects nothing, and every text has its letters.
const MIN_LEN: usize = 4;

/// Whether the text of a message can have this secret in it by chance.
pub(crate) fn can_be_ordinary(secret: &str) -> bool {
    secret.len() < MIN_LEN || is_words(secret)
}

/// Whether `text[start..end]`, which reads like a secret (or a piece of it), is an ordinary part of a message.
///
/// It is if all words around it are known, except as an echo: `Invalid access token: token`. Without the exact text of
/// the secret, as in an escape, it is not.
pub(super) fn is_ordinary(text: &str, start: usize, end: usize, secret_len: usize) -> bool {
    let bytes = text.as_bytes();
    if !bytes[start..end].iter().all(|byte| is_part(*byte)) {
        return false;
    }
    let before = bytes[..start].iter().rev().take_while(|byte| is_part(**byte)).count();
    let after = bytes[end..].iter().take_while(|byte| is_part(**byte)).count();
    let (first, last) = (start - before, end + after);
    let is_whole = before == 0 && after == 0;
    if secret_len < MIN_LEN && !is_whole && !ends_in_escape(&bytes[..start]) {
        return true;
    }
    let is_echo = is_value(&bytes[..first]) && (is_whole || secret_len > end - start);
    !is_echo && is_words(&text[first..last])
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Whether a value follows, as in `token: `, `token=` and `"token": "`.
fn is_value(before: &[u8]) -> bool {
    matches!(before.trim_ascii_end().last(), Some(b':' | b'=')) || matches!(before.last(), Some(b'"' | b'\''))
}

/// Whether the end of a text can be an escape: `%20`, `\n`, `\u0020`.
fn ends_in_escape(before: &[u8]) -> bool {
    let begins = |length: usize, sign: u8| before.len() >= length && before[before.len() - length] == sign;
    begins(3, b'%') || begins(2, b'\\') || begins(4, b'\\') || begins(6, b'\\') || begins(6, b'%')
}

/// Whether a text is one of the words, or several with `_` or `-` between them.
fn is_words(text: &str) -> bool {
    text.split(['_', '-'])
        .all(|part| part.is_empty() || WORDS.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(part)))
}

#[cfg(test)]
mod tests {
    use super::super::redact;

    #[test]
    fn a_secret_that_is_a_word_hides_no_message() {
        for text in [
            "Bad credentials",
            "Full authentication is required to access this resource",
            "Unable to narrow the scope of the client authentication to [write].",
            "Missing grant type",
            "invalid_grant",
            "insufficient_scope",
            "Invalid client secret. Access is denied",
            "Redirect URI mismatch.",
        ] {
            for secret in
                ["client", "secret", "token", "invalid", "Bad", "authentication", "AUTHENTICATION", "scope", "e", "is"]
            {
                assert_eq!(redact(text, &[secret]), text, "{secret}");
            }
        }
    }

    #[test]
    fn a_secret_that_is_a_word_is_hidden_where_it_is_echoed() {
        assert_eq!(redact("Invalid access token: token", &["token"]), "Invalid access token: [redacted]");
        assert_eq!(
            redact("Invalid refresh token (expired): Password", &["password"]),
            "Invalid refresh token (expired): [redacted]"
        );
        assert_eq!(redact("code=secret&x=client_secret", &["secret"]), "code=[redacted]&x=client_secret");
        assert_eq!(
            redact(r#"{"error":"token","e":"invalid_token"}"#, &["token"]),
            r#"{"error":"[redacted]","e":"invalid_token"}"#
        );
        assert_eq!(redact("token: authentication", &["authentication"]), "token: [redacted]");
        assert_eq!(redact("Invalid access token: e", &["e"]), "Invalid access token: [redacted]");
        assert_eq!(redact("token:%20e", &["e"]), "token:%20[redacted]");
        assert_eq!(redact("token%3A+secret", &["secret"]), "token%3A+secret");
    }

    #[test]
    fn a_secret_that_begins_like_a_word_is_hidden() {
        for secret in
            ["client:10003", "token-7f3a", "tokenizer", "secretary", "authentications", "access.token", "client_7"]
        {
            let shown = redact(&format!("Invalid access token: {secret}"), &[secret]);
            assert_eq!(shown, "Invalid access token: [redacted]");
            let shown = redact(&format!("the client {secret} is unknown"), &[secret]);
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(redact("the secret AbCdEf is unknown", &["AbCdEf"]), "the secret [redacted] is unknown");
        assert_eq!(redact("xyzAbCdEfxyz", &["AbCdEf"]), "xyz[redacted]xyz");
    }
}
