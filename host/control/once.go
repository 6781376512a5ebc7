package control

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

const (
	maxKept     = 64 << 10 // bytes of one answer
	maxAnswers  = 1024
	answersLast = time.Hour
)

// answers keeps what was answered to requests with HeaderIdempotency, for an hour.
type answers struct {
	mu  sync.Mutex
	all bounded[*answer]
}

type answer struct {
	id, what string
	at       time.Time
	done     chan struct{} // closed when status and body are there
	status   int
	body     []byte
}

func newAnswers() *answers { return &answers{all: newBounded[*answer](maxAnswers)} }

// take returns the answer of an id, and whether the caller is to make it.
func (a *answers) take(owner, key, what string, now time.Time) (one *answer, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for e := a.all.old.Front(); e != nil && now.Sub(e.Value.(kept[*answer]).v.at) > answersLast; e = a.all.old.Front() {
		a.all.drop(e)
	}
	id := owner + "\x00" + key
	if one, ok := a.all.get(id); ok {
		return one, false
	}
	one = &answer{id: id, what: what, at: now, done: make(chan struct{})}
	a.all.put(id, owner, 1, one)
	return one, true
}

// forget lets the next request with this id try again.
func (a *answers) forget(one *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, ok := a.all.by[one.id]; ok && e.Value.(kept[*answer]).v == one {
		a.all.drop(e)
	}
}

// once calls next, unless a request with the same idempotency key was answered before.
func (s *Server) once(w *recorder, r *http.Request, v *visit, next http.HandlerFunc) {
	key := r.Header.Get(api.HeaderIdempotency)
	switch {
	case key == "" || v.spec.Changes == "" || v.spec.Route == api.RouteApply:
		next(w, r)
		return
	case len(key) > api.MaxTagBytes:
		s.refuse(w, r, invalid(api.HeaderIdempotency, longTag))
		return
	case !v.spec.Again:
		s.refuse(w, r, invalid(api.HeaderIdempotency, "this route has no such key; jobs and calls to the chain have one of their own"))
		return
	}
	what := r.Method + " " + r.URL.RequestURI()
	if v.dry {
		what = "dry " + what
	}
	if v.spec.Body != nil { // two bodies are two requests
		b, err := s.readBody(w, r, api.MaxRequestBytes)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		sum := sha256.Sum256(b)
		what += " " + hex.EncodeToString(sum[:])
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	one, mine := s.answers.take(v.caller.Tenant(), key, what, time.Now())
	if !mine {
		v.quiet = true
		s.again(w, r, one, what)
		return
	}
	w.body = new(bytes.Buffer)
	defer func() {
		if w.status/100 == 2 && w.body.Len() <= maxKept {
			one.status, one.body = w.status, w.body.Bytes()
		} else {
			s.answers.forget(one)
		}
		close(one.done)
	}()
	next(w, r)
}

// again gives an answer once more.
func (s *Server) again(w http.ResponseWriter, r *http.Request, one *answer, what string) {
	if one.what != what {
		s.refuse(w, r, fault.New(fault.CallerConflict, "idempotency key", "", nil).WithHint("it was used for another request; choose a new one"))
		return
	}
	if err := noBody(w, r); err != nil {
		s.fail(w, err)
		return
	}
	select {
	case <-one.done:
	case <-r.Context().Done():
		s.fail(w, r.Context().Err())
		return
	}
	if one.status == 0 {
		s.fail(w, fault.New(fault.BusyQueueFull, "idempotency key", "", nil).WithRetryAfter(time.Second).WithHint("the first request with it failed: try again"))
		return
	}
	s.hurry(w)
	w.Header().Set("Content-Type", api.TypeJSON)
	w.WriteHeader(one.status)
	_, _ = w.Write(one.body)
}
