/* A session works with each kind of store (memory, a file, custom callbacks), follows the rules for callbacks, and
 * refreshes once for all threads. */

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "user.h"

#define THREADS 16

/* A custom store: a text and a lock, as in a database. */
struct own_store {
    pthread_mutex_t guard;
    char *record;
    int64_t generation;
    int locked, saves, fails, destroyed;
};

static int32_t own_load(void *context, cm_store_reply *reply) {
    struct own_store *store = context;
    pthread_mutex_lock(&store->guard);
    int fails = store->fails;
    if (fails)
        cm_store_reply_set_message(reply, "the database is away");
    else
        cm_store_reply_set_record(reply, store->record);
    pthread_mutex_unlock(&store->guard);
    return fails ? CM_STORE_RESULT_FAILED : CM_STORE_RESULT_OK;
}

static int32_t own_save(void *context, const char *record, int64_t generation, cm_store_reply *reply) {
    struct own_store *store = context;
    int result = CM_STORE_RESULT_OK;
    pthread_mutex_lock(&store->guard);
    CHECK(store->locked);
    if (store->fails) {
        /* The message contains the record, which the library must hide. */
        cm_store_reply_set_message(reply, record);
        result = CM_STORE_RESULT_FAILED;
    } else if (generation <= store->generation) {
        result = CM_STORE_RESULT_NEWER;
    } else {
        free(store->record);
        store->record = strdup(record);
        store->generation = generation;
        store->saves++;
    }
    pthread_mutex_unlock(&store->guard);
    return result;
}

static int32_t own_clear(void *context, int64_t generation, cm_store_reply *reply) {
    struct own_store *store = context;
    (void)reply;
    pthread_mutex_lock(&store->guard);
    CHECK(store->locked);
    free(store->record);
    store->record = NULL;
    store->generation = generation;
    pthread_mutex_unlock(&store->guard);
    return CM_STORE_RESULT_OK;
}

static int32_t own_try_lock(void *context, int64_t hold_ms, cm_store_reply *reply) {
    struct own_store *store = context;
    (void)reply;
    CHECK(hold_ms >= 30000);
    pthread_mutex_lock(&store->guard);
    int result = store->locked ? CM_STORE_RESULT_BUSY : CM_STORE_RESULT_OK;
    store->locked = 1;
    pthread_mutex_unlock(&store->guard);
    return result;
}

static int32_t own_unlock(void *context, cm_store_reply *reply) {
    struct own_store *store = context;
    (void)reply;
    pthread_mutex_lock(&store->guard);
    CHECK(store->locked);
    store->locked = 0;
    pthread_mutex_unlock(&store->guard);
    return CM_STORE_RESULT_OK;
}

static void own_destroy(void *context) {
    struct own_store *store = context;
    store->destroyed++;
    free(store->record);
    store->record = NULL;
}

static const cm_store_callbacks own_callbacks = {
    sizeof(cm_store_callbacks), own_load, own_save, own_clear, own_try_lock, own_unlock, own_destroy,
};

static cm_session *open_session(const cm_client *client, const cm_store *store) {
    cm_session *session = NULL;
    OK(cm_session_open(client, store, &session, &error));
    return session;
}

static int same(const cm_tokens *one, const cm_tokens *other) {
    return strcmp(cm_tokens_access_token(one), cm_tokens_access_token(other)) == 0;
}

struct asker {
    const cm_session *session;
    const cm_tokens *rejected;
    cm_tokens *tokens;
};

static void *ask(void *argument) {
    struct asker *asker = argument;
    cm_error *failure = NULL;
    if (cm_session_rejected(asker->session, asker->rejected, &asker->tokens, &failure)) {
        fprintf(stderr, "rejected: %s\n", cm_error_message(failure));
        exit(1);
    }
    return NULL;
}

struct told {
    int64_t generation;
    int32_t change;
    int destroyed;
};

static void changed(void *context, cm_change change, int64_t generation) {
    struct told *told = context;
    CHECK(generation > told->generation);
    told->generation = generation;
    told->change = change;
}

static void no_more_changes(void *context) {
    struct told *told = context;
    __atomic_fetch_add(&told->destroyed, 1, __ATOMIC_RELEASE);
}

static void a_session_from_login_to_logout(const cm_client *client, cm_store *store) {
    cm_session *session = open_session(client, store), *other = open_session(client, store);
    cm_tokens *tokens = NULL, *now = NULL;
    FAILS(cm_session_tokens(session, &tokens, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    CHECK(tokens == NULL);

    tokens = log_in(client);
    OK(cm_session_start(session, tokens, &error));
    cm_health *health = NULL;
    CHECK(cm_session_health(session, &health) == CM_STATUS_OK);
    CHECK(cm_health_logged_in(health) == 1 && cm_health_saved(health) == 1);
    CHECK(cm_health_failures(health) == 0 && cm_health_last_error(health) == NULL);
    CHECK(cm_health_expires_at(health) == cm_tokens_expires_at(tokens));
    CHECK(cm_health_next_refresh(health) < cm_health_expires_at(health));
    int64_t generation = cm_health_generation(health);
    struct told told = {generation, 0, 0};
    CHECK(generation > 0);
    cm_health_free(health);
    cm_session_on_change(session, changed, &told, no_more_changes);

    /* The other session finds the login, as one in another process would. */
    OK(cm_session_tokens(other, &now, &error));
    CHECK(same(now, tokens));
    cm_tokens_free(now);

    /* Sixteen threads got a 401 at the same time: there is one refresh, and all get its tokens. */
    pthread_t threads[THREADS];
    struct asker askers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){i % 2 ? session : other, tokens, NULL};
        CHECK(pthread_create(&threads[i], NULL, ask, &askers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(same(askers[i].tokens, askers[0].tokens) && !same(askers[i].tokens, tokens));
    }
    CHECK(told.generation == generation + 1 && told.change == CM_CHANGE_TOKENS);

    OK(cm_session_logout(session, &error));
    FAILS(cm_session_logout(session, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    FAILS(cm_session_tokens(session, &now, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    CHECK(told.generation == generation + 2 && told.change == CM_CHANGE_ENDED_HERE);
    /* The server ended the tokens that the other session still has. */
    FAILS(cm_session_rejected(other, askers[0].tokens, &now, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    for (int i = 0; i < THREADS; i++)
        cm_tokens_free(askers[i].tokens);
    cm_tokens_free(tokens);

    tokens = log_in(client);
    OK(cm_session_start(other, tokens, &error));
    OK(cm_session_forget(other, &error));
    FAILS(cm_session_tokens(session, &now, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    /* The server was not told. */
    OK(cm_logout(client, cm_tokens_access_token(tokens), &error));
    cm_tokens_free(tokens);

    /* Handles can be freed in any order. */
    cm_store_free(store);
    CHECK(told.destroyed == 0);
    cm_session_free(session);
    /* A thread of the library may be at the end of its refresh. */
    for (int i = 0; i < 10000000 && !__atomic_load_n(&told.destroyed, __ATOMIC_ACQUIRE); i++)
        sched_yield();
    CHECK(told.destroyed == 1);
    cm_session_free(other);
}

static void failures_of_a_custom_store_are_reported_without_tokens(const cm_client *client) {
    struct own_store own = {.guard = PTHREAD_MUTEX_INITIALIZER};
    cm_store *store = cm_store_custom(&own_callbacks, &own);
    cm_session *session = open_session(client, store);
    cm_tokens *tokens = log_in(client), *now = NULL;
    OK(cm_session_start(session, tokens, &error));
    CHECK(own.saves == 1);

    /* The tokens of a refresh cannot be saved. The session gives them anyway, because the old ones have ended. */
    own.fails = 0;
    pthread_mutex_lock(&own.guard);
    own.generation += 1000000; /* Another session saved, and this one does not know. */
    pthread_mutex_unlock(&own.guard);
    OK(cm_session_rejected(session, tokens, &now, &error));
    CHECK(!same(now, tokens));
    cm_tokens_free(now);

    own.fails = 1;
    CHECK(cm_session_start(session, tokens, &error) == CM_STATUS_STORE);
    CHECK(cm_error_advice(error) == CM_ADVICE_RETRY);
    CHECK_CONTAINS(cm_error_message(error), "the database is away");
    cm_error_free(error);
    error = NULL;
    own.fails = 0;
    CHECK(!own.locked);
    cm_session_free(session);
    CHECK(own.destroyed == 0);
    cm_store_free(store);
    CHECK(own.destroyed == 1);

    struct own_store full = {.guard = PTHREAD_MUTEX_INITIALIZER};
    store = cm_store_custom(&own_callbacks, &full);
    session = open_session(client, store);
    cm_session *none = NULL;
    full.fails = 1;
    CHECK(cm_session_open(client, store, &none, &error) == CM_STATUS_STORE && none == NULL);
    cm_error_free(error);
    error = NULL;
    cm_session_free(session);
    cm_store_free(store);
    cm_tokens_free(tokens);
}

/* The client and the store of a session can be freed while other threads are in calls of the session. */
static void client_and_store_are_freed_while_the_session_works(void) {
    cm_client *client = client_from_environment();
    cm_store *store = cm_store_memory();
    cm_session *session = open_session(client, store);
    cm_tokens *tokens = log_in(client);
    OK(cm_session_start(session, tokens, &error));
    pthread_t threads[THREADS];
    struct asker askers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){session, tokens, NULL};
        CHECK(pthread_create(&threads[i], NULL, ask, &askers[i]) == 0);
        if (i == THREADS / 2) {
            cm_client_free(client);
            cm_store_free(store);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(same(askers[i].tokens, askers[0].tokens));
    }
    for (int i = 0; i < THREADS; i++)
        cm_tokens_free(askers[i].tokens);
    OK(cm_session_logout(session, &error));
    cm_session_free(session);
    cm_tokens_free(tokens);
}

int main(void) {
    cm_client *client = client_from_environment();
    a_session_from_login_to_logout(client, cm_store_memory());

    char path[] = "/tmp/cmauth-session-XXXXXX", file[64], beside[80];
    CHECK(mkdtemp(path) != NULL);
    snprintf(file, sizeof file, "%s/session", path);
    snprintf(beside, sizeof beside, "%s.lock", file);
    a_session_from_login_to_logout(client, cm_store_file(file));
    CHECK(access(file, F_OK) != 0);
    CHECK(unlink(beside) == 0 && rmdir(path) == 0);

    struct own_store own = {.guard = PTHREAD_MUTEX_INITIALIZER};
    a_session_from_login_to_logout(client, cm_store_custom(&own_callbacks, &own));
    CHECK(own.destroyed == 1);

    client_and_store_are_freed_while_the_session_works();
    failures_of_a_custom_store_are_reported_without_tokens(client);
    cm_client_free(client);
    return 0;
}
