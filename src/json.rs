//! JSON that holds secrets, wiped from memory when it is dropped: responses of the server, and saved tokens and logins.

use std::fmt::Write;

use serde_json::Value;

use crate::wipe::Zeroizing;

/// A JSON value whose texts are wiped from memory when it is dropped.
pub(crate) struct Wiped(pub(crate) Value);

/// The value of a key is not a string.
pub(crate) struct NotText;

impl Wiped {
    /// `None` if the text is not JSON. The message of the parser is dropped, because it can quote the text.
    pub(crate) fn parse(json: &[u8]) -> Option<Wiped> {
        serde_json::from_slice(json).ok().map(Wiped)
    }

    /// Takes the string of `key` out of an object. `None` if there is none, or if it is `null`.
    pub(crate) fn take_text(&mut self, key: &str) -> Result<Option<Zeroizing<String>>, NotText> {
        match self.0.get_mut(key).map(Value::take) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(Zeroizing::new(text))),
            Some(other) => {
                drop(Wiped(other));
                Err(NotText)
            }
        }
    }

    /// The value as text, in one allocation of `capacity` bytes: a growing string would leave copies behind.
    pub(crate) fn to_text(&self, capacity: usize) -> String {
        let mut text = String::with_capacity(capacity);
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", self.0);
        text
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        #[cfg(not(feature = "wiping-allocator"))]
        wipe(&mut self.0);
    }
}

#[cfg(not(feature = "wiping-allocator"))]
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => zeroize::Zeroize::zeroize(text),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
