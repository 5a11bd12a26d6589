//! Wipes secrets when they are freed: by `zeroize`, or by an allocator that wipes all freed memory.
//!
//! The bindings have such an allocator, because the HTTP and TLS libraries do not wipe their buffers. There, `zeroize`
//! would wipe secrets a second time, which is a tenth of the CPU of a refresh.

#[cfg(not(feature = "wiping-allocator"))]
pub(crate) use zeroize::Zeroizing;

/// The same with an allocator that wipes: this type does nothing.
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
