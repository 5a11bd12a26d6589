package cmauth

// #include <cmauth.h>
import "C"

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"time"
)

// handle frees a handle of C when it is closed and no call uses it. The library allows both at the same time, but gives the
// address of a handle that was freed to a new one some day.
type handle[P any] struct {
	what string
	free func(P)

	mu     sync.Mutex
	p      P
	users  int
	closed bool
}

func newHandle[P any](what string, p P, free func(P)) *handle[P] {
	return &handle[P]{what: what, p: p, free: free}
}

func (h *handle[P]) acquire() (P, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		var none P
		return none, closed(h.what)
	}
	h.users++
	return h.p, nil
}

func (h *handle[P]) release() {
	h.mu.Lock()
	h.users--
	last := h.closed && h.users == 0
	h.mu.Unlock()
	if last {
		h.free(h.p)
	}
}

// close reports whether this is the first time.
func (h *handle[P]) close() bool {
	h.mu.Lock()
	first := !h.closed
	h.closed = true
	last := first && h.users == 0
	h.mu.Unlock()
	if last {
		h.free(h.p)
	}
	return first
}

// with calls f, which cannot block, with the handle.
func (h *handle[P]) with(f func(P)) error {
	p, err := h.acquire()
	if err != nil {
		return err
	}
	defer h.release()
	f(p)
	return nil
}

// call makes a call of C, which ends when the context does.
func (h *handle[P]) call(ctx context.Context, f func(p P, e **C.cm_error) C.cm_status) error {
	p, err := h.acquire()
	if err != nil {
		return err
	}
	defer h.release()
	return call(ctx, func(e **C.cm_error) C.cm_status { return f(p, e) })
}

func call(ctx context.Context, f func(e **C.cm_error) C.cm_status) error {
	var e *C.cm_error
	if ctx.Done() == nil {
		status := f(&e)
		return takeError(status, e)
	}
	if err := ctx.Err(); err != nil {
		return &Error{Status: StatusCancelled, Message: "the context ended before the call: " + err.Error(), cause: err}
	}

	// The scope of a cancel handle is a thread, so this goroutine must not move to another one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cancel := C.cm_cancel_new()
	defer C.cm_cancel_free(cancel)
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		C.cm_cancel_now(cancel)
		close(cancelled)
	})
	before := C.cm_cancel_scope(cancel)
	status := f(&e)
	C.cm_cancel_scope(before)
	if !stop() {
		<-cancelled // cm_cancel_now must have returned before the handle is freed.
	}

	err := takeError(status, e)
	var failure *Error
	if errors.As(err, &failure) && failure.Status == StatusCancelled && ctx.Err() != nil {
		failure.cause = ctx.Err()
		failure.Message += ": " + failure.cause.Error()
	}
	return err
}

// ceil rounds up: a time that is asked for is never cut.
func ceil(d, unit time.Duration) int64 {
	n := int64(d / unit)
	if d%unit > 0 {
		n++
	}
	return n
}

// clamp keeps a number out of range out of range, where a conversion could make it a valid one.
func clamp(n int) C.int32_t {
	return C.int32_t(min(max(int64(n), math.MinInt32), math.MaxInt32))
}

// unix converts Unix seconds. CM_NONE gives the zero time.
func unix(seconds C.int64_t) time.Time {
	if seconds == C.CM_NONE {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
