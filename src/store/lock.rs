//! The lock of a `FileStore`: a lock file that at most one store of one process holds.
//!
//! On Unix it is a record lock (`fcntl`). It belongs to the process: it ends with the process, and a forked child does not
//! inherit it (a lock of `flock` would be inherited). But a record lock does not exclude other stores of the same process, and
//! closing any descriptor of the file releases it. So this module keeps a list of the lock files that this process has locked,
//! and closes a descriptor of such a file only together with the lock. On other systems it uses the lock of the standard
//! library.

pub(super) use system::FileLock;

#[cfg(unix)]
mod system {
    use std::fs::{self, File, Metadata};
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{FlockOperation, fcntl_lock};
    use rustix::io::{Errno, retry_on_intr};

    use crate::sync::ArcSwapOption;

    /// The files that this process has locked. In a forked child also those of its parent. The list is replaced as a whole, so
    /// it needs no mutex, which a fork could copy in its locked state.
    static LOCKS: ArcSwapOption<Vec<Entry>> = ArcSwapOption::const_empty();

    /// How often one attempt opens the lock file again if other processes keep replacing it.
    const ATTEMPTS: usize = 8;

    #[derive(Clone, Copy, PartialEq, Eq)]
    struct FileId {
        device: u64,
        inode: u64,
    }

    impl FileId {
        fn of(metadata: &Metadata) -> FileId {
            FileId { device: metadata.dev(), inode: metadata.ino() }
        }
    }

    /// An open lock file. It can be closed while another thread still reads a list that contains it.
    struct Descriptor(ArcSwapOption<File>);

    /// While an entry is in the list, only the thread that removes it may close a descriptor of the file.
    #[derive(Clone)]
    struct Entry {
        id: FileId,
        process: u32,
        descriptors: Vec<Arc<Descriptor>>,
    }

    /// A lock that is held. Dropping it releases it.
    pub(crate) struct FileLock {
        id: FileId,
        process: u32,
        descriptor: Arc<Descriptor>,
        released: AtomicBool,
    }

    impl FileLock {
        /// Takes the lock on the file at `path`. `open` opens the file for writing and creates it if it is missing. Returns
        /// `None` if another process or another store of this process holds the lock, or if the file was replaced each time.
        pub(crate) fn acquire(path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> io::Result<Option<FileLock>> {
            for _ in 0..ATTEMPTS {
                if fs::metadata(path).is_ok_and(|found| is_locked_here(FileId::of(&found))) {
                    return Ok(None);
                }
                let file = open(path)?;
                let id = match file.metadata() {
                    Ok(metadata) => FileId::of(&metadata),
                    Err(error) => {
                        // Closing the file might release a lock on it, so it stays open.
                        std::mem::forget(file);
                        return Err(error);
                    }
                };
                let descriptor = Arc::new(Descriptor(ArcSwapOption::from_pointee(file)));
                if !register(id, &descriptor) {
                    return Ok(None);
                }
                // Not held yet. If the system refuses the lock, the drop closes the file and removes it from the list.
                let lock = FileLock { id, process: std::process::id(), descriptor, released: AtomicBool::new(false) };
                match lock.lock() {
                    Ok(()) => {}
                    Err(Errno::AGAIN | Errno::ACCESS) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
                // If the file was removed or replaced meanwhile, other processes lock the new one.
                if fs::metadata(path).is_ok_and(|found| FileId::of(&found) == id) {
                    return Ok(Some(lock));
                }
            }
            Ok(None)
        }

        fn lock(&self) -> Result<(), Errno> {
            let file = self.descriptor.0.load();
            let file = file.as_deref().ok_or(Errno::BADF)?;
            retry_on_intr(|| fcntl_lock(file, FlockOperation::NonBlockingLockExclusive))
        }

        /// Whether this process took the lock. A forked child has a copy of its parent's, which holds no lock.
        pub(crate) fn belongs_to_this_process(&self) -> bool {
            self.process == std::process::id()
        }

        /// Releases the lock, once. In a forked child this only closes the child's copy of the descriptor.
        pub(crate) fn release(&self) {
            if self.released.swap(true, Ordering::AcqRel) {
                return;
            }
            // A child may have its own lock on the same file. Closing the copy would release that lock, so `register` hands the
            // copy to that lock's entry instead.
            if self.belongs_to_this_process() || register(self.id, &self.descriptor) {
                close_all(self.id);
            }
        }
    }

    impl Drop for FileLock {
        fn drop(&mut self) {
            self.release();
        }
    }

    fn is_locked_here(id: FileId) -> bool {
        let process = std::process::id();
        LOCKS.load().iter().flat_map(|list| list.iter()).any(|entry| entry.id == id && entry.process == process)
    }

    /// Adds a file to the list and returns `true`. If this process has locked the file already, adds the descriptor to that
    /// entry, so that it is closed with the lock, and returns `false`.
    fn register(id: FileId, descriptor: &Arc<Descriptor>) -> bool {
        let process = std::process::id();
        let mut registered = false;
        update_locks(|list| {
            let own = list.iter_mut().find(|entry| entry.id == id && entry.process == process);
            registered = own.is_none();
            if let Some(entry) = own {
                entry.descriptors.push(descriptor.clone());
                return;
            }
            let mut descriptors = vec![descriptor.clone()];
            // Descriptors that the parent had open at the fork are closed with this lock too.
            list.retain_mut(|entry| {
                let inherited = entry.id == id;
                if inherited {
                    descriptors.append(&mut entry.descriptors);
                }
                !inherited
            });
            list.push(Entry { id, process, descriptors });
        });
        registered
    }

    /// Closes the descriptors of a file that this process has locked, which releases the lock. Then removes the file from the
    /// list. Another thread may add a descriptor until then.
    fn close_all(id: FileId) {
        let process = std::process::id();
        loop {
            let mut closing = Vec::new();
            update_locks(|list| {
                closing.clear();
                list.retain_mut(|entry| {
                    if entry.id != id || entry.process != process {
                        return true;
                    }
                    closing.append(&mut entry.descriptors);
                    !closing.is_empty()
                });
            });
            if closing.is_empty() {
                return;
            }
            for descriptor in closing {
                descriptor.0.store(None);
            }
        }
    }

    /// Changes the list. `edit` runs again if another thread changed the list at the same time.
    fn update_locks(mut edit: impl FnMut(&mut Vec<Entry>)) {
        LOCKS.rcu(|list| {
            let mut list = list.as_deref().cloned().unwrap_or_default();
            edit(&mut list);
            (!list.is_empty()).then(|| Arc::new(list))
        });
    }

    #[cfg(test)]
    mod tests {
        use shuttle::thread;

        use super::*;
        use crate::store::file::tests::Folder;
        use crate::sync::controlled::{explore, step};

        fn open(path: &Path) -> io::Result<File> {
            File::options().write(true).create(true).truncate(false).open(path)
        }

        fn descriptor(path: &Path) -> (FileId, Arc<Descriptor>) {
            let file = open(path).unwrap();
            (FileId::of(&file.metadata().unwrap()), Arc::new(Descriptor(ArcSwapOption::from_pointee(file))))
        }

        fn is_open(descriptor: &Descriptor) -> bool {
            descriptor.0.load().is_some()
        }

        #[test]
        fn a_descriptor_that_a_race_opened_is_closed_with_the_lock_and_not_before() {
            let folder = Folder::new("lock-race");
            let path = folder.0.join("lock");
            let lock = FileLock::acquire(&path, open).unwrap().unwrap();
            let (id, raced) = descriptor(&path);
            assert!(!register(id, &raced));
            assert!(is_open(&raced));
            lock.release();
            assert!(!is_open(&raced) && !is_open(&lock.descriptor));
            let again = FileLock::acquire(&path, open).unwrap().unwrap();
            // The first lock was released already, so dropping it must not affect the second one.
            drop(lock);
            assert!(is_locked_here(id) && is_open(&again.descriptor));
        }

        #[test]
        fn a_lock_copied_by_a_fork_neither_excludes_nor_releases_other_locks() {
            let folder = Folder::new("lock-fork");
            let path = folder.0.join("lock");
            let (id, copy) = descriptor(&path);
            // As in a forked child: the list and a store contain the lock of the parent.
            let parent = 1;
            update_locks(|list| list.push(Entry { id, process: parent, descriptors: vec![copy.clone()] }));
            let inherited =
                FileLock { id, process: parent, descriptor: copy.clone(), released: AtomicBool::new(false) };
            assert!(!inherited.belongs_to_this_process());
            let own = FileLock::acquire(&path, open).unwrap().unwrap();
            drop(inherited);
            assert!(is_open(&own.descriptor) && is_open(&copy), "a close now would release the lock");
            drop(own);
            assert!(!is_open(&copy) && !is_locked_here(id));
            let list = LOCKS.load_full();
            assert!(list.iter().flat_map(|list| list.iter()).all(|entry| entry.id != id));
        }

        #[test]
        fn a_lock_file_that_was_replaced_is_locked_anew() {
            let folder = Folder::new("lock-replaced");
            let path = folder.0.join("lock");
            let old = FileLock::acquire(&path, open).unwrap().unwrap();
            fs::remove_file(&path).unwrap();
            let new = FileLock::acquire(&path, open).unwrap().unwrap();
            assert!(old.id != new.id);
            assert!(FileLock::acquire(&path, open).unwrap().is_none());
            // The file is replaced just before it is locked.
            drop((old, new));
            let replaced = AtomicBool::new(false);
            let lock = FileLock::acquire(&path, |path| {
                let file = open(path);
                if !replaced.swap(true, Ordering::Relaxed) {
                    fs::rename(path, path.with_extension("away")).unwrap();
                }
                file
            });
            let lock = lock.unwrap().unwrap();
            assert!(lock.id == FileId::of(&fs::metadata(&path).unwrap()));
            // The file is replaced each time.
            drop(lock);
            let none = FileLock::acquire(&path, |path| {
                let file = open(path);
                fs::remove_file(path).unwrap();
                file
            });
            assert!(none.unwrap().is_none());
        }

        /// Whether the operating system lists a lock of this process on the file.
        fn is_locked(id: FileId) -> bool {
            let (process, file) = (format!(" {} ", std::process::id()), format!(":{} ", id.inode));
            // The file is read in several parts, so one read can miss a line. A lost lock is missing in every read.
            (0..3).any(|_| {
                let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
                locks.lines().any(|lock| lock.contains(" POSIX ") && lock.contains(&process) && lock.contains(&file))
            })
        }

        /// A folder with a lock file. `None` if the system does not show who has locked it.
        fn observable(name: &str) -> Option<(Arc<Folder>, FileId)> {
            let folder = Folder::new(name);
            let path = folder.0.join("lock");
            let lock = FileLock::acquire(&path, open).unwrap().unwrap();
            let id = lock.id;
            if !is_locked(id) {
                println!("skipped: /proc/locks does not show the locks of this process");
                return None;
            }
            Some((Arc::new(folder), id))
        }

        /// A thread that tries to take the lock twice and checks that it has it.
        fn spawn_locker(folder: &Arc<Folder>) -> thread::JoinHandle<()> {
            let path = folder.0.join("lock");
            thread::spawn(move || {
                for _ in 0..2 {
                    let Some(lock) = FileLock::acquire(&path, open).unwrap() else { continue };
                    step();
                    assert!(is_locked(lock.id), "somebody closed a descriptor of the file");
                }
            })
        }

        fn is_registered(id: FileId) -> bool {
            LOCKS.load().iter().flat_map(|list| list.iter()).any(|entry| entry.id == id)
        }

        #[test]
        fn a_thread_keeps_its_lock_whatever_other_threads_do() {
            let Some((folder, id)) = observable("lock-threads") else { return };
            explore(move || {
                let lockers: Vec<_> = (0..3).map(|_| spawn_locker(&folder)).collect();
                for locker in lockers {
                    locker.join().unwrap();
                }
                assert!(!is_registered(id));
            });
        }

        #[test]
        fn a_thread_keeps_its_lock_while_another_drops_one_that_a_fork_copied() {
            let Some((folder, id)) = observable("lock-threads-fork") else { return };
            explore(move || {
                let (id_of_copy, copy) = descriptor(&folder.0.join("lock"));
                assert!(id_of_copy == id);
                // Another thread of the parent opened the file too, before the fork.
                let (_, raced) = descriptor(&folder.0.join("lock"));
                let parent = 1;
                update_locks(|list| {
                    list.push(Entry { id, process: parent, descriptors: vec![copy.clone(), raced.clone()] })
                });
                drop(raced);
                let inherited =
                    FileLock { id, process: parent, descriptor: copy.clone(), released: AtomicBool::new(false) };
                let lockers = [spawn_locker(&folder), spawn_locker(&folder), thread::spawn(move || drop(inherited))];
                for locker in lockers {
                    locker.join().unwrap();
                }
                assert!(!is_open(&copy) && !is_registered(id));
            });
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::{File, TryLockError};
    use std::io;
    use std::path::Path;

    /// A lock that is held. Dropping it releases it.
    pub(crate) struct FileLock(File);

    impl FileLock {
        /// Takes the lock on the file at `path`. `open` opens the file for writing and creates it if it is missing. Returns
        /// `None` if another process or another store of this process holds the lock.
        pub(crate) fn acquire(path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> io::Result<Option<FileLock>> {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => Ok(Some(FileLock(file))),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
            }
        }

        /// Always, because these systems have no fork.
        pub(crate) fn belongs_to_this_process(&self) -> bool {
            true
        }

        pub(crate) fn release(&self) {
            let _ = self.0.unlock();
        }
    }
}
