package ingress

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/calls"
)

// signs has replies signed, with a key of another kind than the worker's.
func signs(c *Config) (public [32]byte) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	c.Sign = func(m []byte) [64]byte { return [64]byte(ed25519.Sign(key, m)) }
	return [32]byte(key.Public().(ed25519.PublicKey))
}

func verifies(public [32]byte, m, sig []byte) bool { return ed25519.Verify(public[:], m, sig) }

func TestRepliesAreSigned(t *testing.T) {
	var public [32]byte
	sign := func(c *Config) {
		public = signs(c)
		c.Info = func() []byte { return []byte(`{"worker":1}`) }
		c.Apps.(*fakeApps).query = func(_ context.Context, q Query) ([]byte, error) { return append([]byte("re: "), q.Payload...), nil }
	}
	app := "/app/" + addrText + "/x?y=1"
	handler := aHandler(func([]byte) string { return "HTTP/1.1 200 OK\r\n\r\nhello" })
	sized := aCommand(func(_ context.Context, r Run) int {
		_, _ = io.WriteString(r.Stdout, "Content-Type: a/b\nContent-Length: 5\n\nhe")
		_, _ = io.WriteString(r.Stdout, "llo")
		return 0
	})
	reader := aService(func(e calls.Event) {
		_, _ = io.Copy(io.Discard, e.Body)
		_ = e.Out.Respond(200, []byte("Content-Length: 5"))
		_, _ = e.Out.Write([]byte("hello"))
		e.Out.Close(nil)
	})
	for name, tt := range map[string]struct {
		app                *fakeApp
		method, path, body string
		header             []string
		status             int
		unsigned           bool
	}{
		"a handler":   {app: handler, method: "POST", path: app, body: "in", status: 200},
		"a head":      {app: handler, method: "HEAD", path: app, status: 200},
		"a command":   {app: sized, method: "POST", path: app, body: "which it does not read", status: 200},
		"a service":   {app: reader, method: "POST", path: app, body: "which it reads", status: 200},
		"much unread": {app: sized, method: "POST", path: app, body: strings.Repeat("x", maxDrain+1), status: 200, unsigned: true},
		"unknown size": {app: aCommand(func(_ context.Context, r Run) int {
			_, _ = io.WriteString(r.Stdout, "Content-Type: a/b\n\nhello")
			return 0
		}), method: "GET", path: app, status: 200, unsigned: true},
		"a query":           {method: "POST", path: "/query/" + addrText + "?path=%2Fp", body: "in", status: 200},
		"information":       {method: "GET", path: "/info", status: 200},
		"a failure":         {method: "GET", path: "/nowhere", status: 404},
		"one that need not": {app: handler, method: "GET", path: app, header: []string{HeaderSign, "no"}, status: 200, unsigned: true},
	} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, tt.app, sign)
			status, h, body, err := ask(t, tt.method, base+tt.path, strings.NewReader(tt.body), tt.header...)
			if err != nil || status != tt.status {
				t.Fatal(status, body, err)
			}
			if tt.unsigned {
				if h.Get(HeaderSignature) != "" {
					t.Error("signed")
				}
				return
			}
			check := func(method, target, in string, status int, out string) error {
				return VerifyReply(verifies, public, method, target, []byte(in), status, h, []byte(out))
			}
			if err := check(tt.method, tt.path, tt.body, status, body); err != nil {
				t.Error(err)
			}
			// The same reply is none to another request, and another reply none to this one.
			for n, err := range []error{
				check("PATCH", tt.path, tt.body, status, body), check(tt.method, tt.path+"z", tt.body, status, body), check(tt.method, tt.path, tt.body+"z", status, body),
				check(tt.method, tt.path, tt.body, status+1, body), check(tt.method, tt.path, tt.body, status, body+"z"),
				check(tt.method[:1], tt.method[1:]+tt.path, tt.body, status, body),
			} {
				if !errors.Is(err, fault.CallerSignature) {
					t.Error(n, err)
				}
			}
		})
	}
}

// TestReplyMessageIsStable holds the bytes that clients in other languages make, too.
func TestReplyMessageIsStable(t *testing.T) {
	in, out := blake2b.Sum256([]byte("in")), blake2b.Sum256([]byte("out"))
	request := blake2b.Sum256(append([]byte("\x04\x00\x00\x00POST\x02\x00\x00\x00/x"), in[:]...))
	reply := blake2b.Sum256(append([]byte("\xc8\x00"), out[:]...))
	want := "ff01" + hex.EncodeToString(request[:]) + hex.EncodeToString(reply[:])
	if got := hex.EncodeToString(ReplyMessage("POST", "/x", []byte("in"), 200, []byte("out"))); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestRepliesAreCollectedWithinBounds: what has no room is streamed, unsigned.
func TestRepliesAreCollectedWithinBounds(t *testing.T) {
	base := serve(t, aCommand(func(_ context.Context, r Run) int {
		_, _ = io.WriteString(r.Stdout, "Content-Type: a/b\nContent-Length: 5\n\nhello")
		return 0
	}), func(c *Config) { signs(c); c.Limits.CollectBytes = 4 })
	for range 2 {
		status, h, body, err := ask(t, "GET", base+"/app/"+addrText+"/", nil)
		if err != nil || status != 200 || body != "hello" || h.Get(HeaderSignature) != "" {
			t.Error(status, h, body, err)
		}
	}
}

// TestRepliesAreCollectedAsTheyCome: one that outgrows the room is streamed from its beginning, and a length alone takes none.
func TestRepliesAreCollectedAsTheyCome(t *testing.T) {
	silent, leave := make(chan struct{}), make(chan struct{})
	base := serve(t, aCommand(func(_ context.Context, r Run) int {
		if slices.Contains(r.Env, "PATH_INFO=/silent") {
			_, _ = io.WriteString(r.Stdout, "Content-Type: a/b\nContent-Length: 8\n\n")
			close(silent)
			<-leave
			return 0
		}
		text := "hello"
		if slices.Contains(r.Env, "PATH_INFO=/long") {
			text = "hello, world"
		}
		_, _ = fmt.Fprintf(r.Stdout, "Content-Type: a/b\nContent-Length: %d\n\n", len(text))
		for _, c := range text {
			_, _ = io.WriteString(r.Stdout, string(c))
		}
		return 0
	}), func(c *Config) { signs(c); c.Limits.CollectBytes = 8 })
	var wg sync.WaitGroup
	wg.Go(func() { _, _, _, _ = ask(t, "GET", base+"/app/"+addrText+"/silent", nil) })
	<-silent
	for _, row := range [][2]string{{"long", "hello, world"}, {"short", "hello"}} { // the long one has given back its room before its end
		path, want := row[0], row[1]
		status, h, body, err := ask(t, "GET", base+"/app/"+addrText+"/"+path, nil)
		if signed := h.Get(HeaderSignature) != ""; err != nil || status != 200 || body != want || signed != (path == "short") {
			t.Error(path, status, h, body, err)
		}
	}
	close(leave)
	wg.Wait()
}

func TestQueries(t *testing.T) {
	account := [32]byte{7}
	var got []Query
	change := func(c *Config) {
		c.Limits.MaxBodyBytes = 100
		c.Verify = func(app manifest.Address, path string, payload, signature []byte) ([32]byte, error) {
			if app != addr || path != "/p" || string(payload) != "in" || string(signature) != "sig" {
				return [32]byte{}, fault.New(fault.CallerSignatureExpired, "", "", nil)
			}
			return account, nil
		}
		c.Apps.(*fakeApps).query = func(_ context.Context, q Query) ([]byte, error) {
			got = append(got, q)
			if string(q.Payload) == "fail" {
				return nil, fault.New(fault.GuestRefused, "", "", nil)
			}
			return []byte("out"), nil
		}
		c.Open = func(pubkey [32]byte, sealed []byte) (Sealed, error) {
			if pubkey != [32]byte{1} || string(sealed) != "sealed" {
				return Sealed{}, fault.New(fault.CallerSealed, "", "", nil)
			}
			return Sealed{App: addr, Path: "/p", Payload: []byte("in"), Signature: []byte("sig"), Seal: func(b []byte) []byte { return append([]byte("sealed "), b...) }}, nil
		}
	}
	one := strings.Repeat("00", 32)
	pubkey := "01" + one[2:]
	q := "/query/" + addrText
	for name, tt := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		reply              string
		code               fault.Code
		want               []Query
	}{
		"by nobody":            {"POST", q + "?path=/p", "in", nil, 200, "out", "", []Query{{App: addr, Path: "/p", Payload: []byte("in")}}},
		"without path":         {"POST", q, "in", nil, 200, "out", "", []Query{{App: addr, Payload: []byte("in")}}},
		"signed":               {"POST", q + "?path=/p", "in", []string{HeaderQuerySignature, hex.EncodeToString([]byte("sig"))}, 200, "out", "", []Query{{App: addr, Path: "/p", Payload: []byte("in"), Origin: &account}}},
		"signed badly":         {"POST", q + "?path=/q", "in", []string{HeaderQuerySignature, hex.EncodeToString([]byte("sig"))}, 403, "", fault.CallerSignatureExpired, nil},
		"signed in letters":    {"POST", q, "in", []string{HeaderQuerySignature, "zz"}, 403, "", fault.CallerSignature, nil},
		"refused by the app":   {"POST", q, "fail", nil, 502, "", fault.GuestRefused, []Query{{App: addr, Payload: []byte("fail")}}},
		"too large":            {"POST", q, strings.Repeat("x", 101), nil, 413, "", fault.CallerParamsTooBig, nil},
		"by GET":               {"GET", q, "", nil, 400, "", fault.CallerInvalid, nil},
		"of no app":            {"POST", "/query/12", "", nil, 404, "", fault.CallerNotFound, nil},
		"with a path in it":    {"POST", q + "/p", "", nil, 404, "", fault.CallerNotFound, nil},
		"sealed":               {"POST", "/sealed", "sealed", []string{HeaderQueryKey, pubkey}, 200, "sealed out", "", []Query{{App: addr, Path: "/p", Payload: []byte("in"), Origin: &account}}},
		"sealed for another":   {"POST", "/sealed", "other", []string{HeaderQueryKey, pubkey}, 400, "", fault.CallerSealed, nil},
		"sealed without a key": {"POST", "/sealed", "sealed", nil, 400, "", fault.CallerSealed, nil},
		"asked before":         {"OPTIONS", q, "", nil, 204, "", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got = nil
			status, h, body, err := ask(t, tt.method, serve(t, nil, change)+tt.path, strings.NewReader(tt.body), tt.header...)
			if err != nil || status != tt.status {
				t.Fatal(status, body, err)
			}
			if tt.code != "" {
				if f := failure(t, body); f.Code != string(tt.code) {
					t.Error(f)
				}
			} else if body != tt.reply || h.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%q %v", body, h)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// FuzzCGI: whatever a command writes, in whatever pieces, either is refused or has lines that cannot be split.
func FuzzCGI(f *testing.F) {
	f.Add([]byte("Content-Type: a/b\n\nbody"), 3)
	f.Add([]byte("Status: 200 OK\r\nA: b\r\n\r\n"), 1)
	f.Add([]byte("Location: /\n\n"), 2)
	f.Add([]byte("A: b\r\n c\r\n\r\n"), 5)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		head, rest, ok := cutHead(b)
		if ok != (bytes.HasPrefix(b, []byte("\n")) || bytes.HasPrefix(b, []byte("\r\n")) || bytes.Contains(b, []byte("\n\n")) || bytes.Contains(b, []byte("\n\r\n"))) {
			t.Fatal("an empty line was missed or made up")
		}
		if !ok {
			return
		}
		if len(head)+len(rest)+1 > len(b) || !bytes.HasPrefix(b, head) || !bytes.HasSuffix(b, rest) {
			t.Fatal("bytes were lost or made up")
		}
		status, h, err := parseCGI(head)
		if err != nil {
			return
		}
		if status < 200 || status > 599 {
			t.Error(status)
		}
		clean(h)
		for name, values := range h {
			if !token(name) || http.CanonicalHeaderKey(name) != name {
				t.Errorf("name %q", name)
			}
			for _, v := range values {
				if strings.ContainsAny(v, "\r\n\x00\x7f") {
					t.Errorf("%s: %q", name, v)
				}
			}
		}
		for _, name := range []string{"Set-Cookie", "Connection", "Transfer-Encoding", HeaderSignature} {
			if h.Get(name) != "" {
				t.Errorf("%s goes out", name)
			}
		}
		_, _, _, _ = parseResponse(append([]byte("HTTP/1.1 200 OK\r\n"), b...), false)
	})
}

// TestBodiesShareTheirRoom: what many clients send at once is held within bounds, of which the small need nothing.
func TestBodiesShareTheirRoom(t *testing.T) {
	asked := make(chan struct{})
	done := make(chan struct{})
	base := serve(t, nil, func(c *Config) {
		c.Limits.BodyBytes = 1 << 20
		c.Apps.(*fakeApps).query = func(_ context.Context, q Query) ([]byte, error) {
			if q.Path == "holds" {
				asked <- struct{}{}
				<-done
			}
			return []byte(strconv.Itoa(len(q.Payload))), nil
		}
	})
	query := func(path string, size int) (int, string) {
		status, _, body, err := ask(t, "POST", base+"/query/"+addrText+"?path="+path, strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Error(err)
		}
		return status, body
	}
	first := make(chan int, 1)
	go func() {
		status, _ := query("holds", 700<<10)
		first <- status
	}()
	<-asked
	if status, body := query("", 700<<10); status != http.StatusServiceUnavailable || failure(t, body).Code != string(fault.BusyQueueFull) {
		t.Error("beyond the room:", status, body)
	}
	if status, body := query("", 20<<10); status != http.StatusOK || body != "20480" {
		t.Error("a small one:", status, body)
	}
	close(done)
	if status := <-first; status != http.StatusOK {
		t.Error("the first one:", status)
	}
	if status, body := query("", 700<<10); status != http.StatusOK || body != "716800" {
		t.Error("once there is room again:", status, body)
	}
}
