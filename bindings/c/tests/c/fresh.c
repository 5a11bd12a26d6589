/* For programs with event loops and streams: tokens at hand, the time of the next action, tokens that are kept fresh,
 * and the loop around a 401. */

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user.h"

struct watcher {
    pthread_mutex_t guard;
    pthread_cond_t changed;
    int32_t change;
    int changes;
    int destroyed;
};

static void on_change(void *context, cm_change change, int64_t generation) {
    struct watcher *watcher = context;
    CHECK(generation > 0);
    pthread_mutex_lock(&watcher->guard);
    watcher->change = change;
    watcher->changes++;
    pthread_cond_broadcast(&watcher->changed);
    pthread_mutex_unlock(&watcher->guard);
}

static void destroy(void *context) {
    struct watcher *watcher = context;
    pthread_mutex_lock(&watcher->guard);
    watcher->destroyed++;
    pthread_cond_broadcast(&watcher->changed);
    pthread_mutex_unlock(&watcher->guard);
}

static void wait_for(struct watcher *watcher, const int *counter, int least) {
    pthread_mutex_lock(&watcher->guard);
    while (*counter < least)
        pthread_cond_wait(&watcher->changed, &watcher->guard);
    pthread_mutex_unlock(&watcher->guard);
}

static int kept_fresh(const cm_session *session) {
    cm_health *health = NULL;
    CHECK(cm_session_health(session, &health) == CM_STATUS_OK);
    int kept = cm_health_kept_fresh(health);
    cm_health_free(health);
    return kept;
}

/* A thread of the library refreshes. This program makes no call meanwhile. */
static void the_library_refreshes_by_itself(cm_session *session, const cm_tokens *old) {
    struct watcher watcher = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0};
    CHECK(kept_fresh(session) == 0);
    cm_session_keep_fresh(session, 1);
    CHECK(kept_fresh(session) == 1);
    /* A child of a fork has no such thread until it asks for one. */
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        int before = kept_fresh(session);
        cm_session_keep_fresh(session, 1);
        const char *result = before == 0 && kept_fresh(session) == 1 ? "true" : "false";
        execlp(result, result, (char *)NULL); /* Not _exit: valgrind would look for leaks of the parent's threads. */
        _exit(1);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    cm_session_on_change(session, on_change, &watcher, destroy);
    OK(cm_session_start(session, old, &error));
    wait_for(&watcher, &watcher.changes, 2); /* The login, and the refresh of its expired tokens. */
    CHECK(watcher.change == CM_CHANGE_TOKENS);
    cm_tokens *tokens = cm_session_tokens_at_hand(session);
    CHECK(tokens != NULL && strcmp(cm_tokens_access_token(tokens), cm_tokens_access_token(old)) != 0);
    cm_tokens_free(tokens);
    cm_session_keep_fresh(session, 0);
    CHECK(kept_fresh(session) == 0);
    cm_session_on_change(session, NULL, NULL, NULL);
    wait_for(&watcher, &watcher.destroyed, 1);
    CHECK(watcher.destroyed == 1);
}

struct api {
    int rejects;
    int calls;
    char authorization[128];
};

/* A request to an API that rejects the first tokens. */
static int32_t request(void *context, const cm_tokens *tokens) {
    struct api *api = context;
    CHECK(strcmp(api->authorization, cm_tokens_authorization(tokens)) != 0);
    snprintf(api->authorization, sizeof api->authorization, "%s", cm_tokens_authorization(tokens));
    CHECK(strncmp(api->authorization, "Bearer ", 7) == 0);
    CHECK(strcmp(api->authorization + 7, cm_tokens_access_token(tokens)) == 0);
    return api->calls++ < api->rejects ? CM_ANSWER_REJECTED : CM_ANSWER_DONE;
}

static void the_loop_around_a_401(const cm_session *session) {
    struct api good = {0, 0, ""}, once = {1, 0, ""}, never = {2, 0, ""};
    OK(cm_session_with_tokens(session, request, &good, &error));
    CHECK(good.calls == 1);
    OK(cm_session_with_tokens(session, request, &once, &error));
    CHECK(once.calls == 2);
    FAILS(cm_session_with_tokens(session, request, &never, &error), CM_STATUS_TOKEN_REJECTED, CM_ADVICE_RETRY);
    CHECK(never.calls == 1 || never.calls == 2); /* The new tokens may be too young to be refreshed. */

    cm_tokens *tokens = NULL;
    OK(cm_session_rejected_token(session, good.authorization + 7, &tokens, &error));
    CHECK(strcmp(cm_tokens_access_token(tokens), good.authorization + 7) != 0);
    cm_tokens_free(tokens);
}

int main(void) {
    cm_client *client = client_from_environment();
    cm_store *store = cm_store_memory();
    cm_session *session = NULL;
    OK(cm_session_open(client, store, &session, &error));
    CHECK(cm_session_tokens_at_hand(session) == NULL);
    CHECK(cm_session_next_action_ms(session) == CM_NONE);

    cm_tokens *tokens = log_in(client), *old = expired(tokens);
    OK(cm_session_start(session, tokens, &error));
    int64_t next = cm_session_next_action_ms(session);
    CHECK(next > 3600000 && next <= 86400000);
    cm_tokens *at_hand = cm_session_tokens_at_hand(session);
    CHECK(at_hand && strcmp(cm_tokens_access_token(at_hand), cm_tokens_access_token(tokens)) == 0);
    cm_tokens_free(at_hand);
    the_loop_around_a_401(session);

    OK(cm_session_forget(session, &error));
    the_library_refreshes_by_itself(session, old);
    OK(cm_session_start(session, old, &error));
    CHECK(cm_session_next_action_ms(session) == 0);
    CHECK(cm_session_tokens_at_hand(session) == NULL);
    CHECK(cm_store_time_left_ms() == CM_NONE);

    cm_tokens_free(tokens);
    cm_tokens_free(old);
    cm_session_free(session);
    cm_store_free(store);
    cm_client_free(client);
    return 0;
}
