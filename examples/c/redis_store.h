/* A store in Redis for cm_session_open, for several machines that share a user. Needs hiredis. */

#ifndef REDIS_STORE_H
#define REDIS_STORE_H

#include <cmauth.h>

/* A store under `key` (a hash with the session; the lock is at `key` + ":lock", as in Python's cmauth.RedisStore) of
 * the Redis at `host` and `port`. Connects when it is first needed, and again when the connection is lost. NULL: no
 * memory. Free it with cm_store_free. */
cm_store *redis_store_new(const char *host, int port, const char *key);

#endif
