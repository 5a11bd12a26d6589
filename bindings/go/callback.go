package cmauth

// #include <cmauth.h>
import "C"

import (
	"log/slog"
	"runtime/cgo"
	"runtime/debug"
)

// C calls this function, on any thread.
//
//export cmauthGoChange
func cmauthGoChange(handle C.uintptr_t, change C.cm_change, generation C.int64_t) {
	callback := cgo.Handle(handle).Value().(func(Change, int64))
	done := make(chan struct{})
	// A goroutine of its own, because neither a panic nor runtime.Goexit may leave through the frames of C.
	go func() {
		defer close(done)
		defer func() {
			if value := recover(); value != nil {
				// Only the type: the value can contain a token.
				slog.Error("cmauth: the callback of OnChange panicked", "type", typeName(value), "stack", string(debug.Stack()))
			}
		}()
		callback(Change(change), int64(generation))
	}()
	<-done
}

//export cmauthGoDestroy
func cmauthGoDestroy(handle C.uintptr_t) {
	cgo.Handle(handle).Delete()
}
