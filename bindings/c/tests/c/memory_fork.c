/* fork() while other threads hold the lock of a store in memory does not block the child. This is not in stores.c,
 * because in a child valgrind reports the memory of the parent's other threads as leaks. */

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user.h"

static cm_tokens *some_tokens(void) {
    cm_tokens *tokens = NULL;
    OK(cm_tokens_from_json("{\"access_token\":\"a\",\"refresh_token\":\"r\"}", &tokens, &error));
    return tokens;
}

static volatile int stop;

static void *start_until_stop(void *argument) {
    const cm_session *session = argument;
    cm_tokens *tokens = some_tokens();
    while (!stop)
        CHECK(cm_session_start(session, tokens, NULL) == CM_STATUS_OK);
    cm_tokens_free(tokens);
    return NULL;
}

/* Each process has its own copy of the store: a lock that a thread of the parent holds does not block a child. */
static void children_of_a_fork_can_lock_the_store(const cm_client *client) {
    cm_store *store = cm_store_memory();
    cm_session *session = NULL;
    OK(cm_session_open(client, store, &session, &error));
    cm_tokens *tokens = some_tokens();
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, start_until_stop, session) == 0);
    for (int i = 0; i < 20; i++) {
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            for (int j = 0; j < 3; j++)
                CHECK(cm_session_start(session, tokens, NULL) == CM_STATUS_OK);
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    stop = 1;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    cm_tokens_free(tokens);
    cm_session_free(session);
    cm_store_free(store);
}

int main(void) {
    cm_client *client = client_from_environment();
    children_of_a_fork_can_lock_the_store(client);
    cm_client_free(client);
    return 0;
}
