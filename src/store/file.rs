//! [`FileStore`]: keeps the record of one session in a file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::lock::FileLock;
use super::{Store, StoreError};
use crate::error::Error;
use crate::secret::Secret;
use crate::wipe::Zeroizing;

/// Upper limit for the bytes that are read. A record is much smaller.
const MAX_RECORD_LEN: u64 = 256 * 1024;

/// Maximum number of symbolic links on the way to the file, as in Linux.
const MAX_SYMLINKS: usize = 40;

/// Keeps a session in one file that only its owner can read. Any number of processes of one machine can share it.
///
/// Two other files are created beside `path`. `path.lock` is the lock file, which is never removed. `path.tmp` exists only
/// during a save: the record is written to it, synced and renamed, so a crash of the process or a loss of power leaves either
/// the old record or the new one. A file that other users can read is refused. On Windows the rights of the folder decide who
/// can read the file.
///
/// A relative path is resolved against the working directory at the time when the store is made. If `path` is a symbolic link,
/// the record, the lock and the temporary file are at its target, so stores that use different names of one file share it.
///
/// On Unix the lock belongs to the process that took it, and a forked child does not inherit it. The lock is lost if other
/// code in the process opens and closes `path.lock`, so only this library may do that.
pub struct FileStore {
    path: PathBuf,
    /// Set while the lock is held. In a forked child it can be a copy of the parent's, which holds no lock.
    lock: ArcSwapOption<FileLock>,
}

impl FileStore {
    /// Makes a store at `path`, in a folder that exists. Opens no file: a session reports problems with the file when it is
    /// opened.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        // This fails for an empty path or if the working directory was removed. The first use of the path reports it.
        let path = std::path::absolute(&path).unwrap_or(path);
        FileStore { path, lock: ArcSwapOption::empty() }
    }

    /// The absolute path of the file. Symbolic links are not resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path behind the symbolic links. It is looked up each time, and the file need not exist.
    fn target(&self) -> Result<PathBuf, StoreError> {
        let mut path = self.path.clone();
        for _ in 0..=MAX_SYMLINKS {
            if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
                return Ok(path);
            }
            let link = fs::read_link(&path).map_err(|error| self.error_at(&path, &error))?;
            path = folder(&path).join(link);
        }
        Err(self.error_at(&self.path, &io::Error::other("too many levels of symbolic links")))
    }

    /// An error message with the path of the file and, if it differs, the path that the program gave.
    fn error_at(&self, path: &Path, error: &io::Error) -> StoreError {
        let mut message = format!("{}: {error}", path.display());
        if path != self.path && path != with_suffix(&self.path, ".lock") {
            message += &format!(" ({} is a symbolic link to it)", self.path.display());
        }
        // These stay until somebody corrects them.
        let remedy = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "create its folder, or give another path",
            io::ErrorKind::PermissionDenied => "give this process the right to read and write the file and its folder",
            io::ErrorKind::ReadOnlyFilesystem => "give a path that can be written",
            _ => return StoreError::Failed(message),
        };
        StoreError::Unusable(format!("{message}; {remedy}"))
    }
}

const NOT_A_FILE: &str = "it is no regular file; give the path of a file of its own, which need not exist";

/// Opens a file without waiting, also if somebody has put a FIFO in its place.
fn open_to_read(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.open(path)
}

fn write(path: &Path, record: &Secret) -> io::Result<()> {
    let temporary = with_suffix(path, ".tmp");
    // A killed process may have left the file. The lock is held, so no other process is writing it.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = owner_only().create_new(true).open(&temporary)?;
    file.write_all(record.expose().as_bytes())?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

fn remove(path: &Path) -> io::Result<()> {
    for path in [&with_suffix(path, ".tmp"), path] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync_folder(path)
}

/// A rename survives a loss of power only after the folder is synced. Windows has no such call and needs none.
#[cfg_attr(not(unix), allow(clippy::unnecessary_wraps, unused_variables, reason = "as on Unix"))]
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder(path))?.sync_all()?;
    Ok(())
}

fn with_suffix(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(ending);
    path.into()
}

impl Store for FileStore {
    fn load(&self) -> Result<Option<Secret>, StoreError> {
        let path = self.target()?;
        let file = match open_to_read(&path) {
            Ok(file) => file,
            // If the folder exists, no user is logged in. Without the folder, nothing could be saved either.
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder(&path).is_dir() => return Ok(None),
            Err(error) => return Err(self.error_at(&path, &error)),
        };
        let found = file.metadata().map_err(|error| self.error_at(&path, &error))?;
        if !found.is_file() {
            return Err(StoreError::Unusable(format!("{}: {NOT_A_FILE}", path.display())));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = found.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let path = path.display();
                return Err(StoreError::Unusable(format!(
                    "{path}: other users can read or write it (mode {mode:o}); if you trust its content, run: \
                     chmod 600 {path}"
                )));
            }
        }
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        file.take(MAX_RECORD_LEN).read_to_end(&mut text).map_err(|error| self.error_at(&path, &error))?;
        // Bytes that are not UTF-8 become an empty text, which the reader of the record reports as damaged.
        Ok(Some(Secret::new(str::from_utf8(&text).unwrap_or_default())))
    }

    fn save(&self, record: &Secret, _generation: u64) -> Result<(), StoreError> {
        let path = self.target()?;
        write(&path, record).map_err(|error| self.error_at(&path, &error))
    }

    fn clear(&self, _generation: u64) -> Result<(), StoreError> {
        let path = self.target()?;
        remove(&path).map_err(|error| self.error_at(&path, &error))
    }

    fn try_lock(&self, _hold: Duration) -> Result<bool, StoreError> {
        if self.lock.load().as_ref().is_some_and(|lock| lock.belongs_to_this_process()) {
            return Ok(false);
        }
        let path = with_suffix(&self.target()?, ".lock");
        match FileLock::acquire(&path, |path| owner_only().create(true).open(path)) {
            Ok(Some(lock)) => {
                self.lock.store(Some(lock.into()));
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(self.error_at(&path, &error)),
        }
    }

    fn unlock(&self) -> Result<(), StoreError> {
        if let Some(lock) = self.lock.swap(None) {
            lock.release();
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let bad = |path: &Path, problem: &str| {
            Err(Error::invalid_argument("path", format_args!("{}: {problem}", path.display())))
        };
        if self
            .path
            .as_os_str()
            .as_encoded_bytes()
            .last()
            .is_some_and(|last| std::path::is_separator(char::from(*last)))
        {
            return bad(&self.path, "it ends like a folder; give the path of a file");
        }
        let Ok(path) = self.target() else {
            return Ok(()); // The load that follows says why.
        };
        match fs::metadata(&path) {
            Ok(found) if !found.is_file() => bad(&path, NOT_A_FILE),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder(&path).is_dir() => {
                bad(&path, "its folder does not exist; create the folder, or give another path")
            }
            _ => Ok(()),
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

/// Options to open a file for writing. A new file is readable by its owner only.
fn owner_only() -> OpenOptions {
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
pub(super) mod tests {
    use super::*;
    use crate::error::{Advice, Status};

    const HOLD: Duration = Duration::from_secs(1);

    /// A new folder that is removed at the end of the test.
    pub(crate) struct Folder(pub(crate) PathBuf);

    impl Folder {
        pub(crate) fn new(name: &str) -> Self {
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
        store.unlock().unwrap();
        assert!(other.try_lock(HOLD).unwrap());
        assert_eq!(other.load().unwrap(), Some(Secret::new("b")));
        other.clear(3).unwrap();
        other.clear(4).unwrap();
        other.unlock().unwrap();
        assert_eq!(store.load().unwrap(), None);
    }

    #[test]
    fn a_temporary_file_of_a_killed_process_is_replaced() {
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
    fn the_file_is_private_and_one_that_others_can_read_is_refused() {
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
            let StoreError::Unusable(message) = store.load().unwrap_err() else { panic!() };
            assert!(message.contains("other users") && message.contains("chmod 600"), "{message}");
        }
    }

    #[test]
    fn a_path_that_can_be_no_file_is_refused_when_a_session_opens() {
        let folder = Folder::new("paths");
        let error = |path: PathBuf| FileStore::new(path).check().unwrap_err();
        for (error, problem) in [
            (error(folder.0.clone()), "it is no regular file"),
            (error(folder.0.join("session/")), "it ends like a folder"),
            (error(folder.0.join("no/session")), "its folder does not exist"),
        ] {
            assert_eq!((error.status(), error.advice()), (Status::InvalidArgument, Advice::Fix));
            assert!(error.message().starts_with("path: ") && error.message().contains(problem), "{error}");
            assert!(!error.message().contains("chmod"), "{error}");
        }
        folder.store().check().unwrap();
        folder.store().save(&Secret::new("a"), 1).unwrap();
        folder.store().check().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_or_device_in_place_of_the_file_blocks_nobody_and_is_refused() {
        use std::process::Command;
        let folder = Folder::new("fifo");
        let path = folder.0.join("session");
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap().success());
        for path in [path, PathBuf::from("/dev/null")] {
            let store = FileStore::new(path);
            assert_eq!(store.check().unwrap_err().status(), Status::InvalidArgument);
            let error = store.load().unwrap_err();
            assert!(matches!(&error, StoreError::Unusable(message) if message.contains("no regular file")), "{error}");
            assert_eq!(error.to_error("be read", &[]).advice(), Advice::Fix);
        }
    }

    #[test]
    fn a_missing_folder_is_named_in_the_error() {
        let folder = Folder::new("missing");
        let store = FileStore::new(folder.0.join("no/session"));
        for error in [
            store.load().unwrap_err(),
            store.try_lock(HOLD).unwrap_err(),
            store.save(&Secret::new("a"), 1).unwrap_err(),
        ] {
            let StoreError::Unusable(message) = error else { panic!() };
            assert!(message.contains("no/session") && message.contains("create its folder"), "{message}");
        }
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_an_empty_record() {
        let folder = Folder::new("damaged");
        let store = folder.store();
        store.save(&Secret::new("a"), 1).unwrap();
        fs::write(store.path(), [0xff, 0xfe]).unwrap();
        assert_eq!(store.load().unwrap(), Some(Secret::new("")));
    }

    #[test]
    fn a_relative_path_is_resolved_when_the_store_is_made() {
        // bindings/c/tests/c/stores.c changes the working directory. Here that would disturb other tests.
        let store = FileStore::new("session");
        assert_eq!(store.path(), std::env::current_dir().unwrap().join("session"));
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_leads_to_the_file_that_is_written_and_locked() {
        use std::os::unix::fs::symlink;
        let folder = Folder::new("links");
        fs::create_dir_all(folder.0.join("kept/here")).unwrap();
        // The first link is relative to its own folder, which is itself a link. Its target does not exist yet.
        symlink("kept/here", folder.0.join("folder")).unwrap();
        symlink("../session", folder.0.join("kept/here/up")).unwrap();
        symlink(folder.0.join("folder/up"), folder.0.join("link")).unwrap();
        let (store, link) = (FileStore::new(folder.0.join("kept/session")), FileStore::new(folder.0.join("link")));
        assert_eq!(link.load().unwrap(), None);
        assert!(link.try_lock(HOLD).unwrap());
        assert!(!store.try_lock(HOLD).unwrap());
        link.save(&Secret::new("a"), 1).unwrap();
        link.unlock().unwrap();
        assert!(store.try_lock(HOLD).unwrap());
        assert!(!link.try_lock(HOLD).unwrap());
        assert_eq!((store.load().unwrap(), link.load().unwrap()), (Some(Secret::new("a")), Some(Secret::new("a"))));
        let names = |path: &str| {
            let mut names: Vec<_> =
                fs::read_dir(folder.0.join(path)).unwrap().map(|one| one.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(""), ["folder", "kept", "link"]);
        assert_eq!(names("kept"), ["here", "session", "session.lock"]);
        link.clear(2).unwrap();
        assert_eq!(store.load().unwrap(), None);
        assert!(fs::symlink_metadata(folder.0.join("link")).unwrap().is_symlink());

        // The target is looked up each time.
        fs::remove_file(folder.0.join("link")).unwrap();
        symlink("elsewhere", folder.0.join("link")).unwrap();
        link.save(&Secret::new("b"), 3).unwrap();
        assert_eq!(fs::read_to_string(folder.0.join("elsewhere")).unwrap(), "b");
    }

    #[cfg(unix)]
    #[test]
    fn a_broken_symbolic_link_is_named_with_its_target() {
        use std::os::unix::fs::symlink;
        let folder = Folder::new("no-links");
        symlink("missing/session", folder.0.join("link")).unwrap();
        symlink("circle", folder.0.join("circle")).unwrap();
        for (name, part) in [("link", "/missing/session"), ("circle", "symbolic links")] {
            let store = FileStore::new(folder.0.join(name));
            for error in [
                store.load().unwrap_err(),
                store.try_lock(HOLD).unwrap_err(),
                store.save(&Secret::new("a"), 1).unwrap_err(),
                store.clear(2).unwrap_err(),
            ] {
                let (StoreError::Failed(message) | StoreError::Unusable(message)) = error else { panic!() };
                assert!(message.contains(part) && message.contains(&*folder.0.to_string_lossy()), "{message}");
            }
        }
    }
}
