/* Checks for the C test programs. A check that fails prints its place and ends the program. */

#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                                  \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Checks that the text contains the piece. */
#define CHECK_CONTAINS(text, piece)                                                                                    \
    do {                                                                                                               \
        const char *text_ = (text);                                                                                    \
        if (text_ == NULL || strstr(text_, (piece)) == NULL) {                                                         \
            fprintf(stderr, "%s:%d: \"%s\" is not in: %s\n", __FILE__, __LINE__, (piece), text_ ? text_ : "NULL");     \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
