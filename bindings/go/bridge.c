#include "bridge.h"
#include "_cgo_export.h"

static void change(void *context, cm_change change, int64_t generation) {
    cmauthGoChange((uintptr_t)context, change, generation);
}

static void destroy(void *context) {
    cmauthGoDestroy((uintptr_t)context);
}

void cmauth_go_on_change(const cm_session *session, uintptr_t handle) {
    if (handle)
        cm_session_on_change(session, change, (void *)handle, destroy);
    else
        cm_session_on_change(session, NULL, NULL, NULL);
}
