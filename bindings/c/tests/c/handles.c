/* Client, login, store and session handles may be freed while calls use them, twice, and in any order. Calls that began
 * before go on to their end. Calls that begin later fail and do not crash. */

#include <pthread.h>

#include "user.h"

#define THREADS 4
#define ROUNDS 200

struct shared {
    cm_client *client;
    cm_session *session;
    cm_login *login;
    int freed;
    int calls;
};

static int is_ended(cm_status status) {
    return status == CM_STATUS_INVALID_ARGUMENT;
}

/* Calls until the handle is freed. */
static void *call(void *context) {
    struct shared *shared = context;
    for (;;) {
        cm_tokens *tokens = NULL;
        cm_error *failure = NULL;
        cm_health *health = NULL;
        cm_status status = cm_session_tokens(shared->session, &tokens, &failure);
        if (is_ended(status))
            CHECK_CONTAINS(cm_error_message(failure), "session: it is freed already");
        else
            CHECK(status == CM_STATUS_OK);
        cm_tokens_free(tokens);
        cm_error_free(failure);
        cm_tokens_free(cm_session_tokens_at_hand(shared->session));
        if (cm_session_health(shared->session, &health) == CM_STATUS_OK)
            cm_health_free(health);
        cm_session_on_change(shared->session, NULL, NULL, NULL);
        __atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
        if (is_ended(status))
            return NULL;
    }
}

static void *refresh(void *context) {
    struct shared *shared = context;
    cm_tokens *tokens = NULL;
    cm_status status = CM_STATUS_OK;
    while (!is_ended(status)) {
        status = cm_refresh(shared->client, "unknown", &tokens, NULL);
        CHECK(status == CM_STATUS_LOGIN_REQUIRED || is_ended(status));
        __atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void a_session_is_freed_while_threads_use_it(const cm_client *client, const cm_tokens *tokens) {
    for (int round = 0; round < ROUNDS; round++) {
        struct shared shared = {0};
        pthread_t threads[THREADS];
        cm_store *store = cm_store_memory();
        OK(cm_session_open(client, store, &shared.session, &error));
        cm_store_free(store);
        cm_store_free(store); /* Does nothing. */
        OK(cm_session_start(shared.session, tokens, &error));
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, call, &shared) == 0);
        while (__atomic_load_n(&shared.calls, __ATOMIC_RELAXED) < 2 * THREADS)
            ;
        cm_session_free(shared.session);
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        cm_session_free(shared.session);
    }
}

static void a_client_is_freed_while_threads_use_it(void) {
    struct shared shared = {.client = client_from_environment()};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, refresh, &shared) == 0);
    while (__atomic_load_n(&shared.calls, __ATOMIC_RELAXED) < 2 * THREADS)
        ;
    cm_client_free(shared.client);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void *wait_for_browser(void *context) {
    struct shared *shared = context;
    cm_tokens *tokens = NULL;
    cm_status status = cm_login_wait(shared->login, 3600000, &tokens, NULL);
    /* It began before the free, or after it. */
    CHECK(status == CM_STATUS_CANCELLED || is_ended(status));
    return NULL;
}

static void a_login_is_freed_while_a_thread_waits(const cm_client *client) {
    for (int round = 0; round < ROUNDS; round++) {
        struct shared shared = {0};
        pthread_t thread;
        OK(cm_login_listen(client, 0, &shared.login, &error));
        CHECK(pthread_create(&thread, NULL, wait_for_browser, &shared) == 0);
        if (round % 2)
            CHECK(cm_login_url(shared.login) != NULL);
        cm_login_cancel(shared.login);
        cm_login_free(shared.login);
        CHECK(pthread_join(thread, NULL) == 0);
        CHECK(cm_login_url(shared.login) == NULL && cm_login_is_redirect(shared.login, "x") == 0);
        cm_login_cancel(shared.login);
        cm_login_free(shared.login);
    }
}

static void freed_handles_are_reused_late(const cm_client *client) {
    cm_login *first = NULL, *login = NULL;
    OK(cm_login_new(client, REDIRECT_URI, &first, &error));
    cm_login_free(first);
    int until_reuse = 0;
    while (login != first && until_reuse < 5000) {
        OK(cm_login_new(client, REDIRECT_URI, &login, &error));
        until_reuse++;
        if (login == first)
            CHECK(cm_login_url(first) != NULL);
        else
            CHECK(cm_login_url(first) == NULL);
        cm_login_free(login);
    }
    CHECK(until_reuse >= 1000 && until_reuse < 5000);
}

int main(void) {
    cm_client *client = client_from_environment();
    cm_tokens *tokens = log_in(client);
    a_session_is_freed_while_threads_use_it(client, tokens);
    a_client_is_freed_while_threads_use_it();
    a_login_is_freed_while_a_thread_waits(client);
    freed_handles_are_reused_late(client);
    cm_tokens_free(tokens);
    cm_client_free(client);
    cm_client_free(client);
    return 0;
}
