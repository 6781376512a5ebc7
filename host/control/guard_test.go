package control

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

type quietHost struct{ Host }

func (quietHost) Inspect(context.Context) (inspect.Host, error)  { return inspect.Host{}, nil }
func (quietHost) Overview(context.Context) (inspect.Host, error) { return inspect.Host{}, nil }
func (quietHost) Actors(context.Context, []inspect.Actor) ([]inspect.Actor, error) {
	return nil, nil
}
func (quietHost) HeadsUp(context.Context, host.CodeRequest) error { return nil }
func (quietHost) Submit(context.Context, host.JobRequest) (run.Job, error) {
	return run.Job{}, nil
}

func (quietHost) Deploy(context.Context, host.DeployRequest) (inspect.App, error) {
	return inspect.App{}, nil
}

// ask calls the server's handler as user uid; a negative uid means that the kernel did not tell.
func ask(s *Server, r *http.Request, uid int) *httptest.ResponseRecorder {
	c := caller{Peer: api.Peer{UID: uid}}
	if uid < 0 {
		c.err = fault.New(fault.CallerDenied, "peer credentials", "", nil)
	}
	w := httptest.NewRecorder()
	r.Host = api.HostName
	s.http.Handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	return w
}

func TestStrangersAreDeniedEachRoute(t *testing.T) {
	s := New(quietHost{}, Options{})
	s.uid = 1000
	for _, path := range []string{"GET /livez", "GET /readyz", "GET /v1/status", "POST /v1/execute", "POST /v1/precheck", "POST /v1/headsup", "GET /v1/artifacts", "POST /v1/artifacts/prune", "GET /nowhere",
		"POST /v1/jobs", "GET /v1/jobs", "GET /v1/jobs/j1", "POST /v1/jobs/j1/cancel", "POST /v1/jobs/j1/raise", "POST /v1/jobs/j1/retry", "POST /v1/revoke",
		"POST /v1/warm", "GET /v1/warm", "DELETE /v1/warm/x",
		"POST /v1/apps", "POST /v1/apps/announce", "GET /v1/apps", "DELETE /v1/apps", "GET /v1/apps/a", "DELETE /v1/apps/a", "POST /v1/apps/a/start",
		"POST /v1/apps/a/stop", "POST /v1/apps/a/resize", "POST /v1/apps/a/raise", "POST /v1/apps/a/query", "GET /v1/apps/a/log", "POST /v1/query/sealed/a",
		"PUT /v1/blobs/h", "POST /v1/blobs", "GET /v1/blobs", "GET /v1/blobs/h", "DELETE /v1/blobs/h", "GET /v1/session", "POST /v1/session",
		"POST /v1/session/bench", "GET /v1/metrics/apps", "POST /v1/metrics/report", "POST /v1/key/backup", "POST /v1/key/restore",
		"POST /v1/key/rotate", "POST /v1/key/lock", "POST /v1/sign/endpoints", "POST /v1/sign/description", "POST /v1/sign/registration"} {
		method, target, _ := bytes.Cut([]byte(path), []byte(" "))
		for uid, want := range map[int]int{1001: http.StatusForbidden, -1: http.StatusForbidden} {
			if w := ask(s, httptest.NewRequest(string(method), string(target), nil), uid); w.Code != want {
				t.Errorf("%s as %d: status %d", path, uid, w.Code)
			}
		}
	}
	for _, uid := range []int{0, 1000} {
		if w := ask(s, httptest.NewRequest("GET", "/v1/status", nil), uid); w.Code != http.StatusOK {
			t.Errorf("as %d: status %d", uid, w.Code)
		}
	}
}

// A form is hostile until it is parsed: whatever it holds, the server answers with a well-formed reply, and it takes
// no more memory than its limits say.
func FuzzForm(f *testing.F) {
	head := "--B\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n"
	f.Add([]byte(head + "{}\r\n--B--\r\n"))
	f.Add([]byte(head + "{}\r\n--B\r\nContent-Disposition: form-data; name=\"code\"\r\n\r\nxyz\r\n--B--\r\n"))
	f.Add([]byte(head + "{\"priority\":\"high\"}\r\n--B\r\nContent-Disposition: form-data; name=\"stdin\"\r\n\r\n"))
	f.Add([]byte(head + "{}\r\n--B\r\nContent-Disposition: form-data; name=\"manifest\"\r\n\r\nm\r\n--B--\r\n"))
	f.Add([]byte(head))
	s := New(quietHost{}, Options{MaxCodeBytes: 1 << 10, MaxInputBytes: 1 << 10})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/v1/headsup", "/v1/jobs", "/v1/apps"} {
			r := httptest.NewRequest("POST", path, bytes.NewReader(body))
			r.Header.Set("Content-Type", "multipart/form-data; boundary=B")
			w := ask(s, r, os.Geteuid())
			if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
				t.Errorf("%s: status %d, %q", path, w.Code, w.Body)
			}
		}
	})
}
