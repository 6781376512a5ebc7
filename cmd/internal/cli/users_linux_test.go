package cli

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// The listener of users has none of the routes by which a host is operated, whatever name and headers they come with. The routes are
// taken from their declaration, so that a new one is asked for too.
func TestUsersCannotOperate(t *testing.T) {
	cfg := host.Default()
	cfg.DataDir, cfg.BallastBytes = t.TempDir(), host.NoLimit
	h, err := host.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, err := h.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
		t.Fatal(err)
	}
	before, err := h.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- h.ServeApps(l) }()

	text, err := os.ReadFile(filepath.Join("..", "..", "..", "host", "control", "api", "routes.go"))
	if err != nil {
		t.Fatal(err)
	}
	routes := regexp.MustCompile(`Route\w+ += "([A-Z]+) (/[^"]*)"`).FindAllStringSubmatch(string(text), -1)
	if len(routes) < 50 {
		t.Fatalf("only %d routes were found", len(routes))
	}
	name := regexp.MustCompile(`\{\w+\}`)
	for _, r := range routes {
		method, path := r[1], name.ReplaceAllString(r[2], strings.Repeat("a", 64))
		for _, as := range []string{"localhost", api.HostName} {
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = as
			req.Header.Set("Content-Type", api.TypeJSON)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatalf("%s %s: %v", method, path, err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound || resp.Header.Get(api.HeaderVersion) != "" {
				t.Errorf("%s %s: status %d", method, path, resp.StatusCode)
			}
		}
	}
	after, err := h.Session(t.Context())
	if err != nil || after != before {
		t.Errorf("the session was %+v, is %+v, %v", before, after, err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Errorf("ServeApps: %v", err)
	}
}
