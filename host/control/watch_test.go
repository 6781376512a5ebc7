package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

// pipe is a reply whose reader can stall.
type pipe struct {
	header http.Header
	w      *io.PipeWriter
	status int
}

func (p *pipe) Header() http.Header         { return p.header }
func (p *pipe) WriteHeader(status int)      { p.status = status }
func (p *pipe) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p *pipe) Flush()                      {}

// stream opens a stream as a caller with all rights; the reader of events that it returns blocks until there is one.
func stream(t *testing.T, ctx context.Context, s *Server, target string, headers ...string) (next func() (id, kind string, data []byte), end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	req := httptest.NewRequest("GET", target, nil)
	req.Host = api.HostName
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	var done sync.WaitGroup
	done.Go(func() {
		s.http.Handler.ServeHTTP(&pipe{header: http.Header{}, w: w}, req.WithContext(context.WithValue(ctx, callerKey{}, caller{name: "uid:0", rights: api.Rights, listener: "unix"})))
		_ = w.Close()
	})
	lines := bufio.NewReader(r)
	next = func() (id, kind string, data []byte) {
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return id, "closed", data
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ": ")
			switch name {
			case "":
				if id != "" || kind != "" || data != nil {
					return id, kind, data
				}
				if value != "" && value != "hello" {
					kind = "comment"
				}
			case "id":
				id = value
			case "event":
				kind = value
			case "data":
				data = []byte(value)
			}
		}
	}
	return next, func() { cancel(); _ = r.Close(); done.Wait() }
}

func frameOf(t *testing.T, next func() (string, string, []byte)) (string, api.Frame) {
	t.Helper()
	for {
		id, kind, data := next()
		if kind == "comment" {
			continue
		}
		var f api.Frame
		if err := json.Unmarshal(data, &f); err != nil || kind != "" {
			t.Fatalf("%s %s %s %v", id, kind, data, err)
		}
		return id, f
	}
}

func ids(f api.Frame) string {
	var all []string
	for _, r := range f.Rows {
		all = append(all, r.ID)
	}
	return strings.Join(all, " ")
}

func TestWatchSendsWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWorld()
		s := New(h, Options{})
		defer s.Close()
		next, end := stream(t, t.Context(), s, "/v1/watch/actors?q=kind%3Droot,worker&sort=path")
		defer end()
		id, f := frameOf(t, next)
		if !f.Full || ids(f) != "troupe troupe/execute/worker-1" || f.Matched != 2 || f.Total != 5 || f.Boot != "boot1" || len(f.Order) != 2 || id != "boot1-1" {
			t.Fatalf("%s %+v", id, f)
		}
		if h.watched != 1 {
			t.Error("the host does not know that it is watched")
		}
		h.set(func() { h.actors[1].Depth = 10 })
		if id, f = frameOf(t, next); f.Full || ids(f) != "troupe/execute/worker-1" || f.Order != nil || id != "boot1-2" {
			t.Errorf("%s %+v", id, f)
		}
		h.set(func() { h.actors = h.actors[:1] })
		if _, f = frameOf(t, next); ids(f) != "" || fmt.Sprint(f.Gone) != "[troupe/execute/worker-1]" || fmt.Sprint(f.Order) != "[troupe]" {
			t.Errorf("%+v", f)
		}
		end()
		if h.watched != 0 {
			t.Error("the host thinks that it is watched still")
		}
		// Who comes back is told everything, under an id that goes on.
		next, end2 := stream(t, t.Context(), s, "/v1/watch/actors", "Last-Event-ID", "boot1-3")
		defer end2()
		if id, f = frameOf(t, next); !f.Full || id != "boot1-4" {
			t.Errorf("%s %+v", id, f)
		}
	})
}

func TestAQuietStreamShowsThatItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(newWorld(), Options{})
		defer s.Close()
		next, end := stream(t, t.Context(), s, "/v1/watch/workers")
		defer end()
		frameOf(t, next)
		begin := time.Now()
		if _, kind, _ := next(); kind != "comment" {
			t.Errorf("got %q", kind)
		}
		if quiet := time.Since(begin); quiet < 14*time.Second || quiet > 17*time.Second {
			t.Errorf("after %v", quiet)
		}
	})
}

func TestLogResumesWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newWorld()
		s := New(h, Options{})
		defer s.Close()
		next, end := stream(t, t.Context(), s, "/v1/watch/log")
		id, f := frameOf(t, next)
		if !f.Full || ids(f) != "1 2 3 4" || id != "boot1-4" {
			t.Fatalf("%s %+v", id, f)
		}
		end()
		h.set(func() {
			for n := uint64(5); n < 8; n++ {
				h.lines = append(h.lines, inspect.LogLine{Seq: n, Level: "info", Message: "m"})
			}
		})
		next, end = stream(t, t.Context(), s, "/v1/watch/log", "Last-Event-ID", id)
		if id, f = frameOf(t, next); f.Full || ids(f) != "5 6 7" || f.Dropped != 0 || id != "boot1-7" {
			t.Errorf("%s %+v", id, f)
		}
		end()
		h.set(func() { // three are overtaken before anybody comes
			for n := uint64(8); n < 14; n++ {
				h.lines = append(h.lines, inspect.LogLine{Seq: n, Level: "info", Message: "m"})
			}
			h.first = 11
		})
		next, end = stream(t, t.Context(), s, "/v1/watch/log", "Last-Event-ID", id)
		if _, f = frameOf(t, next); ids(f) != "11 12 13" || f.Dropped != 3 {
			t.Errorf("%+v", f)
		}
		end()
		next, end = stream(t, t.Context(), s, "/v1/watch/log?q=ours", "Last-Event-ID", "another-7")
		defer end()
		if _, f = frameOf(t, next); !f.Full || ids(f) != "" { // line 4 is overtaken
			t.Errorf("%+v", f)
		}
	})
}

func TestAuditIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(newWorld(), Options{})
		defer s.Close()
		next, end := stream(t, t.Context(), s, "/v1/watch/audit?q=outcome%3Ddone")
		defer end()
		if _, f := frameOf(t, next); !f.Full || ids(f) != "" {
			t.Errorf("%+v", f)
		}
		s.audit.Append(api.Audit{Outcome: "failed"})
		s.audit.Append(api.Audit{Outcome: "done", Verb: "job.cancel"})
		if id, f := frameOf(t, next); ids(f) != "2" || id != "boot1-2" {
			t.Errorf("%s %+v", id, f)
		}
	})
}

func TestStreamsEndInGoodOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(newWorld(), Options{})
		next, end := stream(t, t.Context(), s, "/v1/watch/jobs")
		defer end()
		frameOf(t, next)
		s.views.stop()
		if _, kind, _ := next(); kind != api.EventEnd {
			t.Errorf("got %q", kind)
		}
		if _, kind, _ := next(); kind != "closed" {
			t.Errorf("got %q", kind)
		}
		_ = s.Close()
	})
}

func TestTraceIsStreamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(newWorld(), Options{})
		defer s.Close()
		next, end := stream(t, t.Context(), s, "/v1/trace?rows=2&actor=troupe&refused=true")
		defer end()
		for i := range 2 {
			if id, kind, data := next(); id != fmt.Sprintf("boot1-%d", i+1) || kind != "" || !bytes.Contains(data, []byte(`"actor":"troupe`)) {
				t.Errorf("%s %s %s", id, kind, data)
			}
		}
		if _, kind, _ := next(); kind != api.EventEnd {
			t.Errorf("got %q", kind)
		}
	})
}

func TestWatchesThatAreRefused(t *testing.T) {
	s := New(newWorld(), Options{MaxStreams: 1})
	defer s.Close()
	for target, want := range map[string]int{
		"/v1/watch/nothing": 404, "/v1/watch/actors?q=stat%3Dx": 400, "/v1/watch/actors?sort=stat": 400, "/v1/watch/actors?limit=0": 400, "/v1/watch/actors?every_us=x": 400,
		"/v1/trace?cause=x": 400, "/v1/trace?rows=100001": 400, "/v1/trace?for_us=99999999999": 400, "/v1/watch/overview?q=x": 400,
	} {
		if w := as(s, "uid:0", api.Rights, "GET", target, nil); w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	s.streams <- struct{}{}
	if w := as(s, "uid:0", api.Rights, "GET", "/v1/watch/jobs", nil); w.Code != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", w.Code)
	}
	if w := as(s, "uid:0", api.Rights, "GET", "/v1/jobs", nil); w.Code != http.StatusOK {
		t.Errorf("streams take the slots of requests: %d", w.Code)
	}
}

// All views can be watched.
func TestEachViewCanBeWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(newWorld(), Options{})
		defer s.Close()
		for _, view := range api.Views {
			next, end := stream(t, t.Context(), s, "/v1/watch/"+view)
			if _, f := frameOf(t, next); !f.Full || f.View != view || len(f.Rows) == 0 && view != "audit" && view != "health" {
				t.Errorf("%s: %+v", view, f)
			}
			end()
		}
	})
}

func TestPagesGoOn(t *testing.T) {
	s := New(newWorld(), Options{})
	var got []string
	for after := ""; ; {
		p := decodeTo[api.Page[inspect.Actor]](t, as(s, "uid:0", api.Rights, "GET", "/v1/actors?sort=-path&limit=2&after="+after, nil))
		if p.Total != 5 || p.Matched != 5 {
			t.Errorf("%+v", p)
		}
		for _, a := range p.Rows {
			got = append(got, a.Path)
		}
		if after = p.Next; after == "" {
			break
		}
	}
	if len(got) != 5 || got[0] < got[1] || got[4] != "troupe" {
		t.Errorf("%q", got)
	}
	if w := as(s, "uid:0", api.Rights, "GET", "/v1/actors?after=x", nil); w.Code != http.StatusBadRequest {
		t.Errorf("a bad cursor: %d", w.Code)
	}
	w := as(s, "uid:0", api.Rights, "GET", "/v1/actors?q=mailbx%3E3", nil)
	if !strings.Contains(w.Body.String(), "column 1") || !strings.Contains(w.Body.String(), "mailbox") {
		t.Errorf("%s", w.Body)
	}
}

func TestFailuresAreGathered(t *testing.T) {
	h := newWorld()
	h.actors[1].State, h.actors[1].LastFault = "gave_up", "suspect.worker_died: exit 9"
	s := New(h, Options{})
	p := decodeTo[api.Page[api.Failing]](t, as(s, "uid:0", api.Rights, "GET", "/v1/failures?sort=kind", nil))
	got := ""
	for _, f := range p.Rows {
		got += f.Kind + ":" + f.Blame + " "
	}
	if got != "actor:suspect app:suspect artifact:guest artifact:suspect job:guest job:guest outgoing:host " {
		t.Error(got)
	}
}
