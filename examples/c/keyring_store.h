/* A store in the keyring for cm_session_open: what a desktop program, or a service with a keyring of its own, uses in
 * place of a file. Needs libsecret. */

#ifndef KEYRING_STORE_H
#define KEYRING_STORE_H

#include <cmauth.h>

/* A store under `service` and `user` in the keyring (GNOME Keyring, KWallet, KeePassXC: whoever answers for
 * org.freedesktop.secrets). A keyring has no locks, so `lock_file` keeps other threads and processes away: a file in a
 * folder of the user's own, the same for all who share the session. Programs in Python share it by
 * cmauth.KeyringStore(service, user, lock_file). An absolute path, unless the working directory stays; no other code of
 * the process may open and close the file, which would release the lock. NULL: no memory. Free it with cm_store_free.
 */
cm_store *keyring_store_new(const char *service, const char *user, const char *lock_file);

#endif
