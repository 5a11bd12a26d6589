//! The core's lines in Python's `logging`, under the logger `cmauth`. Nothing in them is secret.
//!
//! A program that does not use `logging` pays for none of it: whether it does, and from which level, is looked up when a
//! call begins, with the interpreter at hand anyway.
//!
//! A thread of the library itself never enters the interpreter: before Python 3.14 the interpreter ends such a thread by
//! force when it ends itself, and with it the process. Its lines wait for a thread of the program.

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

static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// So many lines of the library's threads wait at most; the oldest are dropped.
const MOST_WAITING: usize = 256;

/// Lines of the library's threads.
static WAITING: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());
static SOME_WAIT: AtomicBool = AtomicBool::new(false);

struct Line {
    /// In the child of a fork, its parent's lines are not its own.
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
        // Nobody listens any more while the interpreter ends.
        let _ = Python::try_attach(|py| {
            let Some(logger) = LOGGER.get(py) else { return };
            deliver(py);
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

/// Keeps a line of a thread of the library.
fn keep(thread: &str, record: &Record<'_>) {
    let (level, text) = (record.level(), record.args().to_string());
    let line = Line { process: std::process::id(), at: SystemTime::now(), thread: thread.to_owned(), level, text };
    let Some(mut waiting) = lock() else { return };
    if waiting.len() == MOST_WAITING {
        waiting.pop_front();
    }
    waiting.push_back(line);
    SOME_WAIT.store(true, Ordering::Release);
}

/// The lines that wait. `None` in the child of a fork if a thread of its parent, which does not exist here, has the lock:
/// else it is held for a moment only.
fn lock() -> Option<MutexGuard<'static, VecDeque<Line>>> {
    (0..100).find_map(|_| {
        let lock = WAITING.try_lock().ok();
        if lock.is_none() {
            thread::yield_now();
        }
        lock
    })
}

/// Hands the lines of the library's threads to `logging`, with the time at which each was said.
pub(crate) fn deliver(py: Python<'_>) {
    // Read first: threads that only ask for tokens write nothing that they share.
    if !SOME_WAIT.load(Ordering::Relaxed) || !SOME_WAIT.swap(false, Ordering::Acquire) {
        return;
    }
    // A handler may call the library, and log, in its turn.
    let lines = lock().map(|mut waiting| std::mem::take(&mut *waiting)).unwrap_or_default();
    let Some(logger) = LOGGER.get(py) else { return };
    for line in lines.into_iter().filter(|line| line.process == std::process::id()) {
        if let Err(error) = tell(logger.bind(py), line) {
            error.write_unraisable(py, None);
        }
    }
}

fn tell(logger: &Bound<'_, PyAny>, line: Line) -> PyResult<()> {
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

/// Asks `logging` from which level on lines are wanted.
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
