package guest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/engine"
	"github.com/troupehost/troupe/host/internal/calls"
)

// handle runs a handler over one message.
func handle(t testing.TB, app *engine.App, server *calls.App, log *lines, name, in string) (string, engine.Outcome) {
	t.Helper()
	inst := server.Instance(calls.InstanceConfig{Log: log})
	defer inst.End(errors.New("over"))
	var result []byte
	out := runOn(app, inst, engine.Spec{Entry: run.Entry{Mode: run.Bytes, Name: name}, Input: []byte(in)}, &result)
	return string(result), out
}

func handlers(kv *space) *calls.App {
	return calls.New(calls.Config{}).App(calls.AppConfig{KV: kv, Grants: manifest.Grants{KVBytes: 1 << 20}})
}

// TestGoHandlerIsFreshForEachRequest: its count is 1 each time, whatever the size of the input.
func TestGoHandlerIsFreshForEachRequest(t *testing.T) {
	log := &lines{}
	app, server := load(t, "go-handler"), handlers(nil)
	for _, size := range []int{0, 1, 5000, 70000, 5 << 20, 3} {
		body := strings.Repeat("b", size)
		got, out := handle(t, app, server, log, "query", "a/path\n0badcafe\n"+body)
		if want := "1 a/path 0badcafe " + body; got != want || out.Fault != nil {
			t.Errorf("%d bytes: %.60q, %v", size, got, out.Fault)
		}
		got, out = handle(t, app, server, log, "http", fmt.Sprintf("POST /x?y HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, body))
		text := fmt.Sprintf("1 POST /x?y %d bytes\n", size)
		want := fmt.Sprintf("HTTP/1.1 200 \r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		if got != want || out.Fault != nil {
			t.Errorf("%d bytes: %q, %v", size, got, out.Fault)
		}
	}
	if got, _ := handle(t, app, server, log, "http", "hello"); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("%q", got)
	}
	_, out := handle(t, app, server, log, "query", "fail\n\n")
	if fault.CodeOf(out.Fault) != fault.GuestTrap || len(log.text) != 1 || log.text[0] != "asked to fail" {
		t.Errorf("%+v, %q", out, log.text)
	}
}

// TestCHandler: a response that says how long it is, and an echo.
func TestCHandler(t *testing.T) {
	app, server, log := load(t, "c-handler"), handlers(nil), &lines{}
	for range 3 {
		got, out := handle(t, app, server, log, "http", "GET / HTTP/1.1\r\n\r\n")
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if body != "hello from C, 1\n" || !strings.HasSuffix(head, fmt.Sprint("Content-Length: ", len(body))) || out.Fault != nil {
			t.Errorf("%q, %v", got, out.Fault)
		}
	}
	for in, want := range map[string]string{"p\no\npayload\nof lines": "payload\nof lines", "p\n\n": "", "": "", "p": ""} {
		if got, out := handle(t, app, server, log, "query", in); got != want || out.Fault != nil {
			t.Errorf("%q: %q, %v", in, got, out.Fault)
		}
	}
}

// TestRustHandler keeps and returns values.
func TestRustHandler(t *testing.T) {
	kv, log := &space{keys: map[string][]byte{}}, &lines{}
	app, server := load(t, "rust-app"), handlers(kv)
	for _, c := range []struct{ in, want string }{
		{"get/a\n\n", "kv_get failed"},
		{"put/a\n0bad\na value\nof lines", "kept"},
		{"get/a\n\n", "a value\nof lines"},
		{"len\n\n" + strings.Repeat("x", 12345), "12345"},
		{"len\n\n", "0"},
		{"other\n\npayload", "payload"},
		{"put/\n\nx", "kv_put failed"},
	} {
		if got, out := handle(t, app, server, log, "query", c.in); got != c.want || out.Fault != nil {
			t.Errorf("%.20q: %q, %v", c.in, got, out.Fault)
		}
	}
	if len(log.text) != 2 {
		t.Errorf("%q", log.text)
	}
}

// TestCommands: the counter counts, and a program speaks CGI.
func TestCommands(t *testing.T) {
	kv := &space{keys: map[string][]byte{}}
	server := handlers(kv)
	command := func(name string, args, env []string) (string, engine.Outcome) {
		inst := server.Instance(calls.InstanceConfig{})
		defer inst.End(nil)
		out := []byte{}
		end := runOn(load(t, name), inst, engine.Spec{Entry: run.Entry{Mode: run.Command, Name: "app", Args: args, Env: env}}, &out)
		return string(out), end
	}
	for n := 1; n < 4; n++ {
		if got, end := command("counter", nil, nil); got != fmt.Sprintln(n) || end.Fault != nil {
			t.Errorf("%q, %v", got, end.Fault)
		}
	}
	if got, _ := command("counter", []string{"another"}, nil); got != "1\n" {
		t.Errorf("%q", got)
	}
	got, end := command("c-cgi", []string{"x"}, []string{"PATH_INFO=/status", "REQUEST_METHOD=GET"})
	want := "Status: 418 I am a teapot\r\nContent-Type: text/plain\r\nX-Guest: c-cgi\r\n\r\narg 0 app\narg 1 x\nPATH_INFO=/status\nREQUEST_METHOD=GET\n\n"
	if got != want || end.Fault != nil {
		t.Errorf("%q, %v", got, end.Fault)
	}
	if got, _ := command("c-cgi", nil, []string{"PATH_INFO=/bare"}); !strings.HasPrefix(got, "\r\n") {
		t.Errorf("%q", got)
	}
	if _, end := command("c-cgi", nil, []string{"PATH_INFO=/fail"}); end.Exit != 9 {
		t.Errorf("%+v", end)
	}
}

// TestCService echoes, counts, and does not answer who asks for silence.
func TestCService(t *testing.T) {
	r := start(t, "c-service", calls.Config{}, calls.AppConfig{})
	silent := r.ask("silent", "")
	if got := r.query("x", "payload"); got != "payload" {
		t.Errorf("%q", got)
	}
	if got := r.query("count", ""); got != "3" {
		t.Errorf("%q", got)
	}
	c := r.request("GET / HTTP/1.1\nHost: x", strings.NewReader(""))
	if <-c.closed; c.body.String() != "4" || c.status != 200 {
		t.Errorf("%d %q", c.status, c.body.String())
	}
	select {
	case <-silent.closed:
		t.Error("the silent query was answered")
	default:
	}
	r.inst.Stop()
	if <-r.ended; r.out.Fault != nil {
		t.Error(r.out.Fault)
	}
	if <-silent.closed; silent.why == nil {
		t.Error("the silent query ended well")
	}
}
