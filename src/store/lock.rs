//! The lock of a `FileStore`: a file that at most one store of one process holds.
//!
//! On Unix it is a record lock (`fcntl`), which belongs to the process: it ends with the process, and a forked child does
//! not inherit it, as it would inherit `flock`. Such a lock does not exclude other stores of the same process, and closing any
//! descriptor of the file releases it. So this module keeps a list of the lock files that the process holds, and closes a
//! descriptor of a held file only together with the lock. Elsewhere it is the standard library's lock.

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

    /// The lock files that are held, by this process or, in a forked child, by its parent. Replaced whole: the list needs
    /// no lock that a fork could copy in its held state.
    static HELD: ArcSwapOption<Vec<Entry>> = ArcSwapOption::const_empty();

    /// How often a lock file that is replaced again and again is opened in one attempt.
    const ATTEMPTS: usize = 8;

    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Key {
        device: u64,
        inode: u64,
    }

    impl Key {
        fn of(metadata: &Metadata) -> Key {
            Key { device: metadata.dev(), inode: metadata.ino() }
        }
    }

    /// An open lock file. It can be closed while another thread still reads a list that it is in.
    struct Descriptor(ArcSwapOption<File>);

    /// While it is in the list, no descriptor of the file may be closed except by the thread that removes the entry.
    #[derive(Clone)]
    struct Entry {
        key: Key,
        process: u32,
        descriptors: Vec<Arc<Descriptor>>,
    }

    /// A held lock. Dropping it releases it.
    pub(crate) struct FileLock {
        key: Key,
        process: u32,
        descriptor: Arc<Descriptor>,
        released: AtomicBool,
    }

    impl FileLock {
        /// Takes the lock on the file at `path`, which `open` opens for writing and creates if it is missing. `None` if
        /// another process or another store of this process holds it.
        pub(crate) fn acquire(path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> io::Result<Option<FileLock>> {
            for _ in 0..ATTEMPTS {
                if fs::metadata(path).is_ok_and(|found| is_held(Key::of(&found))) {
                    return Ok(None);
                }
                let file = open(path)?;
                let key = match file.metadata() {
                    Ok(metadata) => Key::of(&metadata),
                    Err(error) => {
                        // Unknown whether closing it would release a lock: left open.
                        std::mem::forget(file);
                        return Err(error);
                    }
                };
                let descriptor = Arc::new(Descriptor(ArcSwapOption::from_pointee(file)));
                if !claim(key, &descriptor) {
                    return Ok(None);
                }
                let lock = FileLock { key, process: std::process::id(), descriptor, released: AtomicBool::new(false) };
                match lock.lock() {
                    Ok(()) => {}
                    Err(Errno::AGAIN | Errno::ACCESS) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
                // If somebody removed or replaced the file meanwhile, others lock the new one.
                if fs::metadata(path).is_ok_and(|found| Key::of(&found) == key) {
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

        /// Whether this process took it: a forked child has a copy of its parent's, which holds nothing.
        pub(crate) fn is_of_this_process(&self) -> bool {
            self.process == std::process::id()
        }

        /// Gives the lock back, once. In a forked child this only closes the child's copy of the descriptor.
        pub(crate) fn release(&self) {
            if self.released.swap(true, Ordering::AcqRel) {
                return;
            }
            // The child may hold a lock of its own on the same file, which closing the copy would release.
            if self.is_of_this_process() || claim(self.key, &self.descriptor) {
                close(self.key);
            }
        }
    }

    impl Drop for FileLock {
        fn drop(&mut self) {
            self.release();
        }
    }

    fn is_held(key: Key) -> bool {
        let process = std::process::id();
        HELD.load().iter().flat_map(|list| list.iter()).any(|entry| entry.key == key && entry.process == process)
    }

    /// Adds the file to the list. If this process holds it already, its entry gets the descriptor, to close it with the
    /// lock, and the answer is `false`.
    fn claim(key: Key, descriptor: &Arc<Descriptor>) -> bool {
        let process = std::process::id();
        let mut claimed = false;
        change(|list| {
            let own = list.iter_mut().find(|entry| entry.key == key && entry.process == process);
            claimed = own.is_none();
            if let Some(entry) = own {
                entry.descriptors.push(descriptor.clone());
                return;
            }
            let mut descriptors = vec![descriptor.clone()];
            // What a parent had open at the fork is closed with this lock, too.
            list.retain_mut(|entry| {
                let inherited = entry.key == key;
                if inherited {
                    descriptors.append(&mut entry.descriptors);
                }
                !inherited
            });
            list.push(Entry { key, process, descriptors });
        });
        claimed
    }

    /// Closes the descriptors of a file that this process holds, which releases the lock, and then takes the file off the
    /// list. Another thread may add a descriptor until then.
    fn close(key: Key) {
        let process = std::process::id();
        loop {
            let mut closing = Vec::new();
            change(|list| {
                closing.clear();
                list.retain_mut(|entry| {
                    if entry.key != key || entry.process != process {
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

    /// Changes the list; `edit` runs again if another thread changed it at the same time.
    fn change(mut edit: impl FnMut(&mut Vec<Entry>)) {
        HELD.rcu(|list| {
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

        fn descriptor(path: &Path) -> (Key, Arc<Descriptor>) {
            let file = open(path).unwrap();
            (Key::of(&file.metadata().unwrap()), Arc::new(Descriptor(ArcSwapOption::from_pointee(file))))
        }

        fn is_open(descriptor: &Descriptor) -> bool {
            descriptor.0.load().is_some()
        }

        #[test]
        fn a_descriptor_that_a_race_opened_is_closed_with_the_lock_and_not_before() {
            let folder = Folder::new("lock-race");
            let path = folder.0.join("lock");
            let lock = FileLock::acquire(&path, open).unwrap().unwrap();
            let (key, raced) = descriptor(&path);
            assert!(!claim(key, &raced));
            assert!(is_open(&raced));
            lock.release();
            assert!(!is_open(&raced) && !is_open(&lock.descriptor));
            let again = FileLock::acquire(&path, open).unwrap().unwrap();
            // The first one was released already, and has nothing to do with this.
            drop(lock);
            assert!(is_held(key) && is_open(&again.descriptor));
        }

        #[test]
        fn a_lock_that_was_inherited_by_a_fork_neither_holds_nor_releases_anything() {
            let folder = Folder::new("lock-fork");
            let path = folder.0.join("lock");
            let (key, copy) = descriptor(&path);
            // As in a child: the list and a store have what its parent held.
            let parent = 1;
            change(|list| list.push(Entry { key, process: parent, descriptors: vec![copy.clone()] }));
            let inherited =
                FileLock { key, process: parent, descriptor: copy.clone(), released: AtomicBool::new(false) };
            assert!(!inherited.is_of_this_process());
            let own = FileLock::acquire(&path, open).unwrap().unwrap();
            drop(inherited);
            assert!(is_open(&own.descriptor) && is_open(&copy), "a close now would release the lock");
            drop(own);
            assert!(!is_open(&copy) && !is_held(key));
            let list = HELD.load_full();
            assert!(list.iter().flat_map(|list| list.iter()).all(|entry| entry.key != key));
        }

        #[test]
        fn a_lock_file_that_was_replaced_is_locked_anew() {
            let folder = Folder::new("lock-replaced");
            let path = folder.0.join("lock");
            let old = FileLock::acquire(&path, open).unwrap().unwrap();
            fs::remove_file(&path).unwrap();
            let new = FileLock::acquire(&path, open).unwrap().unwrap();
            assert!(old.key != new.key);
            assert!(FileLock::acquire(&path, open).unwrap().is_none());
            // Somebody replaces it just before it is locked.
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
            assert!(lock.key == Key::of(&fs::metadata(&path).unwrap()));
            // Or each time.
            drop(lock);
            let none = FileLock::acquire(&path, |path| {
                let file = open(path);
                fs::remove_file(path).unwrap();
                file
            });
            assert!(none.unwrap().is_none());
        }

        /// Whether the system sees that this process has locked the file.
        fn is_locked(key: Key) -> bool {
            let (process, file) = (format!(" {} ", std::process::id()), format!(":{} ", key.inode));
            // A read in several parts can miss a line; a lock that was lost stays lost.
            (0..3).any(|_| {
                let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
                locks.lines().any(|lock| lock.contains(" POSIX ") && lock.contains(&process) && lock.contains(&file))
            })
        }

        /// A folder with a lock file; none if the system does not tell who has locked it.
        fn observable(name: &str) -> Option<(Arc<Folder>, Key)> {
            let folder = Folder::new(name);
            let path = folder.0.join("lock");
            let lock = FileLock::acquire(&path, open).unwrap().unwrap();
            let key = lock.key;
            if !is_locked(key) {
                println!("skipped: /proc/locks does not show the locks of this process");
                return None;
            }
            Some((Arc::new(folder), key))
        }

        /// A thread that takes the lock twice, if it can, and looks whether it has it.
        fn spawn_taker(folder: &Arc<Folder>) -> thread::JoinHandle<()> {
            let path = folder.0.join("lock");
            thread::spawn(move || {
                for _ in 0..2 {
                    let Some(lock) = FileLock::acquire(&path, open).unwrap() else { continue };
                    step();
                    assert!(is_locked(lock.key), "somebody closed a descriptor of the file");
                }
            })
        }

        fn is_listed(key: Key) -> bool {
            HELD.load().iter().flat_map(|list| list.iter()).any(|entry| entry.key == key)
        }

        #[test]
        fn a_thread_has_the_lock_that_it_took_whatever_other_threads_do() {
            let Some((folder, key)) = observable("lock-threads") else { return };
            explore(move || {
                let takers: Vec<_> = (0..3).map(|_| spawn_taker(&folder)).collect();
                for taker in takers {
                    taker.join().unwrap();
                }
                assert!(!is_listed(key));
            });
        }

        #[test]
        fn a_thread_has_the_lock_that_it_took_while_others_drop_one_that_a_fork_copied() {
            let Some((folder, key)) = observable("lock-threads-fork") else { return };
            explore(move || {
                let (key_of_copy, copy) = descriptor(&folder.0.join("lock"));
                assert!(key_of_copy == key);
                // In a race, a thread of the parent opened the file once more.
                let (_, raced) = descriptor(&folder.0.join("lock"));
                let parent = 1;
                change(|list| {
                    list.push(Entry { key, process: parent, descriptors: vec![copy.clone(), raced.clone()] })
                });
                drop(raced);
                let inherited =
                    FileLock { key, process: parent, descriptor: copy.clone(), released: AtomicBool::new(false) };
                let takers = [spawn_taker(&folder), spawn_taker(&folder), thread::spawn(move || drop(inherited))];
                for taker in takers {
                    taker.join().unwrap();
                }
                assert!(!is_open(&copy) && !is_listed(key));
            });
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::fs::{File, TryLockError};
    use std::io;
    use std::path::Path;

    /// A held lock. Dropping it releases it.
    pub(crate) struct FileLock(File);

    impl FileLock {
        /// Takes the lock on the file at `path`, which `open` opens for writing and creates if it is missing. `None` if
        /// another process or another store of this process holds it.
        pub(crate) fn acquire(path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> io::Result<Option<FileLock>> {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) => Ok(Some(FileLock(file))),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
            }
        }

        /// There is no fork here.
        pub(crate) fn is_of_this_process(&self) -> bool {
            true
        }

        pub(crate) fn release(&self) {
            let _ = self.0.unlock();
        }
    }
}
