package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// hoarder is a host that answers queries when it is let.
type hoarder struct {
	*world
	begun chan int // bytes of a query that has begun
	end   chan struct{}
}

func (h *hoarder) Query(ctx context.Context, q host.AppQuery) (host.AppReply, error) {
	h.begun <- len(q.Payload)
	<-h.end
	return host.AppReply{}, nil
}

const small = 1 << 20 // limit of the bodies of these tests

// hoarding is a server with room for n of the largest requests, and a function that begins a query with a body of so many bytes.
func hoarding(n int) (s *Server, h *hoarder, ask func(who string, size int) *httptest.ResponseRecorder) {
	h = &hoarder{world: newWorld(), begun: make(chan int, 64), end: make(chan struct{})}
	h.allowed = true
	o := Options{MaxCodeBytes: small, MaxInputBytes: small}
	o.MaxBodyBytes = int64(n) * o.LargestBody()
	s = New(h, o)
	return s, h, func(who string, size int) *httptest.ResponseRecorder {
		address := ourApp
		if who == theirs {
			address = theirApp
		}
		return as(s, who, []api.Right{api.Operate, api.Payload}, "POST", "/v1/apps/"+address+"/query", io.LimitReader(zeros{}, int64(size)))
	}
}

func (b *bodies) inUse() (held int64, callers int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held, len(b.by)
}

// The bodies of all requests share an amount of memory. Who finds no room waits a moment and is told to come back; who has
// taken half of it does not keep others out.
func TestBodiesShareAnAmount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h, ask := hoarding(4)
		begin := time.Now()
		answers := make(chan *httptest.ResponseRecorder, 64)
		for range 16 { // a quarter of each largest request
			go func() { answers <- ask(ours, small) }()
		}
		synctest.Wait()
		in := len(h.begun)
		if held, _ := s.bodies.inUse(); held > s.bodies.each || in == 0 || in == 16 {
			t.Errorf("%d requests hold %d bytes, of %d", in, held, s.bodies.each)
		}
		<-time.After(4*bodyWait + time.Second) // who has got some of its room waits anew for more
		synctest.Wait()
		in = len(h.begun) // what the refused give back lets others in
		for range len(answers) {
			w := <-answers
			if w.Code != http.StatusServiceUnavailable || codeOf(w) != string(fault.BusyQueueFull) || w.Header().Get("Retry-After") != "1" {
				t.Errorf("status %d after %v: %v %s", w.Code, time.Since(begin), w.Header(), w.Body)
			}
			in++
		}
		if in != 16 {
			t.Errorf("%d requests are known of", in)
		}
		go func() { answers <- ask(theirs, small) }()
		synctest.Wait()
		close(h.end)
		synctest.Wait()
		for range len(answers) {
			if w := <-answers; w.Code != http.StatusOK {
				t.Errorf("who has room: %d %s", w.Code, w.Body)
			}
		}
		if held, callers := s.bodies.inUse(); held != 0 || callers != 0 {
			t.Errorf("%d bytes are held by nobody", held)
		}
	})
}

// Who waits for room goes on as soon as there is some.
func TestABodyWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h, ask := hoarding(1)
		s.bodies.most, s.bodies.each = 2*small, 2*small
		for who := range map[string]bool{ours: true, theirs: true} {
			go func() { _ = ask(who, small) }()
			synctest.Wait()
		}
		if len(h.begun) != 1 {
			t.Fatalf("%d have room", len(h.begun))
		}
		h.end <- struct{}{}
		synctest.Wait()
		if len(h.begun) != 2 {
			t.Error("who waits is not told that there is room")
		}
		close(h.end)
	})
}

// A body is what was sent, whatever pieces it comes in, and one byte too much is too much.
func TestBodiesAreGathered(t *testing.T) {
	s, v := New(newWorld(), Options{}), &visit{}
	for _, n := range []int{0, 1, leastBody - 1, leastBody, leastBody + 1, 2 * leastBody, 300_000, small, small + 1} {
		want := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
		for name, r := range map[string]io.Reader{"whole": bytes.NewReader(want), "in pieces": io.MultiReader(strings.NewReader(string(want[:n/3])), bytes.NewReader(want[n/3:]))} {
			got, err := s.gather(t.Context(), v, r, small, fault.CallerParamsTooBig)
			if n > small {
				if fault.CodeOf(err) != fault.CallerParamsTooBig {
					t.Errorf("%d bytes %s: %v", n, name, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, want) || cap(got) > max(2*n+1, leastBody) {
				t.Errorf("%d bytes %s: %d in %d, %v", n, name, len(got), cap(got), err)
			}
		}
	}
	if s.bodies.held != v.body {
		t.Errorf("%d are held, %d known of", s.bodies.held, v.body)
	}
	s.bodies.give(v.caller.Tenant(), v.body)
	if s.bodies.held != 0 || len(s.bodies.by) != 0 {
		t.Errorf("%d bytes are held, %v", s.bodies.held, s.bodies.by)
	}
}

// A request that is refused, or breaks off, holds nothing afterwards.
func TestNothingIsHeldAfterARequest(t *testing.T) {
	s, h, ask := hoarding(2)
	close(h.end)
	form := fmt.Sprintf(confinedForm, `{}`, "--B\r\nContent-Disposition: form-data; name=\"code\"\r\n\r\n"+strings.Repeat("x", small+10)+"\r\n")
	rights := []api.Right{api.Payload, api.Operate}
	for _, body := range []string{form, form[:small/2], "--B", ""} {
		if w := as(s, ours, rights, "POST", "/v1/execute", strings.NewReader(body), "Content-Type", "multipart/form-data; boundary=B"); w.Code/100 != 4 {
			t.Errorf("status %d %s", w.Code, w.Body)
		}
	}
	if w := ask(ours, small+1); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d %s", w.Code, w.Body)
	}
	if s.bodies.held != 0 {
		t.Errorf("%d bytes are held", s.bodies.held)
	}
}
