//! Forwards the log lines of the core to the logger `cmauth` of Python's `logging`. They contain no secrets.
//!
//! Each call looks up first whether the program uses `logging`, and from which level. A program without `logging` pays
//! nothing.
//!
//! Background threads of the library never enter the interpreter: before Python 3.14, the interpreter kills such a thread
//! when it shuts down, which aborts the process. Their lines wait until a thread of the program delivers them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::errors;

static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// How many lines of background threads wait at most. Older ones are dropped.
const MAX_WAITING: usize = 256;

/// Lines of background threads.
static WAITING: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());
static ANY_WAITING: AtomicBool = AtomicBool::new(false);

struct Line {
    /// The process that wrote the line. The child of a fork must not log the lines of its parent.
    process: u32,
    at: SystemTime,
    thread: String,
    level: Level,
    text: String,
}

struct Bridge;

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "cmauth"
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let thread = thread::current();
        if let Some(name) = thread.name().filter(|name| name.starts_with("cmauth-")) {
            return keep(name, record);
        }
        // This does nothing while the interpreter shuts down.
        let _ = Python::try_attach(|py| {
            let Some(logger) = LOGGER.get(py) else { return };
            deliver(py);
            // The call is about to raise that, so no handler must hold it up.
            if errors::has_interrupt() {
                return;
            }
            let logged = logger
                .bind(py)
                .call_method1(intern!(py, "log"), (number(record.level()), "%s", record.args().to_string()));
            if let Err(error) = logged {
                report(py, error);
            }
        });
    }

    fn flush(&self) {}
}

/// Keeps a line of a background thread.
fn keep(thread: &str, record: &Record<'_>) {
    let (level, text) = (record.level(), record.args().to_string());
    let line = Line { process: std::process::id(), at: SystemTime::now(), thread: thread.to_owned(), level, text };
    let Some(mut waiting) = lock() else { return };
    if waiting.len() == MAX_WAITING {
        waiting.pop_front();
    }
    waiting.push_back(line);
    ANY_WAITING.store(true, Ordering::Release);
}

/// Locks the waiting lines. Threads hold this lock for a moment only, so this gives up after 100 tries: in the child of a
/// fork, a thread that exists only in the parent can hold it for ever.
fn lock() -> Option<MutexGuard<'static, VecDeque<Line>>> {
    (0..100).find_map(|_| {
        let lock = WAITING.try_lock().ok();
        if lock.is_none() {
            thread::yield_now();
        }
        lock
    })
}

/// Passes the lines of background threads to `logging`, each with the time at which it was written.
pub(crate) fn deliver(py: Python<'_>) {
    // A read comes first, so that threads which only read tokens do not write to shared memory.
    if !ANY_WAITING.load(Ordering::Relaxed) || !ANY_WAITING.swap(false, Ordering::Acquire) {
        return;
    }
    // A handler may itself call the library and log.
    let lines = lock().map(|mut waiting| std::mem::take(&mut *waiting)).unwrap_or_default();
    let Some(logger) = LOGGER.get(py) else { return };
    for line in lines.into_iter().filter(|line| line.process == std::process::id()) {
        if let Err(error) = write(logger.bind(py), line) {
            report(py, error);
        }
    }
}

/// A failure of a handler must not disturb the call. `KeyboardInterrupt` and its like end it.
fn report(py: Python<'_>, error: PyErr) {
    if !errors::keep_interrupt(py, &error) {
        error.write_unraisable(py, None);
    }
}

fn write(logger: &Bound<'_, PyAny>, line: Line) -> PyResult<()> {
    let py = logger.py();
    let level = number(line.level);
    if !logger.call_method1(intern!(py, "isEnabledFor"), (level,))?.is_truthy()? {
        return Ok(());
    }
    let made = ("cmauth", level, "(cmauth)", 0, "%s", (line.text,), py.None());
    let record = logger.call_method1(intern!(py, "makeRecord"), made)?;
    let at = line.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    record.setattr(intern!(py, "created"), at.as_secs_f64())?;
    record.setattr(intern!(py, "msecs"), f64::from(at.subsec_millis()))?;
    record.setattr(intern!(py, "threadName"), line.thread)?;
    logger.call_method1(intern!(py, "handle"), (record,))?;
    Ok(())
}

/// Takes the log level from `logging`.
pub(crate) fn prepare(py: Python<'_>) {
    deliver(py);
    if let Ok(level) = wanted(py) {
        log::set_max_level(level);
    }
}

fn wanted(py: Python<'_>) -> PyResult<LevelFilter> {
    let logger = match LOGGER.get(py) {
        Some(logger) => logger.bind(py).clone(),
        None => {
            // A program that has not imported it wants no lines.
            let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?;
            let Some(logging) = modules.get_item(intern!(py, "logging"))? else {
                return Ok(LevelFilter::Off);
            };
            let logger = logging.call_method1(intern!(py, "getLogger"), ("cmauth",))?;
            // Without a handler, `logging` would print warnings to standard error.
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

/// The number of a level in Python.
fn number(level: Level) -> i64 {
    match level {
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug | Level::Trace => 10,
    }
}
