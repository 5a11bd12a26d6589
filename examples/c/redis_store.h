/* A store in Redis, for cm_session_open. It lets several machines share a user. Needs hiredis. */

#ifndef REDIS_STORE_H
#define REDIS_STORE_H

#include <cmauth.h>

/* Makes a store in the Redis at `host` and `port`. The session is a hash at `key`, and the lock is at `key` + ":lock",
 * as in Python's cmauth.RedisStore. The store connects at its first use, and again after the connection was lost.
 *
 * Returns NULL if there is no memory. Free the store with cm_store_free. */
cm_store *redis_store_new(const char *host, int port, const char *key);

#endif
