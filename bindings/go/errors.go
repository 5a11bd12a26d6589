package cmauth

// #include <cmauth.h>
// #include <stdlib.h>
// #include <string.h>
import "C"

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unsafe"
)

// Status is the kind of a failure. Later versions can add values.
type Status int32

// The statuses. docs/errors.md of libcmauth describes each.
const (
	StatusInvalidArgument Status = C.CM_STATUS_INVALID_ARGUMENT
	StatusLoginRequired   Status = C.CM_STATUS_LOGIN_REQUIRED
	StatusTokenRejected   Status = C.CM_STATUS_TOKEN_REJECTED
	StatusAccessDenied    Status = C.CM_STATUS_ACCESS_DENIED
	StatusClientRejected  Status = C.CM_STATUS_CLIENT_REJECTED
	StatusRequestRejected Status = C.CM_STATUS_REQUEST_REJECTED
	StatusStateMismatch   Status = C.CM_STATUS_STATE_MISMATCH
	StatusNetwork         Status = C.CM_STATUS_NETWORK
	StatusTLS             Status = C.CM_STATUS_TLS
	StatusTimeout         Status = C.CM_STATUS_TIMEOUT
	StatusServer          Status = C.CM_STATUS_SERVER
	StatusProtocol        Status = C.CM_STATUS_PROTOCOL
	StatusStore           Status = C.CM_STATUS_STORE
	StatusInternal        Status = C.CM_STATUS_INTERNAL
	StatusCancelled       Status = C.CM_STATUS_CANCELLED
)

// String returns the name of the status, such as "LOGIN_REQUIRED".
func (s Status) String() string { return C.GoString(C.cm_status_name(C.int32_t(s))) }

// Advice is what to do about a failure. Treat a value that you do not know as AdviceReport.
type Advice int32

// The advice of an Error.
const (
	AdviceNone    Advice = C.CM_ADVICE_NONE    // nothing: your program cancelled the call
	AdviceFix     Advice = C.CM_ADVICE_FIX     // correct the program, its settings, the network or the API key
	AdviceLogIn   Advice = C.CM_ADVICE_LOG_IN  // send the user to the login page
	AdviceRefresh Advice = C.CM_ADVICE_REFRESH // get a new access token, then make the call again
	AdviceRetry   Advice = C.CM_ADVICE_RETRY   // make the call again later, after Error.RetryAfter
	AdviceReport  Advice = C.CM_ADVICE_REPORT  // report a bug in the library
)

// String returns the advice in words, such as "log in".
func (a Advice) String() string {
	switch a {
	case AdviceNone:
		return "none"
	case AdviceFix:
		return "fix"
	case AdviceLogIn:
		return "log in"
	case AdviceRefresh:
		return "refresh"
	case AdviceRetry:
		return "retry"
	case AdviceReport:
		return "report"
	}
	return fmt.Sprintf("advice %d", int32(a))
}

// Each *Error matches one of these by errors.Is: the one of its advice, or ErrCancelled.
var (
	ErrFix       = errors.New("cmauth: correct the program, its settings, the network or the API key")
	ErrLogIn     = errors.New("cmauth: send the user to the login page")
	ErrRefresh   = errors.New("cmauth: refresh the access token")
	ErrRetry     = errors.New("cmauth: try again later")
	ErrReport    = errors.New("cmauth: report a bug in the library")
	ErrCancelled = errors.New("cmauth: cancelled")
)

// ErrClosed is the cause of the failure of a call after Close.
var ErrClosed = errors.New("cmauth: closed")

// Error is a failure of the library. It contains no secret.
type Error struct {
	Status           Status
	Advice           Advice
	Message          string        // one line for the log: what happened, what the server said, and what to do
	HTTPStatus       int           // of the response; 0: there was none
	OAuthError       string        // the code of OAuth, such as "invalid_grant"; empty: none
	OAuthDescription string        // what the server said, for people; empty: nothing
	RetryAfter       time.Duration // how long to wait before the next try; 0: no time is known

	cause error
}

// Error returns the message.
func (e *Error) Error() string { return "cmauth: " + e.Message }

// Unwrap returns context.Canceled or context.DeadlineExceeded if the context ended the call, ErrClosed after Close, else nil.
func (e *Error) Unwrap() error { return e.cause }

// Timeout reports whether a timeout ended the call: that of the client or that of the context. url.Error asks for it.
func (e *Error) Timeout() bool {
	return e.Status == StatusTimeout || errors.Is(e.cause, context.DeadlineExceeded)
}

// Is compares the advice with ErrFix, ErrLogIn, ErrRefresh, ErrRetry and ErrReport, and the status with ErrCancelled.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrCancelled:
		return e.Status == StatusCancelled
	case ErrFix:
		return e.Advice == AdviceFix
	case ErrLogIn:
		return e.Advice == AdviceLogIn
	case ErrRefresh:
		return e.Advice == AdviceRefresh
	case ErrRetry:
		return e.Advice == AdviceRetry
	case ErrReport:
		return e.Advice < AdviceNone || e.Advice >= AdviceReport
	}
	return false
}

func invalidArgument(message string, cause error) *Error {
	return &Error{Status: StatusInvalidArgument, Advice: AdviceFix, Message: message, cause: cause}
}

func closed(what string) *Error { return invalidArgument("the "+what+" is closed", ErrClosed) }

// copyError copies an error, which may be nil.
func copyError(e *C.cm_error) *Error {
	if e == nil {
		return nil
	}
	copied := &Error{
		Status:           Status(C.cm_error_status(e)),
		Advice:           Advice(C.cm_error_advice(e)),
		Message:          C.GoString(C.cm_error_message(e)),
		OAuthError:       C.GoString(C.cm_error_oauth_error(e)),
		OAuthDescription: C.GoString(C.cm_error_oauth_description(e)),
	}
	if status := C.cm_error_http_status(e); status != C.CM_NONE {
		copied.HTTPStatus = int(status)
	}
	if seconds := C.cm_error_retry_after(e); seconds != C.CM_NONE {
		copied.RetryAfter = time.Duration(seconds) * time.Second
	}
	return copied
}

// takeError copies the error of a call and frees it.
func takeError(status C.cm_status, e *C.cm_error) error {
	if status == C.CM_STATUS_OK {
		return nil
	}
	defer C.cm_error_free(e)
	if copied := copyError(e); copied != nil {
		return copied
	}
	return &Error{Status: Status(status), Advice: AdviceReport, Message: "the library gave no details"}
}

// texts are strings for C that are freed together.
type texts struct {
	all []*C.char
	err error
}

// add copies a string. C would not see what follows a NUL, so add refuses it.
func (t *texts) add(name, text string) *C.char {
	if strings.IndexByte(text, 0) >= 0 {
		if t.err == nil {
			t.err = invalidArgument(name+" contains a NUL byte", nil)
		}
		return nil
	}
	copied := C.CString(text)
	t.all = append(t.all, copied)
	return copied
}

// free wipes the copies, because some are secret, and frees them.
func (t *texts) free() {
	for _, text := range t.all {
		clear(unsafe.Slice((*byte)(unsafe.Pointer(text)), C.strlen(text)))
		C.free(unsafe.Pointer(text))
	}
}

func typeName(value any) string { return fmt.Sprintf("%T", value) }
