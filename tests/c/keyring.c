/* The store of examples/c/keyring_store.c against a real keyring. With the argument "without" there is none to be
 * reached. */

#include "../../examples/c/keyring_store.c"
#include "story.h"

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

static void the_lock_is_had_by_one(void) {
    struct keyring_store one = {.lock_file = getenv("LOCK_FILE"), .locked = -1}, other = one;
    CHECK(keyring_try_lock(&one, 1000, NULL) == CM_STORE_RESULT_OK);
    CHECK(keyring_try_lock(&other, 1000, NULL) == CM_STORE_RESULT_BUSY);
    keyring_unlock(&one);
    CHECK(keyring_try_lock(&other, 1000, NULL) == CM_STORE_RESULT_OK);
    keyring_unlock(&other);
    struct keyring_store nowhere = {.lock_file = "/nowhere/lock", .locked = -1};
    CHECK(keyring_try_lock(&nowhere, 1000, NULL) == CM_STORE_RESULT_FAILED);
}

int main(int argc, char **argv) {
    cm_client *client = client_from_environment();
    if (argc > 1 && strcmp(argv[1], "without") == 0) {
        int result = without_keyring(client);
        cm_client_free(client);
        return result;
    }
    the_lock_is_had_by_one();
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
