/* A file store keeps its file when the working directory changes, a custom store destroys its context once, and a new
 * login gets a larger generation than the store reports. */

#include <sys/stat.h>
#include <unistd.h>

#include "user.h"

static cm_session *open_session(const cm_client *client, const cm_store *store) {
    cm_session *session = NULL;
    OK(cm_session_open(client, store, &session, &error));
    return session;
}

static cm_tokens *some_tokens(void) {
    cm_tokens *tokens = NULL;
    OK(cm_tokens_from_json("{\"access_token\":\"a\",\"refresh_token\":\"r\"}", &tokens, &error));
    return tokens;
}

/* A program that becomes a service may change its working directory. */
static void a_relative_path_and_a_link_keep_their_file(const cm_client *client) {
    char folder[] = "/tmp/cmauth-stores-XXXXXX";
    CHECK(mkdtemp(folder) != NULL && chdir(folder) == 0);
    CHECK(mkdir("kept", 0700) == 0 && symlink("kept/session", "link") == 0);
    cm_store *store = cm_store_file("kept/session"), *link = cm_store_file("link");
    cm_session *session = open_session(client, store), *other;
    CHECK(chdir("/") == 0);
    cm_tokens *tokens = some_tokens(), *found = NULL;
    OK(cm_session_start(session, tokens, &error));
    other = open_session(client, link);
    OK(cm_session_tokens(other, &found, &error));
    cm_tokens_free(found);
    OK(cm_session_start(other, tokens, &error));
    cm_session_free(session);
    cm_session_free(other);
    session = open_session(client, store);
    OK(cm_session_forget(session, &error));

    CHECK(chdir(folder) == 0);
    struct stat status;
    CHECK(lstat("link", &status) == 0 && S_ISLNK(status.st_mode));
    CHECK(access("kept/session", F_OK) != 0);
    CHECK(unlink("link") == 0 && unlink("kept/session.lock") == 0 && rmdir("kept") == 0);
    CHECK(chdir("/") == 0 && rmdir(folder) == 0);
    cm_session_free(session);
    cm_store_free(store);
    cm_store_free(link);
    cm_tokens_free(tokens);
}

/* A store that keeps the generation, also after a clear. The generation comes from a clock that was far ahead. */
struct own_store {
    char record[1024];
    int64_t generation;
    int locked, refused, destroyed;
};

static int32_t own_load(void *context, cm_store_reply *reply) {
    struct own_store *store = context;
    if (store->record[0])
        cm_store_reply_set_record(reply, store->record);
    cm_store_reply_set_generation(reply, store->generation);
    return CM_STORE_RESULT_OK;
}

static int32_t own_save(void *context, const char *record, int64_t generation, cm_store_reply *reply) {
    struct own_store *store = context;
    (void)reply;
    CHECK(store->locked);
    if (generation <= store->generation) {
        store->refused++;
        return CM_STORE_RESULT_NEWER;
    }
    snprintf(store->record, sizeof store->record, "%s", record);
    store->generation = generation;
    return CM_STORE_RESULT_OK;
}

static int32_t own_clear(void *context, int64_t generation, cm_store_reply *reply) {
    return own_save(context, "", generation, reply);
}

static int32_t own_try_lock(void *context, int64_t hold_ms, cm_store_reply *reply) {
    struct own_store *store = context;
    (void)hold_ms;
    (void)reply;
    return store->locked++ ? CM_STORE_RESULT_BUSY : CM_STORE_RESULT_OK;
}

static int32_t own_unlock(void *context, cm_store_reply *reply) {
    struct own_store *store = context;
    (void)reply;
    store->locked = 0;
    return CM_STORE_RESULT_OK;
}

static void own_destroy(void *context) {
    struct own_store *store = context;
    store->destroyed++;
}

static const cm_store_callbacks own_callbacks = {
    sizeof(cm_store_callbacks), own_load, own_save, own_clear, own_try_lock, own_unlock, own_destroy,
};

static void a_login_gets_a_larger_generation_than_the_store_reports(const cm_client *client) {
    const int64_t ahead = (int64_t)1 << 51;
    struct own_store own = {.generation = ahead};
    cm_store *store = cm_store_custom(&own_callbacks, &own);
    cm_session *session = open_session(client, store);
    cm_tokens *tokens = some_tokens();
    OK(cm_session_start(session, tokens, &error));
    CHECK(own.record[0] && own.generation > ahead);
    own.record[0] = '\0';
    own.generation = 2 * ahead;
    OK(cm_session_forget(session, &error));
    CHECK(!own.record[0] && own.generation > 2 * ahead && own.refused == 0);
    cm_session_free(session);
    cm_store_free(store);
    CHECK(own.destroyed == 1);
    cm_tokens_free(tokens);
}

/* Opens a session with a table, which succeeds or fails as expected, and frees all handles. */
static int times_destroyed(const cm_client *client, const cm_store_callbacks *table, cm_status expected) {
    struct own_store own = {.generation = 0};
    cm_store *store = cm_store_custom(table, &own);
    CHECK(store != NULL);
    for (int i = 0; i < 2; i++) {
        cm_session *session = NULL;
        cm_error *failure = NULL;
        CHECK(cm_session_open(client, store, &session, &failure) == expected);
        cm_session_free(session);
        cm_error_free(failure);
        CHECK(own.destroyed == 0);
    }
    cm_store_free(store);
    return own.destroyed;
}

static void a_context_is_destroyed_once_even_if_its_table_is_rejected(const cm_client *client) {
    CHECK(times_destroyed(client, &own_callbacks, CM_STATUS_OK) == 1);
    cm_store_callbacks table = own_callbacks;
    table.size = sizeof table + sizeof(void *); /* As of a later version, whose further members are not read. */
    CHECK(times_destroyed(client, &table, CM_STATUS_OK) == 1);
    for (int i = 0; i < 5; i++) {
        table = own_callbacks;
        if (i == 0)
            table.load = NULL;
        else if (i == 1)
            table.save = NULL;
        else if (i == 2)
            table.clear = NULL;
        else if (i == 3)
            table.try_lock = NULL;
        else
            table.unlock = NULL;
        CHECK(times_destroyed(client, &table, CM_STATUS_INVALID_ARGUMENT) == 1);
    }
    /* If `size` does not include all of `destroy`, there is no `destroy`. */
    table = own_callbacks;
    table.size = sizeof table - 1;
    CHECK(times_destroyed(client, &table, CM_STATUS_OK) == 0);
    table.size = sizeof table - sizeof(void *);
    CHECK(times_destroyed(client, &table, CM_STATUS_OK) == 0);
    table.size = sizeof(size_t);
    CHECK(times_destroyed(client, &table, CM_STATUS_INVALID_ARGUMENT) == 0);
    table = own_callbacks;
    table.load = NULL;
    table.destroy = NULL;
    CHECK(times_destroyed(client, &table, CM_STATUS_INVALID_ARGUMENT) == 0);
}

int main(void) {
    cm_client *client = client_from_environment();
    a_relative_path_and_a_link_keep_their_file(client);
    a_login_gets_a_larger_generation_than_the_store_reports(client);
    a_context_is_destroyed_once_even_if_its_table_is_rejected(client);
    cm_client_free(client);
    return 0;
}
