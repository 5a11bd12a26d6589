//! Which texts a request can carry.

/// The longest text. A server of this kind accepts 8 KiB of headers by default, and an encoded URL must stay below 64
/// KiB.
pub(crate) const MAX_TEXT_LEN: usize = 8 * 1024;

pub(crate) const EMPTY: &str = "it is empty";

/// Checks a text for a request: it is not empty, not too long, and has no control characters. The error says what is
/// wrong with it.
pub(crate) fn check_text(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err(EMPTY)
    } else if text.len() > MAX_TEXT_LEN {
        Err("it is longer than 8 KiB")
    } else if text.chars().any(char::is_control) {
        Err("it has a control character; was it read with its line end?")
    } else {
        Ok(())
    }
}

/// Checks a scope: names that are separated by one space each (RFC 6749, section 3.3). The server refuses a scope that begins or ends
/// with a space.
pub(crate) fn check_scope(scope: &str) -> Result<(), &'static str> {
    check_text(scope)?;
    if scope.split(' ').any(str::is_empty) {
        return Err("it begins or ends with a space, or has two in a row; separate names by one space");
    }
    Ok(())
}

/// Whether a header can carry the text: printable ASCII without spaces.
pub(crate) fn fits_header(text: &str) -> bool {
    text.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}
