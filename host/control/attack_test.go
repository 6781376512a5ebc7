package control

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/troupehost/troupe/host/control/api"
)

// Whoever could not say who it is is no user in the audit log, least of all root.
func TestAStrangerIsNotTakenForRoot(t *testing.T) {
	s := New(newWorld(), Options{})
	s.door.Store(&door{max: api.Rights})
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+api.HostName+"/v1/me", nil)
	r.TLS, r.RemoteAddr = &tls.ConnectionState{}, "192.0.2.7:1234"
	unknown := r.Clone(context.Background())
	unknown.TLS = nil
	for want, r := range map[string]*http.Request{"tls:192.0.2.7": r, "unknown": unknown} {
		c, err := s.identify(r)
		if err == nil || c.Tenant() != want || len(c.rights) != 0 {
			t.Errorf("%s: %s %v %v", want, c.Tenant(), c.rights, err)
		}
	}
}

// A header that decides what happens comes once: nobody gets a change who asked for a dry run.
func TestDoubledHeadersAreRefused(t *testing.T) {
	s := New(newWorld(), Options{})
	for _, name := range singles {
		r, _ := http.NewRequestWithContext(context.WithValue(t.Context(), callerKey{}, caller{name: "uid:0", rights: api.Rights}), "POST", "http://"+api.HostName+"/v1/artifacts/prune", http.NoBody)
		r.Header.Add(name, "")
		r.Header.Add(name, "true")
		if _, err := s.enter(r); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
