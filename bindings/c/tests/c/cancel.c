/* A cancel handle ends the calls of one thread, from another thread or from a signal handler, and no other calls. A
 * cancelled client ends all of its calls, also those that would not have to wait. */

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "user.h"

static cm_cancel *of_handler;

static void on_alarm(int signal) {
    (void)signal;
    cm_cancel_now(of_handler);
}

/* A login that waits until a signal handler cancels it. */
static void a_signal_handler_cancels(const cm_client *client) {
    cm_login *login = NULL;
    cm_tokens *tokens = NULL;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    of_handler = cm_cancel_new();
    OK(cm_login_listen(client, 0, &login, &error));
    CHECK(cm_cancel_scope(of_handler) == NULL);
    struct itimerval timer = {{0, 0}, {0, 20000}};
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    FAILS(cm_login_wait(login, 3600000, &tokens, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    /* The handle stays cancelled; the login is still open. */
    FAILS(cm_login_wait(login, 3600000, &tokens, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    CHECK(cm_cancel_scope(NULL) == of_handler);
    FAILS(cm_login_wait(login, 1, &tokens, &error), CM_STATUS_TIMEOUT, CM_ADVICE_RETRY);
    cm_login_cancel(login);
    CHECK(cm_login_wait(login, 3600000, &tokens, &error) == CM_STATUS_CANCELLED);
    CHECK_CONTAINS(cm_error_message(error), "begin a new one");
    cm_error_free(error);
    error = NULL;
    cm_login_free(login);
    cm_cancel_free(of_handler);
}

struct waiting {
    cm_login *login;
    cm_cancel *cancel;
    cm_status status;
};

static void *wait_in_scope(void *context) {
    struct waiting *waiting = context;
    cm_tokens *tokens = NULL;
    cm_cancel_scope(waiting->cancel);
    waiting->status = cm_login_wait(waiting->login, 3600000, &tokens, NULL);
    return NULL;
}

static void another_thread_cancels_after_the_client_was_freed(void) {
    cm_client *client = client_from_environment();
    struct waiting waiting = {NULL, cm_cancel_new(), CM_STATUS_OK};
    pthread_t thread;
    OK(cm_login_listen(client, 0, &waiting.login, &error));
    cm_client_free(client);
    CHECK(pthread_create(&thread, NULL, wait_in_scope, &waiting) == 0);
    cm_cancel_now(waiting.cancel);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(waiting.status == CM_STATUS_CANCELLED);
    cm_login_free(waiting.login);
    cm_cancel_free(waiting.cancel);
}

static void scopes_are_set_and_restored(const cm_session *session) {
    cm_cancel *one = cm_cancel_new(), *two = cm_cancel_new();
    cm_tokens *tokens = NULL;
    CHECK(cm_cancel_scope(one) == NULL);
    CHECK(cm_cancel_scope(two) == one);
    cm_cancel_now(two);
    FAILS(cm_session_tokens(session, &tokens, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    CHECK(cm_cancel_scope(one) == two);
    OK(cm_session_tokens(session, &tokens, &error));
    cm_tokens_free(tokens);
    cm_cancel_now(one);
    /* A freed handle stays the scope, and is not given back. */
    cm_cancel_free(one);
    FAILS(cm_session_forget(session, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    CHECK(cm_cancel_scope(NULL) == NULL);
    cm_cancel_free(two);
    cm_cancel_now(NULL);
    cm_cancel_free(NULL);
}

static void a_cancelled_client_ends_every_call(void) {
    cm_client *client = client_from_environment();
    cm_store *store = cm_store_memory();
    cm_tokens *first = log_in(client), *tokens = NULL;
    cm_session *session = NULL, *other = NULL;
    cm_login *login = NULL;
    cm_health *health = NULL;
    OK(cm_session_open(client, store, &session, &error));
    OK(cm_session_start(session, first, &error));
    OK(cm_session_tokens(session, &tokens, &error));
    cm_tokens_free(tokens);
    cm_client_cancel(client);
    FAILS(cm_session_tokens(session, &tokens, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    FAILS(cm_session_rejected(session, first, &tokens, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    FAILS(cm_session_start(session, first, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    FAILS(cm_session_logout(session, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    FAILS(cm_session_forget(session, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    FAILS(cm_session_open(client, store, &other, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    FAILS(cm_refresh(client, "r", &tokens, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    FAILS(cm_logout(client, "a", &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    FAILS(cm_exchange_code(client, "c", REDIRECT_URI, &tokens, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    /* These neither send nor wait. */
    OK(cm_login_listen(client, 0, &login, &error));
    FAILS(cm_login_wait(login, 60000, &tokens, &error), CM_STATUS_CANCELLED, CM_ADVICE_NONE);
    CHECK(cm_session_health(session, &health) == CM_STATUS_OK);
    CHECK(cm_health_logged_in(health) == 1);
    cm_health_free(health);
    cm_login_free(login);
    cm_session_free(session);
    cm_tokens_free(first);
    cm_store_free(store);
    cm_client_free(client);
}

int main(void) {
    cm_client *client = client_from_environment();
    cm_store *store = cm_store_memory();
    cm_tokens *tokens = log_in(client);
    cm_session *session = NULL;
    OK(cm_session_open(client, store, &session, &error));
    OK(cm_session_start(session, tokens, &error));
    scopes_are_set_and_restored(session);
    a_signal_handler_cancels(client);
    another_thread_cancels_after_the_client_was_freed();
    a_cancelled_client_ends_every_call();
    cm_session_free(session);
    cm_tokens_free(tokens);
    cm_store_free(store);
    cm_client_free(client);
    return 0;
}
