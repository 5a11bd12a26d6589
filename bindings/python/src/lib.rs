//! The CameraManager login for Python: the private module `cmauth._cmauth`, over the safe Rust API.
//!
//! Each file defines the Python classes of one part of the core. The package `python/cmauth` re-exports them, and defines in
//! Python the enumerations, the exceptions and the type of the options. `_cmauth.pyi` repeats the signatures and docs of this
//! crate for editors and type checkers; a test compares the two.

mod cancel;
mod client;
mod errors;
mod logging;
mod login;
mod session;
mod store;
mod store_thread;
mod tokens;

use std::alloc::System;

use pyo3::prelude::*;
use zeroizing_alloc::ZeroAlloc;

// Requests and responses pass through buffers of the HTTP and TLS libraries, which do not wipe secrets.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

#[pymodule]
mod _cmauth {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::cancel::Cancel;
    #[pymodule_export]
    use crate::client::{Client, User, exchange_code, logout, refresh};
    #[pymodule_export]
    use crate::login::Login;
    #[pymodule_export]
    use crate::session::{Health, Origins, Session, SignedUrl};
    #[pymodule_export]
    use crate::store::{FileStore, MemoryStore, store_time_left};
    #[pymodule_export]
    use crate::store_thread::Answer;
    #[pymodule_export]
    use crate::tokens::Tokens;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", cmauth::VERSION)?;
        module.add("DEFAULT_BASE_URL", cmauth::DEFAULT_BASE_URL)?;
        module.add("_STATUSES", crate::errors::statuses())?;
        module.add("_ADVICES", crate::errors::advices())
    }
}

/// Converts a Python string for the core. The string may be secret, so this copy is wiped. If the string is not valid
/// UTF-8 (it has a lone surrogate), the error has its name only; Python's `UnicodeEncodeError` would show the string.
fn text(name: &str, value: &Bound<'_, pyo3::types::PyString>) -> PyResult<cmauth::Secret> {
    match value.extract::<String>() {
        Ok(text) => Ok(cmauth::Secret::new(text)),
        Err(_) => Err(errors::to_python(
            value.py(),
            &cmauth::bindings::invalid_argument(name, "it is not Unicode text; was it read with the wrong encoding?"),
        )),
    }
}
