/* The log callback receives one line for each event of its level, without secrets, and nothing when the log is off.
 * Each client can have a log of its own. */

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user.h"

struct lines {
    pthread_mutex_t lock;
    char text[65536];
    int count;
};

static void collect(void *context, cm_log_level level, const char *line) {
    struct lines *lines = context;
    CHECK(level >= CM_LOG_LEVEL_ERROR && level <= CM_LOG_LEVEL_DEBUG);
    CHECK(strchr(line, '\n') == NULL);
    pthread_mutex_lock(&lines->lock);
    CHECK(strlen(lines->text) + strlen(line) + 2 < sizeof lines->text);
    strcat(strcat(lines->text, line), "\n");
    lines->count++;
    pthread_mutex_unlock(&lines->lock);
}

static void no_secret(const struct lines *lines, const char *secret) {
    char piece[9] = {0};
    memcpy(piece, secret, 8);
    if (strstr(lines->text, piece)) {
        fprintf(stderr, "%s is in:\n%s", piece, lines->text);
        exit(1);
    }
}

/* A log whose calls and destroys are counted. It can wait in a call until it is told to go on. */
struct counted {
    pthread_mutex_t guard;
    pthread_cond_t changed;
    int calls, destroyed, waits;
};

#define COUNTED {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0}

static void count(void *context, cm_log_level level, const char *line) {
    struct counted *log = context;
    (void)level;
    CHECK(line[0]);
    pthread_mutex_lock(&log->guard);
    CHECK(log->destroyed == 0);
    log->calls++;
    pthread_cond_broadcast(&log->changed);
    while (log->waits)
        pthread_cond_wait(&log->changed, &log->guard);
    pthread_mutex_unlock(&log->guard);
}

static void destroy(void *context) {
    struct counted *log = context;
    pthread_mutex_lock(&log->guard);
    log->destroyed++;
    pthread_mutex_unlock(&log->guard);
}

static cm_client *client_with_log(struct counted *log) {
    cm_client *client = NULL;
    cm_config *config = cm_config_new("id", "secret");
    cm_config_set_base_url(config, "http://127.0.0.1:1"); /* Nobody listens there. */
    cm_config_set_proxy(config, "");
    cm_config_set_max_retries(config, 0);
    if (log)
        cm_config_set_log(config, CM_LOG_LEVEL_ERROR, count, log, destroy);
    OK(cm_client_new(config, &client, &error));
    cm_config_free(config);
    return client;
}

static void *fail(void *client) {
    cm_tokens *none = NULL;
    CHECK(cm_refresh(client, "r", &none, NULL) == CM_STATUS_NETWORK);
    return NULL;
}

static void each_client_has_its_own_log(void) {
    struct counted one = COUNTED, two = COUNTED, all = COUNTED;
    cm_client *first = client_with_log(&one), *second = client_with_log(&two), *other = client_with_log(NULL);
    cm_set_log(CM_LOG_LEVEL_ERROR, count, &all, destroy);
    fail(first);
    CHECK(one.calls == 1 && two.calls == 0 && all.calls == 0);
    fail(second);
    CHECK(one.calls == 1 && two.calls == 1 && all.calls == 0);
    fail(other);
    CHECK(one.calls == 1 && two.calls == 1 && all.calls == 1);
    CHECK(one.destroyed + two.destroyed + all.destroyed == 0);

    /* A session of the client uses the log, too. */
    cm_store *store = cm_store_memory();
    cm_session *session = NULL;
    cm_tokens *old = NULL, *none = NULL;
    OK(cm_tokens_from_json("{\"access_token\":\"a1\",\"refresh_token\":\"r1\",\"expires_at\":1}", &old, &error));
    OK(cm_session_open(first, store, &session, &error));
    OK(cm_session_start(session, old, &error));
    FAILS(cm_session_tokens(session, &none, &error), CM_STATUS_NETWORK, CM_ADVICE_RETRY);
    CHECK(one.calls == 2);
    cm_client_free(first);
    CHECK(one.destroyed == 0);
    cm_session_free(session);
    /* The refresh thread of the library may be at its end. */
    for (int i = 0; i < 1000000 && !__atomic_load_n(&one.destroyed, __ATOMIC_ACQUIRE); i++)
        sched_yield();
    CHECK(one.destroyed == 1);
    cm_client_free(second);
    CHECK(two.destroyed == 1);
    cm_set_log(CM_LOG_LEVEL_OFF, NULL, NULL, NULL);
    CHECK(all.destroyed == 1);
    fail(other);
    CHECK(all.calls == 1);
    cm_client_free(other);
    cm_store_free(store);
    cm_tokens_free(old);
}

/* Turning a log off does not wait for a call in progress. The context is destroyed when that call has ended. */
static void a_log_that_blocks_blocks_nobody_else(void) {
    struct counted slow = COUNTED;
    cm_client *client = client_with_log(NULL);
    pthread_t thread;
    slow.waits = 1;
    cm_set_log(CM_LOG_LEVEL_ERROR, count, &slow, destroy);
    CHECK(pthread_create(&thread, NULL, fail, client) == 0);
    pthread_mutex_lock(&slow.guard);
    while (slow.calls == 0)
        pthread_cond_wait(&slow.changed, &slow.guard);
    pthread_mutex_unlock(&slow.guard);
    cm_set_log(CM_LOG_LEVEL_OFF, NULL, NULL, NULL);
    pthread_mutex_lock(&slow.guard);
    CHECK(slow.destroyed == 0);
    slow.waits = 0;
    pthread_cond_broadcast(&slow.changed);
    pthread_mutex_unlock(&slow.guard);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(slow.destroyed == 1 && slow.calls == 1);
    cm_client_free(client);
}

static cm_client *reentered;

/* Turns itself off, and makes a call that would log. */
static void reenter(void *context, cm_log_level level, const char *line) {
    struct counted *log = context;
    (void)level;
    (void)line;
    log->calls++;
    fail(reentered);
    cm_set_log(CM_LOG_LEVEL_OFF, NULL, NULL, NULL);
    CHECK(log->destroyed == 0);
}

static void a_log_callback_may_call_the_library(void) {
    struct counted log = COUNTED;
    reentered = client_with_log(NULL);
    cm_set_log(CM_LOG_LEVEL_ERROR, reenter, &log, destroy);
    fail(reentered);
    CHECK(log.calls == 1 && log.destroyed == 1);
    cm_client_free(reentered);
}

/* A child of a fork can set another log, even if a thread of the parent was in the callback. */
static void a_child_sets_a_log_of_its_own(void) {
    static struct counted slow = COUNTED, own = COUNTED;
    cm_client *client = client_with_log(NULL);
    pthread_t thread;
    slow.waits = 1;
    cm_set_log(CM_LOG_LEVEL_ERROR, count, &slow, NULL);
    CHECK(pthread_create(&thread, NULL, fail, client) == 0);
    pthread_mutex_lock(&slow.guard);
    while (slow.calls == 0)
        pthread_cond_wait(&slow.changed, &slow.guard);
    pthread_mutex_unlock(&slow.guard);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        cm_set_log(CM_LOG_LEVEL_ERROR, count, &own, destroy);
        fail(client);
        _exit(own.calls == 1 ? 0 : 1);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    pthread_mutex_lock(&slow.guard);
    slow.waits = 0;
    pthread_cond_broadcast(&slow.changed);
    pthread_mutex_unlock(&slow.guard);
    CHECK(pthread_join(thread, NULL) == 0);
    cm_set_log(CM_LOG_LEVEL_OFF, NULL, NULL, NULL);
    cm_client_free(client);
}

int main(void) {
    static struct lines lines = {PTHREAD_MUTEX_INITIALIZER, "", 0};
    each_client_has_its_own_log();
    a_log_that_blocks_blocks_nobody_else();
    a_log_callback_may_call_the_library();
    a_child_sets_a_log_of_its_own();
    cm_client *client = client_from_environment();
    cm_tokens *fresh = NULL, *none = NULL;

    cm_set_log(CM_LOG_LEVEL_DEBUG, collect, &lines, NULL);
    cm_tokens *tokens = log_in(client);
    CHECK_CONTAINS(lines.text, "/oauth/token\n");
    CHECK_CONTAINS(lines.text, "/oauth/token: HTTP 200 in ");
    CHECK_CONTAINS(lines.text, "exchange_code: done\n");
    OK(cm_refresh(client, cm_tokens_refresh_token(tokens), &fresh, &error));
    CHECK_CONTAINS(lines.text, "refresh: done\n");
    FAILS(cm_refresh(client, "nobody's token", &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    CHECK_CONTAINS(lines.text, "refresh: LOGIN_REQUIRED: the refresh token is no longer valid (HTTP 400 invalid_grant: "
                               "Invalid refresh token: [redacted])");
    OK(cm_logout(client, cm_tokens_access_token(fresh), &error));
    CHECK_CONTAINS(lines.text, "logout: done\n");

    no_secret(&lines, getenv("CMAUTH_CLIENT_SECRET"));
    no_secret(&lines, cm_tokens_access_token(tokens));
    no_secret(&lines, cm_tokens_access_token(fresh));
    no_secret(&lines, cm_tokens_refresh_token(tokens));
    no_secret(&lines, "nobody's token");

    /* At the level ERROR, a failure is logged and a success is not. */
    memset(lines.text, 0, sizeof lines.text);
    lines.count = 0;
    cm_set_log(CM_LOG_LEVEL_ERROR, collect, &lines, NULL);
    cm_tokens_free(tokens);
    tokens = log_in(client);
    CHECK(lines.count == 0);
    FAILS(cm_refresh(client, "nobody's token", &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    CHECK(lines.count == 1);

    cm_set_log(CM_LOG_LEVEL_OFF, collect, &lines, NULL);
    FAILS(cm_refresh(client, "nobody's token", &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    cm_set_log(CM_LOG_LEVEL_DEBUG, NULL, NULL, NULL);
    FAILS(cm_refresh(client, "nobody's token", &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    CHECK(lines.count == 1);

    cm_tokens_free(tokens);
    cm_tokens_free(fresh);
    cm_client_free(client);
    return 0;
}
