/* fork() before, between and during calls: a child opens its own connections, and no lock of the parent blocks it. */

#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "user.h"

#define CHILDREN 20
#define SESSION_CHILDREN 5 /* Each competes with four threads for the lock. */
#define THREADS 4
#define CALLS 64

static const cm_client *client;
static const char *refresh_token;
static volatile int stop;

static void refresh(void) {
    cm_tokens *fresh = NULL;
    cm_error *failure = NULL;
    if (cm_refresh(client, refresh_token, &fresh, &failure)) {
        fprintf(stderr, "pid %d: %s\n", (int)getpid(), cm_error_message(failure));
        _exit(1);
    }
    cm_tokens_free(fresh);
}

static void *work(void *unused) {
    (void)unused;
    while (!stop)
        refresh();
    return NULL;
}

static pid_t child_that_refreshes(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60); /* A signal ends a child that hangs, and the parent fails. */
        refresh();
        refresh();
        /* A child may free what it inherited. The parent's connections stay open. */
        cm_client_free((cm_client *)client);
        _exit(0);
    }
    return child;
}

static void ended_well(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static cm_session *session;
static cm_tokens *old_tokens;

/* Starts the session with expired tokens, so that the next call refreshes them. */
static void start_and_refresh(void) {
    cm_tokens *tokens = NULL;
    cm_error *failure = NULL;
    if (cm_session_start(session, old_tokens, &failure) || cm_session_tokens(session, &tokens, &failure)) {
        fprintf(stderr, "pid %d: %s\n", (int)getpid(), cm_error_message(failure));
        _exit(1);
    }
    CHECK(strcmp(cm_tokens_access_token(tokens), cm_tokens_access_token(old_tokens)) != 0);
    cm_tokens_free(tokens);
}

static void *refresh_until_stop(void *unused) {
    (void)unused;
    while (!stop)
        start_and_refresh();
    return NULL;
}

/* Parent and children share a session through its file. The parent forks while its threads refresh and hold the lock.
 */
static void sessions(const cm_tokens *tokens) {
    char folder[] = "/tmp/cmauth-fork-XXXXXX", file[64], lock[80];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/session", folder);
    snprintf(lock, sizeof lock, "%s.lock", file);
    cm_store *store = cm_store_file(file);
    OK(cm_session_open(client, store, &session, &error));
    cm_store_free(store);
    old_tokens = expired(tokens);
    start_and_refresh();
    stop = 0;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, refresh_until_stop, NULL) == 0);
    for (int i = 0; i < SESSION_CHILDREN; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            start_and_refresh();
            start_and_refresh();
            cm_session_free(session);
            _exit(0);
        }
        ended_well(child);
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    OK(cm_session_forget(session, &error));
    cm_session_free(session);
    cm_tokens_free(old_tokens);
    CHECK(unlink(lock) == 0 && rmdir(folder) == 0);
}

/* A listener on 127.0.0.1 that never answers. */
static int listener;

static cm_client *client_of_silent_server(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char url[64];
    listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 128) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    cm_config *config = cm_config_new("id", "secret");
    cm_config_set_base_url(config, url);
    cm_config_set_proxy(config, "");
    cm_config_set_timeout_ms(config, 5000);
    cm_client *silent = NULL;
    OK(cm_client_new(config, &silent, &error));
    cm_config_free(config);
    return silent;
}

static volatile int go;

static void *call_that_is_cancelled(void *silent) {
    cm_tokens *none = NULL;
    while (!go)
        sched_yield();
    return (void *)(intptr_t)cm_refresh(silent, "r", &none, NULL);
}

static double now(void) {
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Many calls start at the same time, as the first ones in a child. One cancel ends them all. */
static void cancel_ends_all_calls_of_a_child(void) {
    cm_client *silent = client_of_silent_server();
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            pthread_t threads[CALLS];
            for (int j = 0; j < CALLS; j++)
                CHECK(pthread_create(&threads[j], NULL, call_that_is_cancelled, silent) == 0);
            go = 1;
            for (int j = 0; j < CALLS; j++)
                CHECK(accept(listener, NULL, NULL) >= 0);
            double begun = now();
            cm_client_cancel(silent);
            for (int j = 0; j < CALLS; j++) {
                void *status = NULL;
                CHECK(pthread_join(threads[j], &status) == 0);
                CHECK((intptr_t)status == CM_STATUS_CANCELLED);
            }
            /* The promise is 100 ms. The rest is for a machine that is busy with other tests. */
            CHECK(now() - begun < 1);
            _exit(0);
        }
        ended_well(child);
    }
    close(listener);
    cm_client_free(silent);
}

int main(void) {
    cm_client *made = client_from_environment();
    client = made;
    cm_tokens *tokens = log_in(client);
    refresh_token = cm_tokens_refresh_token(tokens);

    /* Between calls: the client has an idle connection, and parent and child use the client at the same time. */
    refresh();
    pid_t child = child_that_refreshes();
    for (int i = 0; i < 5; i++)
        refresh();
    ended_well(child);
    refresh();

    /* During calls of other threads, which may hold locks. */
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < CHILDREN; i++)
        ended_well(child_that_refreshes());
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);

    sessions(tokens);
    cancel_ends_all_calls_of_a_child();

    /* A cancelled client is cancelled in a child too; one that a child cancels goes on in the parent. */
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        cm_client_cancel(client);
        cm_tokens *none = NULL;
        CHECK(cm_refresh(client, refresh_token, &none, NULL) == CM_STATUS_CANCELLED);
        pid_t grandchild = fork();
        CHECK(grandchild >= 0);
        if (grandchild == 0)
            _exit(cm_refresh(client, refresh_token, &none, NULL) == CM_STATUS_CANCELLED ? 0 : 1);
        ended_well(grandchild);
        _exit(0);
    }
    ended_well(child);
    refresh();
    cm_client_cancel(client);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        cm_tokens *none = NULL;
        _exit(cm_refresh(client, refresh_token, &none, NULL) == CM_STATUS_CANCELLED ? 0 : 1);
    }
    ended_well(child);

    cm_tokens_free(tokens);
    cm_client_free(made);
    return 0;
}
