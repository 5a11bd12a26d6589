/* No secret remains in the memory of the process after the handles are freed.
 *
 * The program logs in, refreshes and logs out, and keeps a masked piece of every secret. It frees all handles and wipes
 * its own copies. Then it searches all writable memory for the pieces.
 */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user.h"

#define MASK 0x5a
#define PIECE 12

struct hidden {
    const char *name;
    unsigned char piece[PIECE];
};

static struct hidden hidden[16];
static int count;
static int quiet; /* Set while the search must find something. */
static char input[4096],
    output[4096]; /* The buffers of stdin, which contains the code, and of stdout, which contains the state. */

/* Keeps a masked piece of a secret. */
static void remember(const char *name, const char *secret, size_t from) {
    CHECK(strlen(secret) >= from + PIECE);
    hidden[count].name = name;
    for (int i = 0; i < PIECE; i++)
        hidden[count].piece[i] = (unsigned char)secret[from + i] ^ MASK;
    count++;
}

static void remember_tokens(const cm_tokens *tokens) {
    remember("access token", cm_tokens_access_token(tokens), 0);
    remember("access token's end", cm_tokens_access_token(tokens), 20);
    remember("refresh token", cm_tokens_refresh_token(tokens), 0);
    remember("refresh token's end", cm_tokens_refresh_token(tokens), 20);
}

static void wipe(char *text) {
    volatile char *at = text;
    while (*at)
        *at++ = 0;
}

/* Counts the pieces in a mapping. `buffer` is for the search, and is not searched itself. */
static int search(int memory, unsigned long from, unsigned long to, const char *where, unsigned char *buffer,
                  size_t size) {
    int found = 0;
    for (unsigned long at = from; at < to; at += size - PIECE) {
        size_t wanted = to - at < size ? to - at : size;
        ssize_t got = pread(memory, buffer, wanted, (off_t)at);
        if (got < PIECE)
            return found;
        for (ssize_t i = 0; i + PIECE <= got; i++) {
            for (int k = 0; k < count; k++) {
                int j = 0;
                while (j < PIECE && (buffer[i + j] ^ MASK) == hidden[k].piece[j])
                    j++;
                if (j == PIECE) {
                    if (!quiet)
                        fprintf(stderr, "%s at %lx in %s\n", hidden[k].name, at + (unsigned long)i, where);
                    found++;
                }
            }
        }
    }
    return found;
}

static int search_everywhere(void) {
    const size_t size = 1 << 20;
    unsigned char *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(buffer != MAP_FAILED);
    int memory = open("/proc/self/mem", O_RDONLY);
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(memory >= 0 && maps != NULL);
    int found = 0, searched = 0;
    char line[512];
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        char rights[8], where[256] = "memory without a name";
        CHECK(sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &from, &to, rights, where) >= 3);
        if (rights[0] != 'r' || rights[1] != 'w')
            continue;
        /* The mapping may contain our buffer: skip it. */
        unsigned long own = (unsigned long)buffer;
        if (from <= own && own < to) {
            found += search(memory, from, own, where, buffer, size);
            from = own + size;
        }
        found += search(memory, from, to, where, buffer, size);
        searched++;
    }
    CHECK(searched > 3);
    fclose(maps);
    close(memory);
    munmap(buffer, size);
    return found;
}

int main(void) {
    CHECK(setvbuf(stdin, input, _IOFBF, sizeof input) == 0);
    CHECK(setvbuf(stdout, output, _IOFBF, sizeof output) == 0);
    char redirected[4096];
    char *secret = getenv("CMAUTH_CLIENT_SECRET");
    remember("client secret", secret, 0);
    remember("client secret's end", secret, 18);

    cm_client *client = client_from_environment();
    wipe(secret);
    cm_login *login = NULL;
    cm_tokens *tokens = NULL, *fresh = NULL, *none = NULL;
    OK(cm_login_new(client, REDIRECT_URI, &login, &error));
    const char *state = strstr(cm_login_url(login), "&state=") + 7;
    remember("state", state, 0);
    remember("state's end", state, 30);
    user_opens(login, redirected, sizeof redirected);
    OK(cm_login_finish(login, redirected, &tokens, &error));
    wipe(redirected);
    remember_tokens(tokens);
    OK(cm_refresh(client, cm_tokens_refresh_token(tokens), &fresh, &error));
    remember_tokens(fresh);
    CHECK(cm_tokens_to_json(fresh) != NULL);

    cm_store *store = cm_store_memory();
    cm_session *session = NULL;
    cm_tokens *handed_out = NULL, *others = NULL;
    OK(cm_session_open(client, store, &session, &error));
    OK(cm_session_start(session, fresh, &error));
    OK(cm_session_tokens(session, &handed_out, &error));
    OK(cm_session_rejected(session, handed_out, &others, &error));
    remember_tokens(others);

    /* While the handles exist, the search finds the tokens. */
    quiet = 1;
    CHECK(search_everywhere() >= 6);
    quiet = 0;

    FAILS(cm_logout(client, cm_tokens_access_token(tokens), &error), CM_STATUS_TOKEN_REJECTED, CM_ADVICE_REFRESH);
    OK(cm_session_logout(session, &error));
    cm_tokens_free(handed_out);
    cm_tokens_free(others);
    cm_session_free(session);
    cm_store_free(store);
    FAILS(cm_refresh(client, cm_tokens_refresh_token(fresh), &none, &error), CM_STATUS_LOGIN_REQUIRED,
          CM_ADVICE_LOG_IN);
    cm_tokens_free(fresh);
    cm_tokens_free(tokens);
    cm_login_free(login);
    cm_client_free(client);
    memset(input, 0, sizeof input);
    memset(output, 0, sizeof output);

    CHECK(search_everywhere() == 0);
    return 0;
}
