#include <cmauth.h>

/* Calls cm_session_on_change with a cgo.Handle as the context; 0: without a callback. A handle is a number, which Go
 * code must not convert to a pointer. */
void cmauth_go_on_change(const cm_session *session, uintptr_t handle);
