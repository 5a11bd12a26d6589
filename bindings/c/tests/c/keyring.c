/* The store of examples/c/keyring_store.c works with a real keyring. With the argument "without", no keyring is
 * running, and the store must report that. */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "../../../../examples/c/keyring_store.c"
#include "user.h"

static const char SERVICE[] = "cmauth-test", USER[] = "recorder 1";

static cm_store *store_in_keyring(void) {
    cm_store *store = keyring_store_new(SERVICE, USER, getenv("LOCK_FILE"));
    CHECK(store != NULL);
    return store;
}

static int without_keyring(const cm_client *client) {
    cm_store *store = store_in_keyring();
    cm_session *session = NULL;
    CHECK(cm_session_open(client, store, &session, &error) == CM_STATUS_STORE);
    CHECK_CONTAINS(cm_error_message(error), "the keyring: ");
    cm_error_free(error);
    CHECK(session == NULL);
    cm_store_free(store);
    return 0;
}

static struct keyring_store with_lock(char *lock_file) {
    struct keyring_store store = {.lock_file = lock_file};
    return store;
}

static void one_caller_holds_the_lock(void) {
    char *path = getenv("LOCK_FILE");
    struct keyring_store one = with_lock(path), other = with_lock(path);
    CHECK(keyring_try_lock(&one, 1000, NULL) == CM_STORE_RESULT_OK);
    CHECK(keyring_try_lock(&one, 1000, NULL) == CM_STORE_RESULT_BUSY);
    CHECK(keyring_try_lock(&other, 1000, NULL) == CM_STORE_RESULT_BUSY);
    keyring_unlock(&one, NULL);
    CHECK(keyring_try_lock(&other, 1000, NULL) == CM_STORE_RESULT_OK);
    keyring_unlock(&other, NULL);
    /* After the lock file was removed, all callers lock the new one. */
    CHECK(keyring_try_lock(&one, 1000, NULL) == CM_STORE_RESULT_OK);
    CHECK(unlink(path) == 0);
    keyring_unlock(&one, NULL);
    CHECK(keyring_try_lock(&other, 1000, NULL) == CM_STORE_RESULT_OK);
    CHECK(keyring_try_lock(&one, 1000, NULL) == CM_STORE_RESULT_BUSY);
    keyring_unlock(&other, NULL);
    struct keyring_store nowhere = with_lock("/nowhere/lock");
    CHECK(keyring_try_lock(&nowhere, 1000, NULL) == CM_STORE_RESULT_FAILED);
}

/* Threads and processes open the lock file for the first time. Each increments the number in another file. */
static void *count_up(void *path) {
    for (int i = 0; i < 200; i++) {
        struct keyring_store store = with_lock(getenv("LOCK_FILE"));
        while (keyring_try_lock(&store, 1000, NULL) != CM_STORE_RESULT_OK)
            sched_yield();
        int number = 0;
        FILE *file = fopen(path, "r+");
        CHECK(file != NULL && fscanf(file, "%d", &number) == 1);
        rewind(file);
        fprintf(file, "%d", number + 1);
        CHECK(fclose(file) == 0);
        keyring_unlock(&store, NULL);
    }
    return NULL;
}

static void no_increment_of_a_thread_or_process_is_lost(void) {
    char path[512];
    snprintf(path, sizeof path, "%s.count", getenv("LOCK_FILE"));
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs("0", file) >= 0 && fclose(file) == 0);
    CHECK(unlink(getenv("LOCK_FILE")) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, count_up, path) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    if (child == 0)
        _exit(0);
    int status, number = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    file = fopen(path, "r");
    CHECK(file != NULL && fscanf(file, "%d", &number) == 1 && fclose(file) == 0);
    CHECK(number == 2 * 4 * 200);
}

/* A service that holds the lock forks. It is killed, or it releases the lock. Its child and others then get the lock.
 */
static void a_child_does_not_keep_its_parent_s_lock(int killed) {
    int to_parent[2], to_child[2], to_service[2], forked;
    char byte = 0;
    CHECK(pipe(to_parent) == 0 && pipe(to_child) == 0 && pipe(to_service) == 0);
    pid_t service = fork();
    CHECK(service >= 0);
    struct keyring_store store = with_lock(getenv("LOCK_FILE"));
    if (service == 0) {
        CHECK(keyring_try_lock(&store, 1000, NULL) == CM_STORE_RESULT_OK);
        forked = fork();
        CHECK(forked >= 0);
        alarm(60);
        if (forked == 0) {
            /* It can neither take nor release the lock of its parent. */
            CHECK(keyring_try_lock(&store, 1000, NULL) == CM_STORE_RESULT_BUSY);
            if (!killed)
                keyring_unlock(&store, NULL);
            CHECK(write(to_parent[1], "f", 1) == 1 && read(to_child[0], &byte, 1) == 1);
            CHECK(keyring_try_lock(&store, 1000, NULL) == CM_STORE_RESULT_OK);
            CHECK(write(to_parent[1], "l", 1) == 1 && read(to_child[0], &byte, 1) == 1);
            keyring_unlock(&store, NULL);
            CHECK(write(to_parent[1], "u", 1) == 1);
            _exit(0);
        }
        CHECK(read(to_service[0], &byte, 1) == 1);
        keyring_unlock(&store, NULL);
        CHECK(write(to_parent[1], "g", 1) == 1);
        pause();
        _exit(0);
    }
    CHECK(read(to_parent[0], &byte, 1) == 1 && byte == 'f');
    CHECK(keyring_try_lock(&store, 1000, NULL) == CM_STORE_RESULT_BUSY);
    if (killed)
        CHECK(kill(service, SIGKILL) == 0 && waitpid(service, NULL, 0) == service);
    else
        CHECK(write(to_service[1], "x", 1) == 1 && read(to_parent[0], &byte, 1) == 1 && byte == 'g');
    CHECK(keyring_try_lock(&store, 1000, NULL) == CM_STORE_RESULT_OK);
    keyring_unlock(&store, NULL);
    CHECK(write(to_child[1], "x", 1) == 1 && read(to_parent[0], &byte, 1) == 1 && byte == 'l');
    CHECK(keyring_try_lock(&store, 1000, NULL) == CM_STORE_RESULT_BUSY);
    CHECK(write(to_child[1], "x", 1) == 1 && read(to_parent[0], &byte, 1) == 1 && byte == 'u');
    CHECK(keyring_try_lock(&store, 1000, NULL) == CM_STORE_RESULT_OK);
    keyring_unlock(&store, NULL);
    if (!killed)
        CHECK(kill(service, SIGKILL) == 0 && waitpid(service, NULL, 0) == service);
}

int main(int argc, char **argv) {
    cm_client *client = client_from_environment();
    if (argc > 1 && strcmp(argv[1], "without") == 0) {
        int result = without_keyring(client);
        cm_client_free(client);
        return result;
    }
    one_caller_holds_the_lock();
    a_child_does_not_keep_its_parent_s_lock(1);
    a_child_does_not_keep_its_parent_s_lock(0);
    no_increment_of_a_thread_or_process_is_lost();
    cm_store *store = store_in_keyring(), *other_store = store_in_keyring();
    cm_session *session = NULL, *other = NULL;
    OK(cm_session_open(client, store, &session, &error));
    cm_tokens *tokens = log_in(client), *fresh = NULL, *same = NULL, *none = NULL;
    OK(cm_session_start(session, tokens, &error));
    OK(cm_session_rejected(session, tokens, &fresh, &error));

    /* Another program of the same user, which the first one's tokens were kept for. */
    OK(cm_session_open(client, other_store, &other, &error));
    OK(cm_session_tokens(other, &same, &error));
    CHECK(strcmp(cm_tokens_access_token(fresh), cm_tokens_access_token(same)) == 0);
    cm_tokens_free(same);

    OK(cm_session_logout(other, &error));
    FAILS(cm_session_rejected(session, fresh, &none, &error), CM_STATUS_LOGIN_REQUIRED, CM_ADVICE_LOG_IN);
    gchar *left = secret_password_lookup_sync(&schema, NULL, NULL, "service", SERVICE, "username", USER, NULL);
    CHECK(left == NULL);
    cm_tokens_free(fresh);
    cm_tokens_free(tokens);
    cm_session_free(session);
    cm_session_free(other);
    cm_store_free(store);
    cm_store_free(other_store);
    cm_client_free(client);
    return 0;
}
