//! The core's lines in Python's `logging`, under the logger `cmauth`. Nothing in them is secret.
//!
//! A program that does not use `logging` pays for none of it: whether it does, and from which level, is looked up when a
//! call begins, with the interpreter at hand anyway.

use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

struct Bridge;

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "cmauth"
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Nobody listens any more while the interpreter ends.
        let _ = Python::try_attach(|py| {
            let Some(logger) = LOGGER.get(py) else { return };
            let told = logger
                .bind(py)
                .call_method1(intern!(py, "log"), (number(record.level()), "%s", record.args().to_string()));
            if let Err(error) = told {
                error.write_unraisable(py, None);
            }
        });
    }

    fn flush(&self) {}
}

/// Asks `logging` from which level on lines are wanted.
pub(crate) fn prepare(py: Python<'_>) {
    if let Ok(level) = wanted(py) {
        log::set_max_level(level);
    }
}

fn wanted(py: Python<'_>) -> PyResult<LevelFilter> {
    let logger = match LOGGER.get(py) {
        Some(logger) => logger.bind(py).clone(),
        None => {
            // A program that has not imported it listens to nobody.
            let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?;
            let Some(logging) = modules.get_item(intern!(py, "logging"))? else {
                return Ok(LevelFilter::Off);
            };
            let logger = logging.call_method1(intern!(py, "getLogger"), ("cmauth",))?;
            // Else `logging` prints warnings of a program that did not ask for any.
            logger.call_method1("addHandler", (logging.call_method0("NullHandler")?,))?;
            static INSTALL: Once = Once::new();
            INSTALL.call_once(|| _ = log::set_logger(&Bridge));
            LOGGER.get_or_init(py, || logger.clone().unbind());
            logger
        }
    };
    let from: i64 = logger.call_method0(intern!(py, "getEffectiveLevel"))?.extract()?;
    let levels = [Level::Debug, Level::Info, Level::Warn, Level::Error];
    Ok(levels
        .into_iter()
        .find(|level| number(*level) >= from)
        .map_or(LevelFilter::Off, |level| level.to_level_filter()))
}

/// Python's number of a level.
fn number(level: Level) -> i64 {
    match level {
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug | Level::Trace => 10,
    }
}
