//! The embedded default: one file for one session.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::{Store, StoreError};
use crate::secret::Secret;
use crate::wipe::Zeroizing;

/// No record is this large.
const LARGEST: u64 = 256 * 1024;

/// Keeps a session in one file, which only its owner can read, for any number of processes of one machine.
///
/// Beside `path` stand `path.lock`, which stays, and for a moment `path.tmp`: a record is written there, synced and
/// renamed, so that a process that is killed or a machine that loses power leaves the old record or the new one. A
/// file that other users can read is refused; on Windows the folder's rights are the file's.
pub struct FileStore {
    path: PathBuf,
    /// The open lock file while it is held.
    held: ArcSwapOption<Held>,
}

struct Held {
    file: File,
    process: u32,
}

impl FileStore {
    /// A store at `path`, in a folder that exists. Nothing is opened yet: what is wrong with it, the session reports
    /// when it is opened.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        FileStore { path: path.into(), held: ArcSwapOption::empty() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    fn write(&self, record: &Secret) -> io::Result<()> {
        let temporary = self.beside(".tmp");
        // One that a killed process left; who holds the lock is alone here.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private().create_new(true).open(&temporary)?;
        file.write_all(record.expose().as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &self.path)?;
        self.sync_folder()
    }

    fn remove(&self) -> io::Result<()> {
        for path in [self.beside(".tmp"), self.path.clone()] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.sync_folder()
    }

    /// A rename survives a loss of power once the folder is written. Windows has no such call and needs none.
    fn sync_folder(&self) -> io::Result<()> {
        #[cfg(unix)]
        File::open(folder(&self.path))?.sync_all()?;
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> StoreError {
        StoreError::Failed(format!("{}: {error}", self.path.display()))
    }
}

impl Store for FileStore {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            // Nobody is logged in, or nobody ever can be.
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder(&self.path).is_dir() => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = file.metadata().map_err(|error| self.failed(&error))?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let path = self.path.display();
                return Err(StoreError::Failed(format!(
                    "{path}: other users can read or write it (mode {mode:o}); if its content can be trusted, \
                     chmod 600 {path}"
                )));
            }
        }
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        file.take(LARGEST).read_to_end(&mut text).map_err(|error| self.failed(&error))?;
        // What is no text is no record either, which whoever reads it reports.
        Ok(Some(Secret::new(str::from_utf8(&text).unwrap_or_default())))
    }

    fn save(&self, record: &Secret, _generation: u64) -> Result<(), StoreError> {
        self.write(record).map_err(|error| self.failed(&error))
    }

    fn clear(&self, _generation: u64) -> Result<(), StoreError> {
        self.remove().map_err(|error| self.failed(&error))
    }

    fn try_lock(&self, _hold: Duration) -> Result<bool, StoreError> {
        let process = std::process::id();
        if self.held.load().as_ref().is_some_and(|held| held.process == process) {
            return Ok(false);
        }
        // Opened anew each time, so that sessions and threads of one process exclude each other as processes do.
        let lock = self.beside(".lock");
        let file = private().create(true).open(&lock);
        let file = file.map_err(|error| StoreError::Failed(format!("{}: {error}", lock.display())))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => {
                return Err(StoreError::Failed(format!("{}: {error}", lock.display())));
            }
        }
        // In the child of a fork this closes the copy of the parent's, which would keep it locked.
        self.held.store(Some(Held { file, process }.into()));
        Ok(true)
    }

    fn unlock(&self) {
        if let Some(held) = self.held.swap(None) {
            // Closing is not enough where a child of a fork has a copy.
            let _ = held.file.unlock();
        }
    }

    fn allows_background(&self) -> bool {
        true
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileStore").field(&self.path).finish()
    }
}

/// Opens for writing what only the owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(1);

    /// A new folder, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("cmauth-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Folder(path)
        }

        fn store(&self) -> FileStore {
            FileStore::new(self.0.join("session"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_keeps_one_record_and_lets_one_store_in_at_a_time() {
        let folder = Folder::new("keeps");
        let (store, other) = (folder.store(), folder.store());
        assert_eq!(store.load().unwrap(), None);
        assert!(store.try_lock(HOLD).unwrap());
        assert!(!store.try_lock(HOLD).unwrap());
        assert!(!other.try_lock(HOLD).unwrap());
        store.save(&Secret::new("a"), 1).unwrap();
        store.save(&Secret::new("b"), 2).unwrap();
        store.unlock();
        assert!(other.try_lock(HOLD).unwrap());
        assert_eq!(other.load().unwrap(), Some(Secret::new("b")));
        other.clear(3).unwrap();
        other.clear(4).unwrap();
        other.unlock();
        assert_eq!(store.load().unwrap(), None);
    }

    #[test]
    fn what_a_killed_process_left_is_no_hindrance() {
        let folder = Folder::new("killed");
        fs::write(folder.0.join("session.tmp"), "half a rec").unwrap();
        let store = folder.store();
        assert_eq!(store.load().unwrap(), None);
        store.save(&Secret::new("a"), 1).unwrap();
        assert_eq!(store.load().unwrap(), Some(Secret::new("a")));
        assert!(!folder.0.join("session.tmp").exists());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it_or_it_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new("rights");
        let store = folder.store();
        assert!(store.try_lock(HOLD).unwrap());
        store.save(&Secret::new("a"), 1).unwrap();
        for name in ["session", "session.lock"] {
            assert_eq!(fs::metadata(folder.0.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(store.path(), fs::Permissions::from_mode(mode)).unwrap();
            let StoreError::Failed(message) = store.load().unwrap_err() else { panic!() };
            assert!(message.contains("other users") && message.contains("chmod 600"), "{message}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = Folder::new("missing");
        let store = FileStore::new(folder.0.join("no/session"));
        for error in [
            store.load().unwrap_err(),
            store.try_lock(HOLD).unwrap_err(),
            store.save(&Secret::new("a"), 1).unwrap_err(),
        ] {
            let StoreError::Failed(message) = error else { panic!() };
            assert!(message.contains("no/session"), "{message}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_no_record() {
        let folder = Folder::new("damaged");
        let store = folder.store();
        store.save(&Secret::new("a"), 1).unwrap();
        fs::write(store.path(), [0xff, 0xfe]).unwrap();
        assert_eq!(store.load().unwrap(), Some(Secret::new("")));
    }
}
