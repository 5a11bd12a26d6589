//! Wiping of what is secret when it is freed: by `zeroize`, or by an allocator that wipes all it gets back.
//!
//! The bindings bring such an allocator, for the HTTP and TLS libraries know nothing of secrets; there, wiping a second time
//! by the byte would be a tenth of a refresh.

#[cfg(not(feature = "wiping-allocator"))]
pub(crate) use zeroize::Zeroizing;

/// The same, where the program's allocator wipes.
#[cfg(feature = "wiping-allocator")]
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Zeroizing<T>(T);

#[cfg(feature = "wiping-allocator")]
impl<T> Zeroizing<T> {
    pub(crate) fn new(value: T) -> Self {
        Zeroizing(value)
    }
}

#[cfg(feature = "wiping-allocator")]
impl<T> From<T> for Zeroizing<T> {
    fn from(value: T) -> Self {
        Zeroizing(value)
    }
}

#[cfg(feature = "wiping-allocator")]
impl<T> std::ops::Deref for Zeroizing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(feature = "wiping-allocator")]
impl<T> std::ops::DerefMut for Zeroizing<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
