//! The target of this library's records in the `log` crate.

pub(crate) const TARGET: &str = "cmauth";
