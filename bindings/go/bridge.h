#include <cmauth.h>

/* A cgo.Handle is a number. Only C can make it the context of a callback: Go's checks refuse a pointer that points nowhere. */
void cmauth_go_on_change(const cm_session *session, uintptr_t handle);
