package webui

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Bounds of links and sessions.
const (
	linkLife    = 2 * time.Minute
	sessionLife = 12 * time.Hour
	DefaultIdle = time.Hour
	maxLinks    = 5
	linkBytes   = 16
	halfBytes   = 32
)

// secret is the hash of something that only one side keeps, so that comparing it takes the same time whatever was guessed.
type secret [sha256.Size]byte

func mint(bytes int) (string, secret) {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	text := base64.RawURLEncoding.EncodeToString(b)
	return text, sha256.Sum256([]byte(text))
}

func (s secret) is(text string) bool {
	h := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(s[:], h[:]) == 1
}

// session is who has entered.
type session struct {
	cookie, key secret
	until, last time.Time
	open        int // requests under way
	ctx         context.Context
	end         context.CancelCauseFunc
}

// gate decides who may come in. At most one link and one session are valid at a time.
type gate struct {
	now  func() time.Time
	idle time.Duration

	mu      sync.Mutex // guards what follows
	link    secret
	until   time.Time // of the link
	used    bool
	links   int
	session *session
}

var (
	errStolen = fault.New(fault.CallerDenied, "enter", "a link that was used before", nil).WithHint("the session is closed, since somebody else may have seen the link: take the new one that 'troupe web' printed")
	errWrong  = fault.New(fault.CallerDenied, "enter", "no such link", nil).WithHint("take the link that 'troupe web' printed last")
	errLate   = fault.New(fault.CallerDenied, "enter", "the link is too old", nil).WithHint("run 'troupe web' again and open the link within two minutes")
	errAlien  = fault.New(fault.CallerDenied, "session", "", nil).WithHint("run 'troupe web' and open the link that it prints")
	errOver   = fault.New(fault.CallerDenied, "session", "it is over", nil).WithHint("run 'troupe web' and open the link that it prints")
)

// invite makes a new link; the one before works no more. It fails when there were too many.
func (g *gate) invite() (token string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.links == maxLinks {
		return "", false
	}
	g.links++
	token, g.link = mint(linkBytes)
	g.until, g.used = g.now().Add(linkLife), false
	return token, true
}

// enter trades a link for the halves of a session. cookie is the one that the caller has already, if any: who has entered may open the
// link again, and gets nothing new.
func (g *gate) enter(ctx context.Context, token, cookie string) (newCookie, newKey string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	switch {
	case !g.link.is(token):
		return "", "", errWrong
	case g.used && g.session != nil && g.session.cookie.is(cookie):
		return "", "", nil
	case g.used:
		g.closeLocked(errStolen)
		return "", "", errStolen
	case !now.Before(g.until):
		return "", "", errLate
	}
	g.used = true
	s := &session{until: now.Add(sessionLife), last: now}
	newCookie, s.cookie = mint(halfBytes)
	newKey, s.key = mint(halfBytes)
	s.ctx, s.end = context.WithCancelCause(ctx)
	g.closeLocked(errOver)
	g.session = s
	return newCookie, newKey, nil
}

// pass lets a request in. The context ends with the session; done is called when the request is over.
func (g *gate) pass(cookie, key string) (over context.Context, done func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.session
	if s == nil {
		return nil, nil, errAlien
	}
	a, b := s.cookie.is(cookie), s.key.is(key)
	if !a || !b {
		return nil, nil, errAlien
	}
	if !g.now().Before(s.until) {
		return nil, nil, errOver
	}
	s.open++
	s.last = g.now()
	return s.ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		s.open--
		s.last = g.now()
	}, nil
}

// leave ends the session.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closeLocked(errOver)
}

func (g *gate) closeLocked(why error) {
	if g.session != nil {
		g.session.end(why)
		g.session = nil
	}
}

// due says when the gate should be asked again whether it is over.
func (g *gate) due() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.until
	if s := g.session; s != nil {
		at = s.until
		if rest := s.last.Add(g.idle); s.open == 0 && rest.Before(at) {
			at = rest
		} else if s.open > 0 {
			at = minTime(at, g.now().Add(g.idle))
		}
	}
	return max(at.Sub(g.now()), 0)
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// over reports whether nobody can come in any more, and why: fault.CanceledDeadline if nobody came, nil after a session.
func (g *gate) over() (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if s := g.session; s != nil {
		if now.Before(s.until) && (s.open > 0 || now.Before(s.last.Add(g.idle))) {
			return false, nil
		}
		g.closeLocked(errOver)
		return true, nil
	}
	switch {
	case g.used:
		return true, nil
	case now.Before(g.until):
		return false, nil
	}
	return true, fault.New(fault.CanceledDeadline, "web", "nobody opened the link", nil).WithHint("run 'troupe web' again; a link works for two minutes")
}
