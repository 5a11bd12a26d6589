/* cm_open_browser passes web pages, and nothing else, to the program of the desktop. The harness puts a program named
 * xdg-open into PATH that writes its argument to a file; or none, if the first argument of this test is "none". */

#include "user.h"

int main(int argc, char **argv) {
    const char *bad[] = {
        NULL,          "", "file:///etc/passwd", "--help", "javascript:alert(1)", "https://a/$(reboot)", "https://a/\n",
        "https://a/ b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        FAILS(cm_open_browser(bad[i], &error), CM_STATUS_INVALID_ARGUMENT, CM_ADVICE_FIX);
    cm_status status = cm_open_browser("https://example.com/login?scope=write&state=s-1_2", &error);
    if (argc > 1 && strcmp(argv[1], "none") == 0) {
        CHECK(status == CM_STATUS_INVALID_ARGUMENT);
        CHECK_CONTAINS(cm_error_message(error), "show the URL to the user");
        CHECK(strstr(cm_error_message(error), "s-1_2") == NULL);
        cm_error_free(error);
        return 0;
    }
    CHECK(status == CM_STATUS_OK);
    return 0;
}
