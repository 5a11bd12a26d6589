/* 16 threads share one client: they make calls and read the same tokens at the same time. */

#include <pthread.h>

#include "user.h"

#define THREADS 16
#define CALLS 25

struct shared {
    const cm_client *client;
    const cm_tokens *tokens;
};

static void *work(void *argument) {
    const struct shared *shared = argument;
    for (int i = 0; i < CALLS; i++) {
        cm_tokens *fresh = NULL;
        cm_error *failure = NULL;
        if (cm_refresh(shared->client, cm_tokens_refresh_token(shared->tokens), &fresh, &failure)) {
            fprintf(stderr, "refresh: %s\n", cm_error_message(failure));
            exit(1);
        }
        CHECK(failure == NULL);
        CHECK(strcmp(cm_tokens_refresh_token(fresh), cm_tokens_refresh_token(shared->tokens)) == 0);
        cm_tokens_free(fresh);

        CHECK_CONTAINS(cm_tokens_to_json(shared->tokens), "refresh_token");
        cm_status status = cm_refresh(shared->client, "nobody's token", &fresh, &failure);
        CHECK(status == CM_STATUS_LOGIN_REQUIRED && fresh == NULL);
        CHECK(cm_error_http_status(failure) == 400);
        cm_error_free(failure);
    }
    return NULL;
}

int main(void) {
    cm_client *client = client_from_environment();
    cm_tokens *tokens = log_in(client);
    struct shared shared = {client, tokens};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, &shared) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    cm_tokens_free(tokens);
    cm_client_free(client);
    return 0;
}
