//! Store: where the tokens of a session outlive the process: memory, one file, or your own.

use std::mem::{offset_of, size_of};
use std::sync::Arc;
use std::time::Duration;

use cmauth::bindings::invalid_argument;
use cmauth::{Error, FileStore, MemoryStore, Secret, Store, StoreError};
use libc::{c_char, c_int, c_void, size_t};

use crate::guard;
use crate::text::Text;

/// Keeps the session of one user. Immutable: sessions in any number of threads may use it at once.
pub struct cm_store {
    pub(crate) store: Result<Arc<dyn Store>, Error>,
    /// The context of a table that was refused: destroyed with this handle.
    _refused: Option<Context>,
}

/// What a callback of a store returns. A number that is none of these counts as `CM_STORE_RESULT_FAILED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum cm_store_result {
    /// It worked.
    Ok = 0,
    /// It did not; `cm_store_reply_set_message` can say why.
    Failed = 1,
    /// From `try_lock`: somebody else has the lock.
    Busy = 2,
    /// From `save` and `clear`: what is kept has this generation or a larger one.
    Newer = 3,
}

/// What a callback hands back. Valid until the callback returns.
pub struct cm_store_reply {
    record: Option<Secret>,
    generation: u64,
    message: Option<String>,
}

/// A store of your own: a table of functions, copied by `cm_store_custom`.
///
/// A record is a text of a few hundred bytes, secret, for the tokens are in it; do not look into it. A session calls
/// `load` at any time, `save` and `clear` only while it has the lock. Sessions on other machines are kept away by the lock
/// alone: one that can expire (a lease in Redis) needs the generation, by which a `save` of a holder that slept through its
/// end is refused.
///
/// All but `destroy` are called from the threads that call the session, never from a thread of the library: one at a time for
/// each session, from several threads at once where sessions share a store. A callback takes the time that it takes: the
/// timeout of a call does not end it, so give a store on a network timeouts of its own. A callback must not call the session
/// that uses it, nor throw; `cm_store_reply_...` is all it needs.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct cm_store_callbacks {
    /// `sizeof(cm_store_callbacks)`: which of them you know. Later versions add to the end.
    pub size: size_t,
    /// Hands over the record that was saved last by `cm_store_reply_set_record`, or nothing where there is none, and
    /// returns `CM_STORE_RESULT_OK`. Never half of one. A store that keeps the generation hands that over too, by
    /// `cm_store_reply_set_generation`, also where there is no record. Not NULL.
    pub load: Option<unsafe extern "C" fn(context: *mut c_void, reply: *mut cm_store_reply) -> c_int>,
    /// Keeps `record` (NUL-terminated; valid until it returns) in place of the one before. Not NULL.
    pub save: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            record: *const c_char,
            generation: u64,
            reply: *mut cm_store_reply,
        ) -> c_int,
    >,
    /// Removes the record. A store that tracks generations keeps this generation. Not NULL.
    pub clear: Option<unsafe extern "C" fn(context: *mut c_void, generation: u64, reply: *mut cm_store_reply) -> c_int>,
    /// Takes the lock if it is free, at once, for at least `hold_ms` milliseconds or until its holder dies;
    /// `CM_STORE_RESULT_BUSY` where somebody else has it. Not NULL.
    pub try_lock: Option<unsafe extern "C" fn(context: *mut c_void, hold_ms: i64, reply: *mut cm_store_reply) -> c_int>,
    /// Gives the lock back, from the thread of the `try_lock` that took it. If the lock can expire, another session that uses
    /// this context may hold it by now: release only the lock that this thread took. Not NULL.
    pub unlock: Option<unsafe extern "C" fn(context: *mut c_void)>,
    /// Called exactly once, from the thread that frees the last of the store and the sessions that use it; may be NULL. Also
    /// for a table that was refused, when the store is freed; not if it was refused because `size` does not reach to here,
    /// or if `cm_store_custom` returned NULL.
    pub destroy: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Everything but `destroy`, without which there is no store.
const NEEDED: usize = offset_of!(cm_store_callbacks, destroy);

/// A store in memory: the session lives as long as the process.
///
/// @return the store; NULL never, but in case of a bug
///
/// Free it with `cm_store_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn cm_store_memory() -> *mut cm_store {
    make(|| Ok(Arc::new(MemoryStore::new())))
}

/// A store in one file, for any number of processes of one machine; what to use unless you know better.
///
/// Only its owner can read it, and it is refused if others can. Beside it stand `path.lock`, which stays, and for a
/// moment `path.tmp`. A process that is killed, or a machine that loses power, leaves the old record or the new one.
///
/// The lock is the process's: it ends with it, and a child of `fork` does not inherit it. No other code of the process may open
/// and close `path.lock`, which would release it.
///
/// @param path  the file, which need not be there, in a folder that is; not NULL. A relative path counts from the working
///              directory of this moment. Of a symbolic link, the target is written and locked. A bad path is reported by
///              `cm_session_open`.
/// @return the store; NULL never, but in case of a bug
///
/// Free it with `cm_store_free`. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_file(path: *const c_char) -> *mut cm_store {
    make(|| {
        // SAFETY: a text as the conventions have it.
        let path = unsafe { guard::text("path", path)? };
        if path.is_empty() {
            return Err(invalid_argument("path", "it is empty"));
        }
        Ok(Arc::new(FileStore::new(path)))
    })
}

/// A store of your own: Redis, a keyring, a database.
///
/// @param callbacks  the functions, which are copied; not NULL. A bad table is reported by `cm_session_open`.
/// @param context    passed to each of them; may be NULL
/// @return the store; NULL never, but in case of a bug, and then the context is still yours
///
/// Free it with `cm_store_free`, which calls `destroy` once no session uses it, also after a bad table. Any thread. Since 0.1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_custom(callbacks: *const cm_store_callbacks, context: *mut c_void) -> *mut cm_store {
    guard::value(std::ptr::null_mut(), || {
        // SAFETY: as this function's.
        let (store, refused) = match unsafe { read(callbacks) } {
            Ok(table) => {
                let context = Context { context, destroy: table.destroy };
                let missing = missing(&table);
                match missing {
                    None => (Ok(Arc::new(Custom { table, context }) as Arc<dyn Store>), None),
                    Some(name) => (Err(invalid_argument("callbacks", format!("{name} is NULL"))), Some(context)),
                }
            }
            Err(error) => (Err(error), None),
        };
        Box::into_raw(Box::new(cm_store { store, _refused: refused }))
    })
}

/// The caller's table, as far as it goes.
///
/// # Safety
/// `callbacks` is NULL or points to a table that has as many bytes as its `size` says.
unsafe fn read(callbacks: *const cm_store_callbacks) -> Result<cm_store_callbacks, Error> {
    if callbacks.is_null() {
        return Err(invalid_argument("callbacks", "it is NULL"));
    }
    // SAFETY: not NULL, and the caller's table begins with its size.
    let size = unsafe { callbacks.cast::<size_t>().read() };
    if size < NEEDED {
        return Err(invalid_argument("callbacks", "its size is wrong; set it to sizeof(cm_store_callbacks)"));
    }
    // Whole functions only.
    let known = if size < size_of::<cm_store_callbacks>() { NEEDED } else { size_of::<cm_store_callbacks>() };
    let mut table =
        cm_store_callbacks { size, load: None, save: None, clear: None, try_lock: None, unlock: None, destroy: None };
    // SAFETY: the caller's table has `size` bytes, ours no fewer than are copied, and both begin alike.
    unsafe {
        callbacks.cast::<u8>().copy_to_nonoverlapping((&raw mut table).cast(), known);
    }
    Ok(table)
}

/// The first function that a store needs and this table lacks.
fn missing(table: &cm_store_callbacks) -> Option<&'static str> {
    let needed = [
        ("load", table.load.is_some()),
        ("save", table.save.is_some()),
        ("clear", table.clear.is_some()),
        ("try_lock", table.try_lock.is_some()),
        ("unlock", table.unlock.is_some()),
    ];
    needed.iter().find(|(_, there)| !there).map(|(name, _)| *name)
}

/// Frees a store. Sessions that use it keep it alive.
///
/// @param store  the store, or NULL
///
/// Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_free(store: *mut cm_store) {
    // SAFETY: a handle as the conventions have it.
    unsafe { guard::free(store) }
}

/// From `load`: hands the record over.
///
/// @param reply   what the callback was given; NULL: nothing happens
/// @param record  the record, which is copied, so free yours; NULL: there is none
///
/// Within a callback. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_reply_set_record(reply: *mut cm_store_reply, record: *const c_char) {
    guard::value((), || {
        // SAFETY: a reply is given to one callback, in one thread.
        if let Some(reply) = unsafe { reply.as_mut() } {
            // SAFETY: NULL or a text as the conventions have it. What is not UTF-8 is no record, which is reported.
            let text = |record| unsafe { guard::text_or_problem(record) }.unwrap_or_default();
            reply.record = (!record.is_null()).then(|| Secret::new(text(record)));
        }
    });
}

/// From `load`: the generation of the last `save` or `clear`, if the store keeps it; also where there is no record. A new
/// login then gets a larger one, so that the store accepts it, whatever the clocks of the machines say.
///
/// @param reply       what the callback was given; NULL: nothing happens
/// @param generation  the generation; 0, as without this call: unknown
///
/// Within a callback. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_reply_set_generation(reply: *mut cm_store_reply, generation: u64) {
    guard::value((), || {
        // SAFETY: a reply is given to one callback, in one thread.
        if let Some(reply) = unsafe { reply.as_mut() } {
            reply.generation = generation;
        }
    });
}

/// From any callback that fails: says why, in one line for the log that names the place. Tokens in it are hidden.
///
/// @param reply    what the callback was given; NULL: nothing happens
/// @param message  the words, which are copied; NULL: none
///
/// Within a callback. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cm_store_reply_set_message(reply: *mut cm_store_reply, message: *const c_char) {
    guard::value((), || {
        // SAFETY: a reply is given to one callback, in one thread.
        if let Some(reply) = unsafe { reply.as_mut() } {
            // SAFETY: NULL or a text as the conventions have it.
            reply.message = unsafe { guard::text_or_problem(message) }.ok().map(str::to_owned);
        }
    });
}

fn make(store: impl FnOnce() -> Result<Arc<dyn Store>, Error>) -> *mut cm_store {
    guard::value(std::ptr::null_mut(), || Box::into_raw(Box::new(cm_store { store: store(), _refused: None })))
}

/// The caller's functions. All but `destroy` are there.
struct Custom {
    table: cm_store_callbacks,
    context: Context,
}

/// The caller's context, destroyed once.
struct Context {
    context: *mut c_void,
    destroy: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

// SAFETY: the caller of cm_store_custom promises that its functions take calls from several threads.
unsafe impl Send for Custom {}
// SAFETY: as above.
unsafe impl Sync for Custom {}

impl Custom {
    /// Runs one of the functions, and reads what it returned.
    fn ask(
        &self,
        name: &str,
        call: impl FnOnce(*mut c_void, *mut cm_store_reply) -> Option<c_int>,
    ) -> Result<(bool, cm_store_reply), StoreError> {
        let mut reply = cm_store_reply { record: None, generation: 0, message: None };
        match call(self.context.context, &raw mut reply) {
            Some(result) if result == cm_store_result::Ok as c_int => Ok((true, reply)),
            Some(result) if result == cm_store_result::Busy as c_int && name == "try_lock" => Ok((false, reply)),
            Some(result) if result == cm_store_result::Newer as c_int => Err(StoreError::Newer),
            other => Err(StoreError::Failed(
                reply.message.take().unwrap_or_else(|| format!("{name} returned {}", other.unwrap_or_default())),
            )),
        }
    }
}

// SAFETY of all calls below: the caller of cm_store_custom promises functions that can be called so.
impl Store for Custom {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        // SAFETY: see above.
        let (_, reply) =
            self.ask("load", |context, reply| self.table.load.map(|load| unsafe { load(context, reply) }))?;
        Ok(reply.record)
    }

    fn save(&self, record: &Secret, generation: u64) -> Result<(), StoreError> {
        let record = Text::new(record.expose());
        // SAFETY: see above.
        let call =
            |context, reply| self.table.save.map(|save| unsafe { save(context, record.as_ptr(), generation, reply) });
        self.ask("save", call).map(drop)
    }

    fn clear(&self, generation: u64) -> Result<(), StoreError> {
        // SAFETY: see above.
        let call = |context, reply| self.table.clear.map(|clear| unsafe { clear(context, generation, reply) });
        self.ask("clear", call).map(drop)
    }

    fn try_lock(&self, hold: Duration) -> Result<bool, StoreError> {
        let hold = i64::try_from(hold.as_millis()).unwrap_or(i64::MAX);
        // SAFETY: see above.
        let call = |context, reply| self.table.try_lock.map(|try_lock| unsafe { try_lock(context, hold, reply) });
        self.ask("try_lock", call).map(|(locked, _)| locked)
    }

    fn unlock(&self) {
        if let Some(unlock) = self.table.unlock {
            // SAFETY: see above.
            unsafe { unlock(self.context.context) }
        }
    }

    fn generation(&self) -> Result<u64, StoreError> {
        // SAFETY: see above.
        let (_, reply) =
            self.ask("load", |context, reply| self.table.load.map(|load| unsafe { load(context, reply) }))?;
        Ok(reply.generation)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the caller of cm_store_custom promises a function that can be called so; nobody uses the context after.
            unsafe { destroy(self.context) }
        }
    }
}
