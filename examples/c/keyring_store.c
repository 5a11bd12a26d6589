/* A custom store for libcmauth: it keeps a session in the keyring of the desktop, with libsecret. Copy it into your
 * product and change what you need.
 *
 * The keyring encrypts the record while nobody is logged in at the desktop. A keyring has no locks, so this store locks
 * a file. Such a lock ends with its holder and cannot expire, so the store need not track generations.
 *
 * The lock is a record lock (fcntl). It belongs to the process: a forked child does not inherit it, it does not exclude
 * other threads of the process, and closing any descriptor of the file releases it. Therefore a list contains the lock
 * files of the process and their holders, and the files stay open. No mutex protects the list, because a forked child
 * could find the mutex locked. */

#include "keyring_store.h"

#include <errno.h>
#include <fcntl.h>
#include <libsecret/secret.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The schema of Python's keyring package, so that both find and replace the same item. */
static const SecretSchema schema = {
    .name = "org.freedesktop.Secret.Generic",
    .flags = SECRET_SCHEMA_DONT_MATCH_NAME,
    .attributes = {{"service", SECRET_SCHEMA_ATTRIBUTE_STRING},
                   {"username", SECRET_SCHEMA_ATTRIBUTE_STRING},
                   {"application", SECRET_SCHEMA_ATTRIBUTE_STRING}},
};

/* An open lock file. */
struct lock_file {
    dev_t device;
    ino_t inode;
    int descriptor;
    pid_t holder; /* The process whose thread holds the lock, or 0. In a forked child it may be the parent. */
    struct lock_file *next;
};

/* New lock files are added at the head. None is removed. */
static struct lock_file *lock_files;

struct keyring_store {
    char *service, *user, *lock_file;
    struct lock_file *held; /* Set while the lock is held. Only its holder uses it. */
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

static int32_t keyring_load(void *context, cm_store_reply *reply) {
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

static int32_t keyring_save(void *context, const char *record, int64_t generation, cm_store_reply *reply) {
    struct keyring_store *store = context;
    GError *error = NULL;
    (void)generation;
    secret_password_store_sync(&schema, SECRET_COLLECTION_DEFAULT, store->service, record, NULL, &error, "service",
                               store->service, "username", store->user, "application", "Python keyring library", NULL);
    return error ? keyring_failed(reply, error) : CM_STORE_RESULT_OK;
}

static int32_t keyring_clear(void *context, int64_t generation, cm_store_reply *reply) {
    struct keyring_store *store = context;
    GError *error = NULL;
    (void)generation;
    /* Clearing a missing item succeeds. */
    secret_password_clear_sync(&schema, NULL, &error, "service", store->service, "username", store->user, NULL);
    return error ? keyring_failed(reply, error) : CM_STORE_RESULT_OK;
}

static struct lock_file *find(struct lock_file *from, const struct stat *status) {
    while (from != NULL && (from->device != status->st_dev || from->inode != status->st_ino))
        from = from->next;
    return from;
}

/* The lock file at `path`, opened if it is not open yet. NULL after a failure, with errno set. */
static struct lock_file *open_lock_file(const char *path) {
    struct stat status;
    struct lock_file *found = NULL;
    if (stat(path, &status) == 0)
        found = find(__atomic_load_n(&lock_files, __ATOMIC_ACQUIRE), &status);
    if (found != NULL)
        return found;
    struct lock_file *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (made->descriptor < 0 || fstat(made->descriptor, &status) != 0) {
        free(made);
        return NULL;
    }
    made->device = status.st_dev;
    made->inode = status.st_ino;
    made->next = __atomic_load_n(&lock_files, __ATOMIC_ACQUIRE);
    do {
        /* Another thread was faster. This descriptor stays open, because closing it might release the lock. */
        found = find(made->next, &status);
        if (found != NULL) {
            free(made);
            return found;
        }
    } while (!__atomic_compare_exchange_n(&lock_files, &made->next, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return made;
}

static void unlock_file(struct lock_file *file) {
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    fcntl(file->descriptor, F_SETLK, &whole);
    __atomic_store_n(&file->holder, 0, __ATOMIC_RELEASE);
}

static int32_t keyring_try_lock(void *context, int64_t hold_ms, cm_store_reply *reply) {
    struct keyring_store *store = context;
    (void)hold_ms;
    struct lock_file *file = open_lock_file(store->lock_file);
    if (file == NULL)
        return failed(reply, store->lock_file, strerror(errno));
    pid_t process = getpid(), holder = __atomic_load_n(&file->holder, __ATOMIC_ACQUIRE);
    if (holder == process ||
        !__atomic_compare_exchange_n(&file->holder, &holder, process, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return CM_STORE_RESULT_BUSY;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file->descriptor, F_SETLK, &whole) != 0) {
        int why = errno;
        __atomic_store_n(&file->holder, 0, __ATOMIC_RELEASE);
        return why == EACCES || why == EAGAIN || why == EINTR ? CM_STORE_RESULT_BUSY
                                                              : failed(reply, store->lock_file, strerror(why));
    }
    /* If the file was replaced meanwhile, others lock the new file. The next try finds it. */
    struct stat status;
    if (stat(store->lock_file, &status) != 0 || find(file, &status) != file) {
        unlock_file(file);
        return CM_STORE_RESULT_BUSY;
    }
    store->held = file;
    return CM_STORE_RESULT_OK;
}

static int32_t keyring_unlock(void *context, cm_store_reply *reply) {
    struct keyring_store *store = context;
    struct lock_file *file = store->held;
    (void)reply;
    store->held = NULL;
    /* In a forked child this may be the lock of the parent: do not release it. */
    if (file != NULL && __atomic_load_n(&file->holder, __ATOMIC_ACQUIRE) == getpid())
        unlock_file(file);
    return CM_STORE_RESULT_OK;
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
    store->service = strdup(service);
    store->user = strdup(user);
    store->lock_file = strdup(lock_file);
    if (store->service == NULL || store->user == NULL || store->lock_file == NULL) {
        keyring_destroy(store);
        return NULL;
    }
    return cm_store_custom(&callbacks, store);
}
