/* A custom store for libcmauth: it keeps a session in Redis, with hiredis. Copy it into your product and change what
 * you need: a password, TLS, a pool of connections.
 *
 * The lock is a key that expires, so it is released even if its holder dies. A holder whose lock has expired does no
 * harm: Redis rejects its save, because the generation is not larger than the stored one. Each acquisition of the lock
 * has its own token, so a late unlock does not release the lock of another session. */

#include "redis_store.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* Saves a record (ARGV 1, "" to clear) with its generation (ARGV 2). Returns 0 if the stored generation is not smaller.
 * Saving the same record with the same generation again succeeds, because the first response can be lost. After a clear
 * the generation stays for a minute: a machine that stalled in a refresh could otherwise restore a login that has
 * ended. */
static const char SAVE[] =
    "local there = redis.call('HGET', KEYS[1], 'generation')\n"
    "local record = redis.call('HGET', KEYS[1], 'record') or ''\n"
    "if there and tonumber(there) == tonumber(ARGV[2]) and record == ARGV[1] then return 1 end\n"
    "if there and tonumber(there) >= tonumber(ARGV[2]) then return 0 end\n"
    "redis.call('HSET', KEYS[1], 'record', ARGV[1], 'generation', ARGV[2])\n"
    "if ARGV[1] == '' then redis.call('EXPIRE', KEYS[1], 60) else redis.call('PERSIST', KEYS[1]) end\n"
    "return 1";

/* Releases the lock if it still has this token. */
static const char UNLOCK[] = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end\n"
                             "return 0";

/* A lock that a thread took. Sessions that share a store take the lock one after the other, but the first one may
 * release it late. */
struct taken {
    pthread_t thread;
    char token[33]; /* The value of the lock's key. */
    struct taken *next;
};

struct redis_store {
    pthread_mutex_t guard; /* Protects the connection and the list. */
    redisContext *connection;
    char *host;
    int port;
    char *key, *lock_key;
    struct taken *taken; /* A list with the newest first. */
};

static redisReply *once(struct redis_store *store, int argc, const char **argv) {
    /* No longer than the call of the session may take, because its timeout does not end this function. */
    int64_t left = cm_store_time_left_ms();
    if (left == CM_NONE || left > 5000)
        left = 5000;
    struct timeval timeout;
    timeout.tv_sec = left / 1000;
    timeout.tv_usec = left % 1000 * 1000;
    if (store->connection == NULL || store->connection->err) {
        redisFree(store->connection);
        store->connection = redisConnectWithTimeout(store->host, store->port, timeout);
        if (store->connection == NULL || store->connection->err)
            return NULL;
    }
    redisSetTimeout(store->connection, timeout);
    return redisCommandArgv(store->connection, argc, argv, NULL);
}

/* Runs a command. If the connection was lost, runs it again on a new one. Returns NULL after a failure, and sets the
 * message of `reply`. */
static redisReply *command(struct redis_store *store, cm_store_reply *reply, int argc, const char **argv) {
    char why[256];
    redisReply *answer = once(store, argc, argv);
    if (answer == NULL)
        answer = once(store, argc, argv);
    if (answer != NULL && answer->type != REDIS_REPLY_ERROR)
        return answer;
    const char *what = answer ? answer->str : store->connection ? store->connection->errstr : "no memory";
    snprintf(why, sizeof why, "Redis at %s:%d: %.160s", store->host, store->port, what);
    cm_store_reply_set_message(reply, why);
    freeReplyObject(answer);
    return NULL;
}

static int32_t redis_load(void *context, cm_store_reply *reply) {
    struct redis_store *store = context;
    const char *argv[] = {"HMGET", store->key, "record", "generation"};
    pthread_mutex_lock(&store->guard);
    redisReply *answer = command(store, reply, 4, argv);
    pthread_mutex_unlock(&store->guard);
    if (answer == NULL)
        return CM_STORE_RESULT_FAILED;
    /* After a clear there is a generation and an empty record. */
    const redisReply *record = answer->element[0], *generation = answer->element[1];
    if (record->type == REDIS_REPLY_STRING && record->len > 0)
        cm_store_reply_set_record(reply, record->str);
    if (generation->type == REDIS_REPLY_STRING)
        cm_store_reply_set_generation(reply, strtoll(generation->str, NULL, 10));
    freeReplyObject(answer);
    return CM_STORE_RESULT_OK;
}

static int32_t redis_save(void *context, const char *record, int64_t generation, cm_store_reply *reply) {
    struct redis_store *store = context;
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)generation);
    const char *argv[] = {"EVAL", SAVE, "1", store->key, record, number};
    pthread_mutex_lock(&store->guard);
    redisReply *answer = command(store, reply, 6, argv);
    pthread_mutex_unlock(&store->guard);
    if (answer == NULL)
        return CM_STORE_RESULT_FAILED;
    int saved = answer->type == REDIS_REPLY_INTEGER && answer->integer == 1;
    freeReplyObject(answer);
    return saved ? CM_STORE_RESULT_OK : CM_STORE_RESULT_NEWER;
}

static int32_t redis_clear(void *context, int64_t generation, cm_store_reply *reply) {
    return redis_save(context, "", generation, reply);
}

/* Makes a random token. */
static int make_token(char token[33]) {
    unsigned char random[16];
    FILE *source = fopen("/dev/urandom", "rb");
    if (source == NULL)
        return 0;
    size_t got = fread(random, 1, sizeof random, source);
    fclose(source);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(token + 2 * i, 3, "%02x", random[i]);
    return got == sizeof random;
}

static int32_t redis_try_lock(void *context, int64_t hold_ms, cm_store_reply *reply) {
    struct redis_store *store = context;
    struct taken *taken = malloc(sizeof *taken);
    if (taken == NULL || !make_token(taken->token)) {
        free(taken);
        cm_store_reply_set_message(reply, "no memory, or no /dev/urandom");
        return CM_STORE_RESULT_FAILED;
    }
    taken->thread = pthread_self();
    char milliseconds[24];
    snprintf(milliseconds, sizeof milliseconds, "%lld", (long long)hold_ms);
    const char *argv[] = {"SET", store->lock_key, taken->token, "NX", "PX", milliseconds};
    pthread_mutex_lock(&store->guard);
    redisReply *answer = command(store, reply, 6, argv);
    int locked = answer != NULL && answer->type == REDIS_REPLY_STATUS; /* "OK", or nil if another holder has it. */
    if (locked) {
        taken->next = store->taken;
        store->taken = taken;
    }
    pthread_mutex_unlock(&store->guard);
    if (!locked)
        free(taken);
    int result = answer == NULL ? CM_STORE_RESULT_FAILED : locked ? CM_STORE_RESULT_OK : CM_STORE_RESULT_BUSY;
    freeReplyObject(answer);
    return result;
}

static int32_t redis_unlock(void *context, cm_store_reply *reply) {
    struct redis_store *store = context;
    pthread_mutex_lock(&store->guard);
    struct taken **place = &store->taken;
    while (*place != NULL && !pthread_equal((*place)->thread, pthread_self()))
        place = &(*place)->next;
    struct taken *taken = *place;
    int32_t result = CM_STORE_RESULT_OK;
    if (taken != NULL) {
        *place = taken->next;
        const char *argv[] = {"EVAL", UNLOCK, "1", store->lock_key, taken->token};
        redisReply *answer = command(store, reply, 5, argv);
        if (answer == NULL)
            result = CM_STORE_RESULT_FAILED; /* The lock expires. */
        freeReplyObject(answer);
        free(taken);
    }
    pthread_mutex_unlock(&store->guard);
    return result;
}

static void redis_destroy(void *context) {
    struct redis_store *store = context;
    while (store->taken != NULL) {
        struct taken *taken = store->taken;
        store->taken = taken->next;
        free(taken);
    }
    redisFree(store->connection);
    pthread_mutex_destroy(&store->guard);
    free(store->host);
    free(store->key);
    free(store->lock_key);
    free(store);
}

cm_store *redis_store_new(const char *host, int port, const char *key) {
    static const cm_store_callbacks callbacks = {
        sizeof(cm_store_callbacks), redis_load, redis_save, redis_clear, redis_try_lock, redis_unlock, redis_destroy,
    };
    struct redis_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    pthread_mutex_init(&store->guard, NULL);
    store->host = strdup(host);
    store->port = port;
    store->key = strdup(key);
    store->lock_key = malloc(strlen(key) + sizeof ":lock");
    if (store->host == NULL || store->key == NULL || store->lock_key == NULL) {
        redis_destroy(store);
        return NULL;
    }
    strcpy(store->lock_key, key);
    strcat(store->lock_key, ":lock");
    return cm_store_custom(&callbacks, store);
}
