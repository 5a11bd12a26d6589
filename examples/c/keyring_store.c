/* A store of one's own for libcmauth: sessions in the keyring of the desktop, by libsecret. Copy it into your product
 * and change what you need.
 *
 * The keyring keeps the record encrypted while nobody is logged in at the desktop. It has neither locks nor
 * generations; the lock is on a file, ends with its holder, and cannot expire, so no generation is needed. */

#include "keyring_store.h"

#include <errno.h>
#include <fcntl.h>
#include <libsecret/secret.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* What Python's keyring calls its items, so that both find, and replace, the same one. */
static const SecretSchema schema = {
    .name = "org.freedesktop.Secret.Generic",
    .flags = SECRET_SCHEMA_DONT_MATCH_NAME,
    .attributes = {{"service", SECRET_SCHEMA_ATTRIBUTE_STRING},
                   {"username", SECRET_SCHEMA_ATTRIBUTE_STRING},
                   {"application", SECRET_SCHEMA_ATTRIBUTE_STRING}},
};

struct keyring_store {
    char *service, *user, *lock_file;
    int locked; /* The open lock file, while the lock is held: by one caller, so nobody else touches this. */
};

static int failed(cm_store_reply *reply, const char *what, const char *why) {
    char message[256];
    snprintf(message, sizeof message, "%.80s: %.160s", what, why);
    cm_store_reply_set_message(reply, message);
    return CM_STORE_RESULT_FAILED;
}

static int keyring_failed(cm_store_reply *reply, GError *error) {
    int result = failed(reply, "the keyring", error->message);
    g_error_free(error);
    return result;
}

static int keyring_load(void *context, cm_store_reply *reply) {
    struct keyring_store *store = context;
    GError *error = NULL;
    gchar *record =
        secret_password_lookup_sync(&schema, NULL, &error, "service", store->service, "username", store->user, NULL);
    if (error != NULL)
        return keyring_failed(reply, error);
    cm_store_reply_set_record(reply, record); /* NULL: there is none. */
    secret_password_free(record);             /* Wipes it. */
    return CM_STORE_RESULT_OK;
}

static int keyring_save(void *context, const char *record, uint64_t generation, cm_store_reply *reply) {
    struct keyring_store *store = context;
    GError *error = NULL;
    (void)generation;
    secret_password_store_sync(&schema, SECRET_COLLECTION_DEFAULT, store->service, record, NULL, &error, "service",
                               store->service, "username", store->user, "application", "Python keyring library", NULL);
    return error ? keyring_failed(reply, error) : CM_STORE_RESULT_OK;
}

static int keyring_clear(void *context, uint64_t generation, cm_store_reply *reply) {
    struct keyring_store *store = context;
    GError *error = NULL;
    (void)generation;
    /* What is not there is cleared, too. */
    secret_password_clear_sync(&schema, NULL, &error, "service", store->service, "username", store->user, NULL);
    return error ? keyring_failed(reply, error) : CM_STORE_RESULT_OK;
}

static int keyring_try_lock(void *context, int64_t hold_ms, cm_store_reply *reply) {
    struct keyring_store *store = context;
    (void)hold_ms;
    int file = open(store->lock_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return failed(reply, store->lock_file, strerror(errno));
    int refused;
    do
        refused = flock(file, LOCK_EX | LOCK_NB);
    while (refused && errno == EINTR);
    if (refused) {
        int why = errno;
        close(file);
        return why == EWOULDBLOCK ? CM_STORE_RESULT_BUSY : failed(reply, store->lock_file, strerror(why));
    }
    store->locked = file;
    return CM_STORE_RESULT_OK;
}

static void keyring_unlock(void *context) {
    struct keyring_store *store = context;
    int file = store->locked;
    store->locked = -1;
    close(file);
}

static void keyring_destroy(void *context) {
    struct keyring_store *store = context;
    free(store->service);
    free(store->user);
    free(store->lock_file);
    free(store);
}

cm_store *keyring_store_new(const char *service, const char *user, const char *lock_file) {
    static const cm_store_callbacks callbacks = {
        sizeof(cm_store_callbacks), keyring_load,   keyring_save,    keyring_clear,
        keyring_try_lock,           keyring_unlock, keyring_destroy,
    };
    struct keyring_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    store->locked = -1;
    store->service = strdup(service);
    store->user = strdup(user);
    store->lock_file = strdup(lock_file);
    if (store->service == NULL || store->user == NULL || store->lock_file == NULL) {
        keyring_destroy(store);
        return NULL;
    }
    return cm_store_custom(&callbacks, store);
}
