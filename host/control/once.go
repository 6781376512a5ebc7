package control

import (
	"bytes"
	"container/list"
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
	mu   sync.Mutex
	byID map[string]*list.Element
	old  *list.List // of *answer, the oldest first
}

type answer struct {
	id, what string
	at       time.Time
	done     chan struct{} // closed when status and body are there
	status   int
	body     []byte
}

func newAnswers() *answers { return &answers{byID: map[string]*list.Element{}, old: list.New()} }

// take returns the answer of an id, and whether the caller is to make it.
func (a *answers) take(id, what string, now time.Time) (one *answer, mine bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for e := a.old.Front(); e != nil && (a.old.Len() >= maxAnswers || now.Sub(e.Value.(*answer).at) > answersLast); e = a.old.Front() {
		a.drop(e)
	}
	if e, ok := a.byID[id]; ok {
		return e.Value.(*answer), false
	}
	one = &answer{id: id, what: what, at: now, done: make(chan struct{})}
	a.byID[id] = a.old.PushBack(one)
	return one, true
}

func (a *answers) drop(e *list.Element) {
	a.old.Remove(e)
	delete(a.byID, e.Value.(*answer).id)
}

// forget lets the next request with this id try again.
func (a *answers) forget(one *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, ok := a.byID[one.id]; ok && e.Value == one {
		a.drop(e)
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
	one, mine := s.answers.take(v.caller.Tenant()+"\x00"+key, what, time.Now())
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
