//! Strings that a handle lends to C.

use libc::c_char;

/// A NUL-terminated copy of a text. The allocator wipes it when its handle is freed.
pub(crate) struct Text(Vec<u8>);

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        Text(bytes)
    }

    pub(crate) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

/// A pointer to the text, or NULL if there is none.
pub(crate) fn or_null(text: Option<&Text>) -> *const c_char {
    text.map_or(std::ptr::null(), Text::as_ptr)
}
