package cmauth

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/cgo"
	"time"
)

// Store keeps the tokens of one user. Many sessions can use it.
type Store struct {
	handle *handle[*C.cm_store]
	err    error
}

func newStore(store *C.cm_store) *Store {
	return &Store{handle: newHandle("store", store, func(p *C.cm_store) { C.cm_store_free(p) })}
}

// MemoryStore makes a store in memory. The tokens are lost when the process ends.
func MemoryStore() *Store { return newStore(C.cm_store_memory()) }

// FileStore makes a store in one file, for any number of processes on one machine. The file need not exist, but its folder must.
// OpenSession reports a bad path.
func FileStore(path string) *Store {
	var texts texts
	defer texts.free()
	text := texts.add("path", path)
	if texts.err != nil {
		return &Store{err: texts.err}
	}
	return newStore(C.cm_store_file(text))
}

// Close frees the store. Sessions that use it go on, and what is in a file stays there. It returns nil.
func (s *Store) Close() error {
	if s.handle != nil {
		s.handle.close()
	}
	return nil
}

// Session keeps one user logged in. Sessions in several processes share the user if they share the store.
type Session struct {
	handle *handle[*C.cm_session]
	client *handle[*C.cm_client] // for Transport, also after Client.Close
}

// OpenSession opens a session with the tokens that are in the store. If there are none, nobody is logged in until Start.
// It sends nothing, but can wait for the lock of the store.
func (c *Client) OpenSession(ctx context.Context, store *Store) (*Session, error) {
	if store.err != nil {
		return nil, store.err
	}
	s, err := store.handle.acquire()
	if err != nil {
		return nil, err
	}
	defer store.handle.release()
	if _, err := c.handle.acquire(); err != nil {
		return nil, err
	}
	var session *C.cm_session
	err = c.handle.call(ctx, func(p *C.cm_client, e **C.cm_error) C.cm_status { return C.cm_session_open(p, s, &session, e) })
	if err != nil {
		c.handle.release()
		return nil, err
	}
	free := func(p *C.cm_session) {
		C.cm_session_free(p)
		c.handle.release()
	}
	return &Session{handle: newHandle("session", session, free), client: c.handle}, nil
}

// Close frees the session. The tokens remain in the store, and calls in progress go on. Closing again does nothing. It
// returns nil.
func (s *Session) Close() error {
	s.handle.close()
	return nil
}

// Start starts the session with the tokens of a login, and saves them. If it fails, the session is unchanged: call it again with
// the same tokens.
func (s *Session) Start(ctx context.Context, tokens Tokens) error {
	return tokens.use(func(t *C.cm_tokens) error {
		return s.handle.call(ctx, func(p *C.cm_session, e **C.cm_error) C.cm_status { return C.cm_session_start(p, t, e) })
	})
}

// Tokens returns tokens that are valid now. It refreshes them before they expire, once for all callers.
func (s *Session) Tokens(ctx context.Context) (Tokens, error) {
	var tokens *C.cm_tokens
	err := s.handle.call(ctx, func(p *C.cm_session, e **C.cm_error) C.cm_status { return C.cm_session_tokens(p, &tokens, e) })
	return takeTokens(tokens, err)
}

// TokensAtHand returns the tokens if they are valid and no work is due. It never waits. If it returns false, call Tokens.
func (s *Session) TokensAtHand() (Tokens, bool) {
	var tokens *C.cm_tokens
	s.handle.with(func(p *C.cm_session) { tokens = C.cm_session_tokens_at_hand(p) })
	if tokens == nil {
		return Tokens{}, false
	}
	copied, _ := takeTokens(tokens, nil)
	return copied, true
}

// TokensFor returns tokens that are valid for at least d, and refreshes them first if they are not.
func (s *Session) TokensFor(ctx context.Context, d time.Duration) (Tokens, error) {
	seconds := C.int64_t(ceil(d, time.Second))
	var tokens *C.cm_tokens
	err := s.handle.call(ctx, func(p *C.cm_session, e **C.cm_error) C.cm_status {
		return C.cm_session_tokens_for(p, seconds, &tokens, e)
	})
	return takeTokens(tokens, err)
}

// Rejected returns other tokens after the API answered 401 to an access token. There is one refresh for all callers. Do not call
// it after a 403. If the tokens are too young to be refreshed again, the status is StatusTokenRejected.
func (s *Session) Rejected(ctx context.Context, accessToken string) (Tokens, error) {
	var texts texts
	defer texts.free()
	text := texts.add("accessToken", accessToken)
	if texts.err != nil {
		return Tokens{}, texts.err
	}
	var tokens *C.cm_tokens
	err := s.handle.call(ctx, func(p *C.cm_session, e **C.cm_error) C.cm_status {
		return C.cm_session_rejected_token(p, text, &tokens, e)
	})
	return takeTokens(tokens, err)
}

// Hold holds early refreshes off until a time, for all sessions on the store, and returns the tokens that are held.
func (s *Session) Hold(ctx context.Context, until time.Time) (Tokens, error) {
	seconds := C.int64_t(until.Unix())
	if until.Nanosecond() > 0 {
		seconds++
	}
	var tokens *C.cm_tokens
	err := s.handle.call(ctx, func(p *C.cm_session, e **C.cm_error) C.cm_status {
		return C.cm_session_hold(p, seconds, &tokens, e)
	})
	return takeTokens(tokens, err)
}

// SignedURL is a URL with an access token in its query. It is as secret as the token: fmt, log and slog do not show it.
type SignedURL struct {
	url       string
	expiresAt time.Time
}

// URL returns the URL. Do not log it.
func (u *SignedURL) URL() string { return u.url }

// ExpiresAt returns when the token in the URL expires. Zero: never. A refresh ends it earlier: see Hold.
func (u *SignedURL) ExpiresAt() time.Time { return u.expiresAt }

// String does not show the URL.
func (u SignedURL) String() string { return "cmauth.SignedURL{[hidden]}" }

// GoString does not show the URL.
func (u SignedURL) GoString() string { return u.String() }

// Format does not show the URL, whatever the verb is.
func (u SignedURL) Format(f fmt.State, _ rune) { io.WriteString(f, u.String()) }

// LogValue does not show the URL.
func (u SignedURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// SignURL returns a URL with the access token in its query, for a download by a program that cannot send a header. It fails if
// the URL may not get the token.
func (s *Session) SignURL(ctx context.Context, url string) (*SignedURL, error) {
	var texts texts
	defer texts.free()
	text := texts.add("url", url)
	if texts.err != nil {
		return nil, texts.err
	}
	var signed *C.cm_signed_url
	err := s.handle.call(ctx, func(p *C.cm_session, e **C.cm_error) C.cm_status {
		return C.cm_session_sign_url(p, text, &signed, e)
	})
	if err != nil {
		return nil, err
	}
	defer C.cm_signed_url_free(signed)
	return &SignedURL{C.GoString(C.cm_signed_url_url(signed)), unix(C.cm_signed_url_expires_at(signed))}, nil
}

// Logout ends the login at the server, in the store and in this session. If the server cannot be told, nothing changes: call it
// again, or call Forget.
func (s *Session) Logout(ctx context.Context) error {
	return s.handle.call(ctx, func(p *C.cm_session, e **C.cm_error) C.cm_status { return C.cm_session_logout(p, e) })
}

// Forget removes the tokens from this session and from the store, even if the store is damaged. The server is not told.
func (s *Session) Forget(ctx context.Context) error {
	return s.handle.call(ctx, func(p *C.cm_session, e **C.cm_error) C.cm_status { return C.cm_session_forget(p, e) })
}

// NextAction returns how long Tokens has nothing to do but to return the tokens at hand, at most a day. It returns false if
// nothing will be due, because the tokens never expire, nobody is logged in, or the session is closed.
func (s *Session) NextAction() (time.Duration, bool) {
	ms := C.int64_t(C.CM_NONE)
	s.handle.with(func(p *C.cm_session) { ms = C.cm_session_next_action_ms(p) })
	if ms == C.CM_NONE {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// KeepFresh turns on or off that a thread of the library refreshes the tokens in time, without a call of your program. It is
// off at first.
func (s *Session) KeepFresh(on bool) error {
	var yes C.int32_t
	if on {
		yes = 1
	}
	return s.handle.with(func(p *C.cm_session) { C.cm_session_keep_fresh(p, yes) })
}

// Health is the state of a session as this process knows it. It contains no secret.
type Health struct {
	LoggedIn    bool
	Generation  int64     // another number after each change of the tokens; 0: this process has seen no login
	ExpiresAt   time.Time // of the access token; zero: never, or nobody is logged in
	NextRefresh time.Time // when the session will try; zero: never, or nobody is logged in
	HeldUntil   time.Time // until when early refreshes are held off; zero: they are not
	Failures    int       // since the last success
	LastError   error     // the last failure since the last success, an *Error; nil: none
	Saved       bool      // the current tokens are in the store
	KeptFresh   bool      // see KeepFresh
}

// Health returns the state of the session. It reads no store and sends nothing.
func (s *Session) Health() (Health, error) {
	var h *C.cm_health
	err := s.handle.call(context.Background(), func(p *C.cm_session, _ **C.cm_error) C.cm_status {
		return C.cm_session_health(p, &h)
	})
	if err != nil {
		return Health{}, err
	}
	defer C.cm_health_free(h)
	health := Health{
		LoggedIn:    C.cm_health_logged_in(h) != 0,
		Generation:  max(int64(C.cm_health_generation(h)), 0),
		ExpiresAt:   unix(C.cm_health_expires_at(h)),
		NextRefresh: unix(C.cm_health_next_refresh(h)),
		HeldUntil:   unix(C.cm_health_held_until(h)),
		Failures:    int(C.cm_health_failures(h)),
		Saved:       C.cm_health_saved(h) != 0,
		KeptFresh:   C.cm_health_kept_fresh(h) != 0,
	}
	if last := copyError(C.cm_health_last_error(h)); last != nil {
		health.LastError = last
	}
	return health, nil
}

// Change is what the last change of a session was. Treat a value that you do not know as a reason to call Tokens.
type Change int32

// The changes.
const (
	ChangeTokens         Change = C.CM_CHANGE_TOKENS          // the session has other tokens
	ChangeEndedHere      Change = C.CM_CHANGE_ENDED_HERE      // Logout or Forget of this session ended the login
	ChangeEndedByServer  Change = C.CM_CHANGE_ENDED_BY_SERVER // send the user to the login page
	ChangeEndedElsewhere Change = C.CM_CHANGE_ENDED_ELSEWHERE // another session, process or machine removed the tokens
)

// String returns the change in words.
func (c Change) String() string {
	switch c {
	case ChangeTokens:
		return "other tokens"
	case ChangeEndedHere:
		return "ended here"
	case ChangeEndedByServer:
		return "ended by the server"
	case ChangeEndedElsewhere:
		return "ended elsewhere"
	}
	return fmt.Sprintf("change %d", int32(c))
}

// OnChange sets the function that is called after each change of the tokens, in place of the previous one. nil: none.
//
// The function is called within a call of the session, which waits for it, or by the thread of KeepFresh. It can call the
// session.
// If it panics, slog gets an error with the stack, and the call of the session goes on.
func (s *Session) OnChange(callback func(change Change, generation int64)) error {
	var handle cgo.Handle
	if callback != nil {
		handle = cgo.NewHandle(callback)
	}
	err := s.handle.with(func(p *C.cm_session) { C.cmauth_go_on_change(p, C.uintptr_t(handle)) })
	if err != nil && handle != 0 {
		handle.Delete()
	}
	return err
}

// checkURL is Client.CheckURL, also after Client.Close: the client lives as long as its sessions.
func (s *Session) checkURL(url string) (err error) {
	if closed := s.handle.with(func(*C.cm_session) { err = checkURL(s.client.p, url) }); closed != nil {
		return closed
	}
	return err
}
