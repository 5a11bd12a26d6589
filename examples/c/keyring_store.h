/* A store in the keyring, for cm_session_open. A desktop program, or a service with its own keyring, uses it in place
 * of a file. Needs libsecret. */

#ifndef KEYRING_STORE_H
#define KEYRING_STORE_H

#include <cmauth.h>

/* Makes a store that uses the item `service`, `user` of the keyring. The keyring can be GNOME Keyring, KWallet,
 * KeePassXC or another program that implements org.freedesktop.secrets.
 *
 * `lock_file` is a file in a folder that only the user can write. All programs that share the session use the same
 * file; a program in Python calls cmauth.KeyringStore(service, user, lock_file). Give an absolute path, unless the
 * working directory never changes. No other code of the process may open and close the file: that would release the
 * lock.
 *
 * Returns NULL if there is no memory. Free the store with cm_store_free. */
cm_store *keyring_store_new(const char *service, const char *user, const char *lock_file);

#endif
