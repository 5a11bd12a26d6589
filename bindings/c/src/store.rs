//! Store. You need one to open a session: it keeps the tokens when your program ends.
//! Use `cm_store_file`. If several machines share a user, or you need a keyring or database, use `cm_store_custom`.

use std::mem::{offset_of, size_of};
use std::sync::Arc;
use std::time::Duration;

use cmauth::bindings::invalid_argument;
use cmauth::{Error, FileStore, MemoryStore, Secret, Store, StoreError};
use libc::{c_char, c_void, size_t};

use crate::context::{Context, cm_destroy_callback};
use crate::guard;
use crate::handle::{self, Cell, handle};
use crate::text::Text;
use crate::version::CM_NONE;

/// Keeps the tokens of one user. Many sessions can use it.
pub struct cm_store(Cell<cm_store>);
handle!(cm_store, Value);

pub(crate) struct Value {
    pub(crate) store: Result<Arc<dyn Store>, Error>,
    /// The context of a rejected table. It is destroyed with this handle.
    _rejected: Option<Context>,
}

/// What a store callback returns. Any other number counts as `CM_STORE_RESULT_FAILED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum cm_store_result {
    /// The callback succeeded.
    Ok = 0,
    /// The callback failed. `cm_store_reply_set_message` can give the reason.
    Failed = 1,
    /// From `try_lock`: another holder has the lock.
    Busy = 2,
    /// From `save` and `clear`: the store has this generation or a larger one.
    Newer = 3,
}

/// Receives the results of a store callback. It is valid until the callback returns.
pub struct cm_store_reply {
    record: Option<Secret>,
    generation: u64,
    message: Option<String>,
}

/// The functions of a store of your own. `cm_store_custom` copies this table. Only `destroy` may be NULL.
///
/// A session saves a record: a text of a few hundred bytes. The record contains the tokens, so keep it secret, and
/// do not depend on its form. A session calls `load` at any time, and `save` and `clear` only while it holds the
/// lock.
///
/// If the lock can expire, as in Redis, the store must track generations: it keeps the generation of the last
/// `save` or `clear`, and rejects a call with one that is not larger. So it rejects a `save` from a holder whose
/// lock has expired. examples/c/redis_store.c shows such a store.
///
/// The session calls these functions, except `destroy`, on the threads that call the session. It makes one call at
/// a time. Sessions that share a store can call it from several threads at the same time. A callback may only call
/// the `cm_store_reply_…` functions, not the session. Neither the timeout of a call nor a cancel
/// ends a callback: its time is its own. `cm_store_time_left_ms` says how long it may take.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct cm_store_callbacks {
    /// `sizeof(cm_store_callbacks)`. It tells the library which members your program knows. Later versions add
    /// members at the end.
    pub size: size_t,
    /// Passes the last saved record to `cm_store_reply_set_record`, if there is one, and never a part of it. A
    /// store that tracks generations passes the generation to `cm_store_reply_set_generation`, even if there is no
    /// record.
    pub load: Option<unsafe extern "C" fn(context: *mut c_void, reply: *mut cm_store_reply) -> i32>,
    /// Saves `record` in place of the previous one. `record` ends with NUL and is valid until the callback returns.
    /// A store that tracks generations saves `generation` too. It returns `CM_STORE_RESULT_NEWER` if it already has
    /// this generation or a larger one, but `CM_STORE_RESULT_OK` if it has the same record with the same
    /// generation.
    pub save: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            record: *const c_char,
            generation: i64,
            reply: *mut cm_store_reply,
        ) -> i32,
    >,
    /// Removes the record. A store that tracks generations keeps this generation, and returns
    /// `CM_STORE_RESULT_NEWER` as `save` does.
    pub clear: Option<unsafe extern "C" fn(context: *mut c_void, generation: i64, reply: *mut cm_store_reply) -> i32>,
    /// Takes the lock if it is free, and returns `CM_STORE_RESULT_BUSY` if it is not. It does not wait. The lock
    /// lasts for at least `hold_ms` milliseconds, or until its holder ends.
    pub try_lock: Option<unsafe extern "C" fn(context: *mut c_void, hold_ms: i64, reply: *mut cm_store_reply) -> i32>,
    /// Releases the lock, on the thread that took it with `try_lock`. If the lock can expire, another session may
    /// hold it by now: release only the lock that this thread took. A failure is logged as a warning.
    pub unlock: Option<unsafe extern "C" fn(context: *mut c_void, reply: *mut cm_store_reply) -> i32>,
    /// Frees `context`. It is called exactly once: when the store and the last session that uses it are freed. This
    /// also holds if the table was rejected. It is not called if `size` is too small to contain it, or if
    /// `cm_store_custom` returned NULL.
    pub destroy: cm_destroy_callback,
}

/// The size of a table with all required functions.
const MIN_SIZE: usize = offset_of!(cm_store_callbacks, destroy);

/// Makes a store in memory. The tokens are lost when the process ends.
///
/// @return the store
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn cm_store_memory() -> *mut cm_store {
    new_handle(|| Ok(Arc::new(MemoryStore::new())))
}

/// Makes a store in one file, for any number of processes on one machine.
///
/// Only the owner of the file may be able to read it; otherwise the store refuses the file. There is also a lock
/// file, `path.lock`, which is never removed, and for short times `path.tmp`. If the process is killed or the
/// machine loses power, the file contains either the old or the new record.
///
/// The lock belongs to the process. It ends with the process, and a child of `fork` does not inherit it. No other
/// code of the process may open and close `path.lock`, because that would release the lock.
///
/// @param path  the file, which need not exist, in a folder that exists. A relative path counts from the working
///              directory at the time of this call. If the path is a symbolic link, its target is written and
///              locked. `cm_session_open` reports a bad path.
/// @return the store
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_file(path: *const c_char) -> *mut cm_store {
    new_handle(|| {
        // SAFETY: the text follows the header's rules.
        let path = unsafe { guard::text("path", path)? };
        if path.is_empty() {
            return Err(invalid_argument("path", "it is empty"));
        }
        Ok(Arc::new(FileStore::new(path)))
    })
}

/// Makes a store from functions of your own, for example for Redis, a keyring or a database.
///
/// @param callbacks  the functions. `cm_session_open` reports a bad table.
/// @param context    passed to each function; may be NULL
/// @return the store. If it is NULL, `destroy` is not called: free the context yourself.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_custom(callbacks: *const cm_store_callbacks, context: *mut c_void) -> *mut cm_store {
    guard::value(std::ptr::null_mut(), || {
        // SAFETY: as this function's.
        let (store, rejected) = match unsafe { copy_table(callbacks) } {
            Ok(table) => {
                let context = Context::new(context, table.destroy);
                let missing = first_missing(&table);
                match missing {
                    None => (Ok(Arc::new(Custom { table, context }) as Arc<dyn Store>), None),
                    Some(name) => (Err(invalid_argument("callbacks", format!("{name} is NULL"))), Some(context)),
                }
            }
            Err(error) => (Err(error), None),
        };
        handle::make(Value { store, _rejected: rejected })
    })
}

/// Copies the caller's table, up to its size.
///
/// # Safety
/// `callbacks` is NULL or points to a table that has as many bytes as its `size` says.
unsafe fn copy_table(callbacks: *const cm_store_callbacks) -> Result<cm_store_callbacks, Error> {
    if callbacks.is_null() {
        return Err(invalid_argument("callbacks", "it is NULL"));
    }
    // SAFETY: not NULL, and the caller's table begins with its size.
    let size = unsafe { callbacks.cast::<size_t>().read() };
    if size < MIN_SIZE {
        return Err(invalid_argument("callbacks", "its size is wrong; set it to sizeof(cm_store_callbacks)"));
    }
    // A pointer that is only partly inside the size does not count.
    let known = if size < size_of::<cm_store_callbacks>() { MIN_SIZE } else { size_of::<cm_store_callbacks>() };
    let mut table =
        cm_store_callbacks { size, load: None, save: None, clear: None, try_lock: None, unlock: None, destroy: None };
    // SAFETY: both tables have the same layout and at least `known` bytes.
    unsafe {
        callbacks.cast::<u8>().copy_to_nonoverlapping((&raw mut table).cast(), known);
    }
    Ok(table)
}

/// The name of the first required function that is NULL.
fn first_missing(table: &cm_store_callbacks) -> Option<&'static str> {
    let needed = [
        ("load", table.load.is_some()),
        ("save", table.save.is_some()),
        ("clear", table.clear.is_some()),
        ("try_lock", table.try_lock.is_some()),
        ("unlock", table.unlock.is_some()),
    ];
    needed.iter().find(|(_, there)| !there).map(|(name, _)| *name)
}

/// Frees a store. Sessions that use it can still do so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_free(store: *mut cm_store) {
    // SAFETY: the handle follows the header's rules.
    unsafe { handle::free(store) }
}

/// How long the callback that runs on this thread may still take, until the call of the session reaches its timeout. Neither the
/// timeout nor a cancel ends a callback, so use this time as the limit of your own requests.
///
/// @return milliseconds, at least 1000, because new tokens are saved even after the timeout; `CM_NONE`: no callback of a store runs on
///         this thread
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn cm_store_time_left_ms() -> i64 {
    guard::value(CM_NONE, || match cmauth::store_time_left() {
        Some(time) => i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
        None => CM_NONE,
    })
}

/// Passes the record to the session. Call it in `load`.
///
/// @param reply   the parameter of the callback
/// @param record  the record, which is copied; NULL: there is none
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_reply_set_record(reply: *mut cm_store_reply, record: *const c_char) {
    guard::value((), || {
        // SAFETY: only one thread uses a reply, inside a callback.
        if let Some(reply) = unsafe { reply.as_mut() } {
            // SAFETY: the text follows the header's rules. Invalid UTF-8 becomes an empty record, which the session
            // reports.
            let text = |record| unsafe { guard::text_or_problem(record) }.unwrap_or_default();
            reply.record = (!record.is_null()).then(|| Secret::new(text(record)));
        }
    });
}

/// Passes the generation of the last `save` or `clear` to the session. Call it in `load` if the store tracks
/// generations. A new login then gets a larger generation, which the store accepts even if the clocks of the
/// machines differ.
///
/// @param reply       the parameter of the callback
/// @param generation  the generation, from 1 to 2^53 - 1; 0 or `CM_NONE`: unknown, as without this call. Another number makes
///                    the call of the session fail with `CM_STATUS_STORE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_reply_set_generation(reply: *mut cm_store_reply, generation: i64) {
    guard::value((), || {
        // SAFETY: only one thread uses a reply, inside a callback.
        if let Some(reply) = unsafe { reply.as_mut() } {
            reply.generation = if generation == CM_NONE { 0 } else { generation.try_into().unwrap_or(u64::MAX) };
        }
    });
}

/// Passes the reason of a failure to the session. Call it in any callback that fails. The reason becomes part of
/// the error's message; tokens in it are hidden.
///
/// @param reply    the parameter of the callback
/// @param message  one line that names the place, such as "Redis at 10.1.2.3:6379: no connection"; NULL: none
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_reply_set_message(reply: *mut cm_store_reply, message: *const c_char) {
    guard::value((), || {
        // SAFETY: only one thread uses a reply, inside a callback.
        if let Some(reply) = unsafe { reply.as_mut() } {
            // SAFETY: the text follows the header's rules.
            reply.message = unsafe { guard::text_or_problem(message) }.ok().map(str::to_owned);
        }
    });
}

fn new_handle(store: impl FnOnce() -> Result<Arc<dyn Store>, Error>) -> *mut cm_store {
    guard::value(std::ptr::null_mut(), || handle::make(Value { store: store(), _rejected: None }))
}

/// A store that calls the caller's functions. None is NULL except `destroy`.
struct Custom {
    table: cm_store_callbacks,
    context: Context,
}

// SAFETY: the caller of cm_store_custom promises that its functions take calls from several threads.
unsafe impl Send for Custom {}
// SAFETY: as above.
unsafe impl Sync for Custom {}

impl Custom {
    /// Runs a function and evaluates its result.
    fn run(
        &self,
        name: &str,
        call: impl FnOnce(*mut c_void, *mut cm_store_reply) -> Option<i32>,
    ) -> Result<(bool, cm_store_reply), StoreError> {
        let mut reply = cm_store_reply { record: None, generation: 0, message: None };
        match call(self.context.as_ptr(), &raw mut reply) {
            Some(result) if result == cm_store_result::Ok as i32 => Ok((true, reply)),
            Some(result) if result == cm_store_result::Busy as i32 && name == "try_lock" => Ok((false, reply)),
            Some(result) if result == cm_store_result::Newer as i32 => Err(StoreError::Newer),
            other => Err(StoreError::Failed(
                reply.message.take().unwrap_or_else(|| format!("{name} returned {}", other.unwrap_or_default())),
            )),
        }
    }
}

/// A generation is less than 2^53.
fn for_c(generation: u64) -> i64 {
    i64::try_from(generation).unwrap_or(i64::MAX)
}

// SAFETY of all calls below: the caller of cm_store_custom promises functions that follow cm_store_callbacks.
impl Store for Custom {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        // SAFETY: see above.
        let (_, reply) =
            self.run("load", |context, reply| self.table.load.map(|load| unsafe { load(context, reply) }))?;
        Ok(reply.record)
    }

    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
        let record = Text::new(record.expose());
        let generation = for_c(generation);
        // SAFETY: see above.
        let call =
            |context, reply| self.table.save.map(|save| unsafe { save(context, record.as_ptr(), generation, reply) });
        self.run("save", call).map(drop)
    }

    fn clear(&self, generation: u64) -> Result<(), StoreError> {
        let generation = for_c(generation);
        // SAFETY: see above.
        let call = |context, reply| self.table.clear.map(|clear| unsafe { clear(context, generation, reply) });
        self.run("clear", call).map(drop)
    }

    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
        let hold = i64::try_from(hold.as_millis()).unwrap_or(i64::MAX);
        // SAFETY: see above.
        let call = |context, reply| self.table.try_lock.map(|try_lock| unsafe { try_lock(context, hold, reply) });
        self.run("try_lock", call).map(|(locked, _)| locked)
    }

    fn unlock(&self) -> Result<(), StoreError> {
        // SAFETY: see above.
        let call = |context, reply| self.table.unlock.map(|unlock| unsafe { unlock(context, reply) });
        self.run("unlock", call).map(drop)
    }

    fn generation(&self) -> Result<u64, StoreError> {
        // SAFETY: see above.
        let (_, reply) =
            self.run("load", |context, reply| self.table.load.map(|load| unsafe { load(context, reply) }))?;
        Ok(reply.generation)
    }
}
