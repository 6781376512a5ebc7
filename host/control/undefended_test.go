//go:build undefended

package control

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/troupehost/troupe/host/control/api"
)

// bareCall calls a handler without guard and route, so without the checks that they make.
func bareCall(t *testing.T, f http.HandlerFunc, rights []api.Right, change func(*http.Request)) string {
	t.Helper()
	v := &visit{caller: caller{name: ours, rights: rights}, spec: &api.Spec{}}
	r, err := http.NewRequestWithContext(context.WithValue(t.Context(), visitKey{}, v), "GET", "http://"+api.HostName, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	f(&recorder{ResponseWriter: w, visit: v}, r)
	return w.Body.String()
}

func TestUndefendedWebPageReachesTheHost(t *testing.T) {
	s := New(newWorld(), Options{})
	if text := bareCall(t, s.plain(s.live), api.Rights, func(r *http.Request) {
		r.Host = "evil.example"
		r.Header.Set("Origin", "https://evil.example")
	}); !strings.Contains(text, "live") {
		t.Error(text)
	}
}

func TestUndefendedViewChangesTheHost(t *testing.T) {
	h := newWorld()
	h.allowed = true
	s := New(h, Options{})
	s.host = h
	if text := bareCall(t, s.plain(s.prune), []api.Right{api.View}, nil); len(h.did()) != 1 {
		t.Error(text)
	}
}

func TestUndefendedTenantReadsAnother(t *testing.T) {
	h := newWorld()
	s := New(h, Options{})
	s.host = h
	if text := bareCall(t, s.plain(s.job), []api.Right{api.View}, func(r *http.Request) { r.SetPathValue("id", "j2") }); !strings.Contains(text, "secret") {
		t.Error(text)
	}
}

func TestUndefendedTextIsAudited(t *testing.T) {
	s := New(newWorld(), Options{})
	v := &visit{caller: caller{name: ours}, spec: api.SpecOf(api.RoutePrune), reason: "\x1b[2J\nroot did it"}
	s.audited(httptest.NewRequest("POST", "/v1/artifacts/prune", nil), v, &recorder{})
	if rows, _ := s.audit.Newest(1); !strings.Contains(rows[0].Reason, "\x1b[2J\n") {
		t.Errorf("%+v", rows)
	}
}

// TestUndefendedBodiesFillTheMemory: a caller has the host keep as many bodies as it may have requests.
func TestUndefendedBodiesFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h, ask := hoarding(1)
		held := func() (bytes int64, in int) {
			for range 16 {
				go func() { _ = ask(ours, small) }()
			}
			synctest.Wait()
			return s.bodies.held, len(h.begun)
		}
		anyBody = true
		defer func() { anyBody = false }()
		if n, in := held(); n <= 2*s.bodies.most || in != 16 {
			t.Errorf("%d requests hold %d bytes, of %d", in, n, s.bodies.most)
		}
		close(h.end)
	})
}

// TestUndefendedStrangersCrowdTheDoor: who says nothing has as many connections as it makes.
func TestUndefendedStrangersCrowdTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		anyLobby = true
		defer func() { anyLobby = false }()
		s, road := shopkeeper(t, newWorld(), Options{MaxStrangers: 16, AddressMost: 4})
		defer s.Close()
		if got := crowded(road, 100, oneAddress, silent)(); got != 100 {
			t.Errorf("%d of 100 are open", got)
		}
	})
}
