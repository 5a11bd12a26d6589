/* The store of examples/c/redis_store.c works with a real Redis, which the test harness stops and starts when this
 * program prints "stop" and "start". With the argument "hold", the program takes the lock, prints "held", and waits
 * until it is killed. */

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../../examples/c/redis_store.c"
#include "user.h"

static cm_store *store_at_redis(void) {
    cm_store *store = redis_store_new("127.0.0.1", atoi(getenv("REDIS_PORT")), "recorder:1");
    CHECK(store != NULL);
    return store;
}

static struct redis_store unconnected(void) {
    struct redis_store store = {.guard = PTHREAD_MUTEX_INITIALIZER, .host = "127.0.0.1", .key = "recorder:1"};
    store.port = atoi(getenv("REDIS_PORT"));
    store.lock_key = "recorder:1:lock";
    return store;
}

static int hold(void) {
    struct redis_store store = unconnected();
    CHECK(redis_try_lock(&store, 1000, NULL) == CM_STORE_RESULT_OK);
    CHECK(redis_try_lock(&store, 1000, NULL) == CM_STORE_RESULT_BUSY);
    printf("held\n");
    fflush(stdout);
    return pause();
}

static void tell_harness(const char *what) {
    char done[16];
    printf("%s\n", what);
    fflush(stdout);
    CHECK(fgets(done, sizeof done, stdin) != NULL);
}

static int lock_is_held(void) {
    struct redis_store store = unconnected();
    int result = redis_try_lock(&store, 1000, NULL);
    redisFree(store.connection);
    return result == CM_STORE_RESULT_BUSY;
}

static struct redis_store shared;
static pthread_barrier_t stage;

/* A session whose lock expires while it sleeps. */
static void *sleeper(void *unused) {
    (void)unused;
    CHECK(redis_try_lock(&shared, 200, NULL) == CM_STORE_RESULT_OK);
    pthread_barrier_wait(&stage);
    pthread_barrier_wait(&stage); /* Now the other session has the lock. */
    redis_unlock(&shared, NULL);
    pthread_barrier_wait(&stage);
    return NULL;
}

static void a_late_unlock_releases_only_the_lock_that_its_thread_took(void) {
    shared = unconnected();
    pthread_t thread;
    CHECK(pthread_barrier_init(&stage, NULL, 2) == 0);
    CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    pthread_barrier_wait(&stage);
    int tries = 0, locked;
    while ((locked = redis_try_lock(&shared, 30000, NULL)) == CM_STORE_RESULT_BUSY && tries++ < 1000)
        usleep(10000);
    CHECK(locked == CM_STORE_RESULT_OK);
    pthread_barrier_wait(&stage);
    pthread_barrier_wait(&stage);
    CHECK(lock_is_held());
    redis_unlock(&shared, NULL);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(shared.taken == NULL);
    redis_unlock(&shared, NULL); /* This thread holds no lock. */
    CHECK(redis_try_lock(&shared, 30000, NULL) == CM_STORE_RESULT_OK);
    redis_unlock(&shared, NULL);
    redisFree(shared.connection);
}

/* A machine whose clock was a day ahead logged in and out. The store keeps its generation. */
static void a_login_and_forget_work_after_a_clock_that_was_ahead(const cm_session *session, const cm_tokens *tokens) {
    struct redis_store ahead = unconnected();
    cm_health *health = NULL;
    OK(cm_session_health(session, &health));
    int64_t generation = cm_health_generation(health) + 86400000;
    cm_health_free(health);
    CHECK(redis_try_lock(&ahead, 1000, NULL) == CM_STORE_RESULT_OK);
    CHECK(redis_clear(&ahead, generation, NULL) == CM_STORE_RESULT_OK);
    OK((redis_unlock(&ahead, NULL), cm_session_forget(session, &error)));
    OK(cm_session_start(session, tokens, &error));
    OK(cm_session_health(session, &health));
    CHECK(cm_health_generation(health) > generation && cm_health_saved(health) == 1);
    cm_health_free(health);
    redisFree(ahead.connection);
}

static int cuts;

/* The connection is lost after the save was sent and before its response arrived. */
static int32_t cut_and_save(void *context, const char *record, int64_t generation, cm_store_reply *reply) {
    struct redis_store *store = context;
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)generation);
    const char *argv[] = {"EVAL", SAVE, "1", store->key, record, number};
    CHECK(redisAppendCommandArgv(store->connection, 6, argv, NULL) == REDIS_OK);
    int done = 0;
    while (!done)
        CHECK(redisBufferWrite(store->connection, &done) == REDIS_OK);
    char byte;
    CHECK(recv(store->connection->fd, &byte, 1, MSG_PEEK) == 1); /* Redis has executed it. */
    CHECK(shutdown(store->connection->fd, SHUT_RDWR) == 0);
    store->connection->err = REDIS_ERR_EOF;
    cuts++;
    return redis_save(context, record, generation, reply);
}

static void a_save_whose_response_is_lost_succeeds(const cm_client *client, const cm_tokens *tokens) {
    struct redis_store own = unconnected();
    cm_store_callbacks callbacks = {
        sizeof(cm_store_callbacks), redis_load, cut_and_save, redis_clear, redis_try_lock, redis_unlock, NULL,
    };
    cm_store *store = cm_store_custom(&callbacks, &own);
    cm_session *session = NULL;
    cm_tokens *fresh = NULL;
    OK(cm_session_open(client, store, &session, &error));
    OK(cm_session_rejected(session, tokens, &fresh, &error));
    CHECK(cuts == 1);
    cm_health *health = NULL;
    OK(cm_session_health(session, &health));
    CHECK(cm_health_saved(health) == 1);
    cm_health_free(health);
    cm_tokens_free(fresh);
    cm_session_free(session);
    cm_store_free(store);
    redisFree(own.connection);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "hold") == 0)
        return hold();
    cm_client *client = client_from_environment();
    /* Two sessions with one connection each, as on two machines. */
    cm_store *one_store = store_at_redis(), *other_store = store_at_redis();
    cm_session *one = NULL, *other = NULL;
    OK(cm_session_open(client, one_store, &one, &error));
    OK(cm_session_open(client, other_store, &other, &error));
    cm_tokens *tokens = log_in(client), *fresh = NULL, *same = NULL, *none = NULL;
    OK(cm_session_start(one, tokens, &error));
    OK(cm_session_rejected(one, tokens, &fresh, &error));
    OK(cm_session_rejected(other, tokens, &same, &error));
    CHECK(strcmp(cm_tokens_access_token(fresh), cm_tokens_access_token(same)) == 0);
    cm_tokens_free(same);

    a_login_and_forget_work_after_a_clock_that_was_ahead(one, fresh);
    a_late_unlock_releases_only_the_lock_that_its_thread_took();
    a_save_whose_response_is_lost_succeeds(client, fresh);
    OK(cm_session_rejected(other, fresh, &same, &error));
    cm_tokens_free(fresh);
    fresh = same;

    /* Redis is down: the session gives the tokens that it has, and refreshes none without the lock. */
    tell_harness("stop");
    OK(cm_session_tokens(other, &same, &error));
    cm_tokens_free(same);
    CHECK(cm_session_rejected(other, fresh, &none, &error) == CM_STATUS_STORE && none == NULL);
    CHECK_CONTAINS(cm_error_message(error), "Redis at 127.0.0.1:");
    CHECK(cm_error_advice(error) == CM_ADVICE_RETRY);
    cm_error_free(error);
    error = NULL;
    /* Redis is up again, first with its data and then without. */
    tell_harness("start");
    OK(cm_session_start(other, fresh, &error)); /* A session refreshes young tokens only once after a rejection. */
    OK(cm_session_rejected(other, fresh, &same, &error));
    cm_tokens_free(fresh);
    fresh = same;
    OK(cm_session_start(other, fresh, &error));
    /* A holder of the lock was killed: its lock expires, and this call gets it. */
    tell_harness("hold and kill");
    CHECK(lock_is_held());
    OK(cm_session_rejected(other, fresh, &same, &error));
    CHECK(strcmp(cm_tokens_access_token(fresh), cm_tokens_access_token(same)) != 0);
    cm_tokens_free(fresh);
    fresh = same;
    tell_harness("start empty");
    FAILS(cm_session_rejected(other, fresh, &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    OK(cm_session_start(one, fresh, &error));

    OK(cm_session_tokens(other, &same, &error)); /* It finds the login in the store. */
    cm_tokens_free(same);
    OK(cm_session_logout(one, &error));
    OK(cm_session_tokens(other, &same, &error)); /* It does not know about the logout yet. */
    FAILS(cm_session_rejected(other, same, &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    cm_tokens_free(same);
    cm_tokens_free(fresh);
    cm_tokens_free(tokens);
    cm_session_free(one);
    cm_session_free(other);
    cm_store_free(one_store);
    cm_store_free(other_store);
    cm_client_free(client);
    return 0;
}
