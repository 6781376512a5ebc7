package cli

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
)

// situation is a verb where something is missing.
type situation struct {
	args string // that it understands; $DIR is an empty directory, $FILE a module, $KEY 64 hex digits
	down int    // the exit code while no host runs
	skew int    // and that beside a host of another major version
}

// ownHost says that a verb starts a private host where there is none.
const ownHost = -1

// asks is a verb that talks to a host, and to nobody else.
func asks(args string) situation { return situation{args, exitUnreachable, exitHost} }

// alone is a verb that needs no host.
func alone(code int, args string) situation { return situation{args, code, code} }

// either is a verb that takes a private host where there is none.
func either(args string) situation { return situation{args, ownHost, exitHost} }

// situations are those of all verbs.
var situations = map[string]situation{
	"actor kill": asks("troupe/x --reason r"), "actor list": asks(""), "actor log-level": asks("info troupe/x"), "actor mailbox": asks(bundletest.Wedged), "actor pause": asks("troupe/x"),
	"actor restart": asks("troupe/x"), "actor resume": asks("troupe/x"), "actor show": asks(bundletest.Wedged), "actor trace": asks(""), "actor tree": asks(""),

	"app bench": asks("$KEY 1"), "app build": alone(exitNotFound, "$DIR/none"), "app deploy": alone(exitNotFound, "$DIR"), "app list": asks(""), "app logs": asks("$KEY"), "app query": asks("$KEY"),
	"app raise": asks("$KEY"), "app remove": asks("$KEY --reason r"), "app resize": asks("$KEY 1"), "app restart": asks("$KEY"), "app show": asks("$KEY"), "app start": asks("$KEY"), "app stop": asks("$KEY --reason r"),

	"artifact check": alone(exitOK, "$FILE"), "artifact cool": either("$KEY"), "artifact evict": either("$KEY --reason r"), "artifact list": either(""), "artifact pin": either("$KEY"),
	"artifact prepare": either("$FILE"), "artifact prune": either(""), "artifact raise": asks("$KEY"), "artifact retry": asks("$KEY"), "artifact show": either("$KEY"),
	"artifact unpin": either("$KEY"), "artifact verify": either("$KEY"), "artifact warm": either("$FILE"),

	"blob get": asks("sha256:$KEY"), "blob list": asks(""), "blob put": asks("$FILE"), "blob rm": asks("sha256:$KEY"), "bundle open": alone(exitNotFound, "$DIR/none"),

	"chain adopt": asks("$KEY"), "chain blocks": asks(""), "chain calls": alone(exitOK, ""), "chain cursor": asks(""), "chain demand": asks(""), "chain events": asks(""), "chain export": asks(""),
	"chain outbox": asks(""), "chain pause": asks(""), "chain pay": asks(""), "chain query": asks("x"), "chain report": asks(""), "chain resume": asks(""), "chain send": asks(`System remark {"remark":"0x00"}`),
	"chain status": asks(""), "chain sudo": asks(`System remark {"remark":"0x00"}`), "chain transfer": asks("$KEY 1"), "chain tx": asks("$KEY"), "chain verify": asks(""), "chain views": alone(exitOK, ""),

	"completion": alone(exitOK, "bash"), "config check": alone(exitNotFound, "$DIR/none"), "config show": alone(exitOK, ""), "context add": alone(exitOK, "a --socket s"), "context ls": alone(exitOK, ""),
	"context rm": alone(exitNotFound, "a"), "context use": alone(exitOK, "local"),

	"dead drop": asks("d-1"), "dead list": asks(""), "dead replay": asks("d-1"), "dead show": asks("d-1"), "demo market": alone(exitUsage, "extra"), "dev": alone(exitNotFound, "$DIR/none"),
	"docs man": alone(exitOK, "$DIR"), "docs markdown": alone(exitOK, ""), "explain": asks(bundletest.Waiting), "failures": asks(""),

	"ip add": asks("1.2.3.4"), "ip list": asks(""), "ip remove": asks("1.2.3.4"),
	"job cancel": asks("01JQ --reason r"), "job escalate": asks("01JQ"), "job list": asks(""), "job retry": asks("01JQ"), "job show": asks("01JQ"), "job timeline": asks(bundletest.Spinning), "job wait": asks("01JQ"),
	"key backup": asks("--passphrase-file $FILE"), "key list": alone(exitOK, ""), "key lock": asks("--passphrase-file $FILE"), "key new": alone(exitOK, "n"), "key restore": asks("$FILE --passphrase-file $FILE"),
	"key rotate": asks(""), "key show": asks(""),

	"market bench": asks(""), "market create": asks("d"), "market invite": asks("1 $KEY"), "market join": asks("1"), "market lists": asks(""), "market prices": alone(exitOK, ""), "market remove": asks("1 $KEY"),
	"market score": asks(""), "market workers": asks(""), "metrics report": asks(""), "metrics show": asks(""), "metrics verify": alone(exitUsage, "$FILE"), "miner list": asks(""), "miner metrics": asks("n"),

	"node audit": asks(""), "node backup": {"$DIR/b", exitNotFound, exitHost}, "node drain": asks("--reason r --timeout 300ms"), "node gc": asks(""), "node health": asks(""), "node log": asks(""), "node metrics": asks(""),
	"node reload": asks(""), "node restore": alone(exitUsage, "$FILE --data-dir $DIR"), "node snapshot": asks("--out $DIR/s"), "node unit": alone(exitOK, ""),

	"queue list": asks(""), "queue pause": asks("q"), "queue purge": asks("q --reason r"), "queue resume": asks("q"), "queue revoke": asks("t"), "queue show": asks(""), "replay": alone(exitUsage, "$FILE"),
	"request boot": asks("1"), "request cancel": asks("1"), "request create": asks("$KEY --image i"), "request credit": asks(""), "request delete": asks("1"), "request image-add": asks("n http://x"),
	"request images": asks(""), "request list": asks(""), "request plan-add": asks("n --price 1"), "request plans": asks(""), "request reboot": asks("1"), "request resize": asks("1 1"), "request show": asks("1"),
	"request stop": asks("1"), "run": either("$FILE"), "serve": {"--chain none", ownHost, exitHost}, "session open": asks(""), "session show": asks(""), "status": asks(""), "submit": asks("$FILE"),

	"ticket close": asks("1"), "ticket create": asks("$KEY --list 1 --deposit 1 --cid c"), "ticket list": asks(""), "ticket show": asks("1"), "token list": alone(exitNotFound, "--tokens $DIR/none"), "token new": alone(exitOK, "n --tokens $DIR/t"),
	"token rm": alone(exitNotFound, "n --tokens $DIR/none"), "top": alone(exitUsage, ""), "version": alone(exitOK, ""), "web": {"--timeout 1s", exitUnreachable, exitCanceled}, // its page says so
	"worker guests": asks(""), "worker kill": asks("w --reason r"), "worker list": asks(""), "worker recycle": asks("w"), "worker sandbox": alone(exitSome, ""), "worker show": asks("w"),
}

// lineOf is a command line of a verb. What goes by a plan is told to go ahead, if sure.
func lineOf(t *testing.T, name string, sure bool) []string {
	t.Helper()
	words := strings.Fields(name)
	for _, w := range strings.Fields(situations[name].args) {
		if strings.Contains(w, "$DIR") {
			w = strings.ReplaceAll(w, "$DIR", t.TempDir())
		}
		if w == "$FILE" {
			w = wasmFile(t)
		}
		words = append(words, strings.ReplaceAll(w, "$KEY", strings.Repeat("a", 64)))
	}
	if sure && planned(name) {
		words = append(words, "--yes")
	}
	return words
}

// planned says whether a verb has the flags of plans.
func planned(name string) bool {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	if v := leaves()[name]; v.flags != nil {
		v.flags(fs)
	}
	return fs.Lookup("yes") != nil && fs.Lookup("dry-run") != nil
}

// leaves are all verbs that do something, by name.
func leaves() map[string]verb {
	all := map[string]verb{}
	var walk func(name string, v verb)
	walk = func(name string, v verb) {
		if v.run != nil {
			all[name] = v
		}
		for _, sub := range v.verbs {
			word, _, _ := strings.Cut(sub.use, " ")
			walk(strings.TrimSpace(name+" "+word), sub)
		}
	}
	walk("", (&app{}).table())
	return all
}

// equip gives a console an account that signs, a host that runs what it is given, and no terminal.
func equip(t *testing.T, c *console) {
	t.Helper()
	c.askSecret = askTerminal(devNull(t), os.Stderr)
	if code := c.main([]string{"key", "new", "root"}); code != 0 {
		t.Fatal(code, c.err.String())
	}
	c.out.Reset()
	c.err.Reset()
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// other is a console beside a host of another version, whose API is another one.
func other(t *testing.T, version string, answer http.HandlerFunc) *console {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(api.HeaderVersion, version)
		if r.URL.Path != "/livez" {
			answer(w, r)
		}
	})}
	ended := make(chan struct{})
	go func() { _ = server.Serve(l); close(ended) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	c := newSeen(t, newSeenServer())
	c.owner = func(string) (host.Owner, bool) { return host.Owner{PID: 7, Kind: "serve", Socket: socket}, true }
	return c
}

// Each verb ends as its help says where no host runs, and beside one that it does not understand: this says so.
func TestExitsWithoutAHost(t *testing.T) {
	for name, v := range leaves() {
		s, ok := situations[name]
		if !ok {
			t.Errorf("'troupe %s' has no row among the situations", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := newConsole(t, &fakeHost{execute: receipt("ok", "")})
			equip(t, c)
			if name == "serve" {
				c.interrupts <- syscall.SIGINT
			}
			got := c.main(lineOf(t, name, true))
			switch {
			case s.down == ownHost && len(c.configs) == 1: // what it does then is another matter
			case got != s.down:
				t.Errorf("without a host: exit code %d, want %d\n%s", got, s.down, c.err.String())
			case got == exitUnreachable && !strings.Contains(c.err.String(), "\nhint:  start one with 'troupe serve"):
				t.Errorf("nobody learns that there is none:\n%s", c.err.String())
			}
			c = other(t, "9.0.0", http.NotFound)
			equip(t, c)
			skew := c.main(lineOf(t, name, true))
			if skew != s.skew {
				t.Errorf("beside another version: exit code %d, want %d\n%s", skew, s.skew, c.err.String())
			}
			told := name == "serve" || skew != exitHost ||
				strings.Contains(c.err.String(), "the host has version 9.0.0, this program "+host.Version+", and they do not understand each other\ncode:  host.unsupported\nhint:  use the troupe of that version")
			if !told {
				t.Errorf("nobody learns of the other version:\n%s", c.err.String())
			}
			for _, code := range []int{got, skew} {
				if s.down != ownHost && !slices.Contains(v.exits, code) {
					t.Errorf("exit code %d is not in its help, only %v", code, v.exits)
				}
			}
		})
	}
	for name := range situations {
		if leaves()[name].run == nil {
			t.Errorf("there is no verb '%s'", name)
		}
	}
}

// A host that is older than a route says that it has none, and one whose answer is of another form is no broken connection.
func TestOtherVersionsAreTold(t *testing.T) {
	for what, answer := range map[string]http.HandlerFunc{
		"no such route": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, nil, fault.New(fault.CallerNotFound, api.OpRoute, "GET /v1/queues", nil))
		},
		"another form": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"rows": 7}`)) },
		"no form":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("queues: none\n")) },
	} {
		c := other(t, "0.0.1", answer)
		if code := c.main([]string{"queue", "list"}); code != exitHost || !strings.Contains(c.err.String(), "host.unsupported") {
			t.Errorf("%s: exit code %d\n%s", what, code, c.err.String())
		}
		c = other(t, host.Version, answer)
		if code := c.main([]string{"queue", "list"}); strings.Contains(c.err.String(), "host.unsupported") || code == exitOK {
			t.Errorf("%s of the same version: exit code %d\n%s", what, code, c.err.String())
		}
	}
	c := other(t, "9.0.0", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, nil, fault.New(fault.CallerNotFound, "queue", "x", nil))
	})
	if code := c.main([]string{"queue", "list"}); code != exitNotFound {
		t.Errorf("what is not there is not there in any version: exit code %d\n%s", code, c.err.String())
	}
}

// closedFile is a stdout that the shell has closed.
type closedFile struct{}

func (closedFile) Write([]byte) (int, error) { return 0, syscall.EBADF }

// Where stdout is closed, or its reader has left, a verb that prints ends with 1 or 7, whatever it prints; one that prints nothing ends
// as ever. Nothing of it is told to whoever has left.
func TestExitsOfAClosedStdout(t *testing.T) {
	for name, v := range leaves() {
		if name == "serve" || name == "web" { // they go on: whoever reads their first line may leave
			continue
		}
		t.Run(name, func(t *testing.T) {
			run := func(change func(*app)) (int, *console) {
				c := newSeen(t, newSeenServer())
				equip(t, c)
				change(c.app)
				return c.main(lineOf(t, name, true)), c
			}
			open, c := run(func(*app) {})
			prints := c.out.Len() > 0
			for want, w := range map[int]func(*app){
				exitOther:    func(a *app) { a.out.w = closedFile{} },
				exitCanceled: func(a *app) { a.out.w = closedPipe{} },
			} {
				got, c := run(w)
				switch {
				case prints && open == exitOK && got != want:
					t.Errorf("exit code %d, want %d\n%s", got, want, c.err.String())
				case got != open && got != want:
					t.Errorf("exit code %d, and %d with a stdout\n%s", got, open, c.err.String())
				case !slices.Contains(v.exits, got):
					t.Errorf("exit code %d is not in its help, only %v", got, v.exits)
				case prints && open == exitOK && got == exitCanceled && bytes.Contains(c.err.Bytes(), []byte("error:")):
					t.Errorf("it speaks to nobody:\n%s", c.err.String())
				}
			}
		})
	}
}

// What must ask somebody says so where nobody is, with what to pass instead, and does nothing.
func TestExitsWithoutATerminal(t *testing.T) {
	needs := map[string]string{ // beside those that go by plans
		"top": "", "key backup": "", "key lock": "", "key restore": "$FILE",
	}
	for name := range leaves() {
		line, needed := needs[name]
		words := append(strings.Fields(name), strings.Fields(strings.ReplaceAll(line, "$FILE", wasmFile(t)))...)
		if planned(name) && !leaves()[name].atOnce {
			words, needed = lineOf(t, name, false), true
		}
		if !needed {
			continue
		}
		s := newSeenServer()
		c := newSeen(t, s)
		equip(t, c)
		if code := c.main(words); code != exitUsage || !strings.Contains(c.err.String(), "terminal") {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
		if len(s.applied) > 0 || c.out.Len() > 0 && name == "key backup" {
			t.Errorf("%s: it did something: %v", name, s.applied)
		}
	}
}
