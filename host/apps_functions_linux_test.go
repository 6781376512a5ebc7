package host_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/abi"
	sdk "github.com/troupehost/troupe/host/guest"
)

// refused asks for what the guest must not get, which it says by the text of an error.
func refused(t testing.TB, h *host.Host, address, path, payload string, why error) {
	t.Helper()
	r, err := replied(t, h, address, path, payload)
	if fault.CodeOf(err) != fault.GuestRefused || !strings.Contains(err.Error(), " "+why.Error()) {
		t.Errorf("%s: %q, %v, want %v", path, r.Output, err, why)
	}
}

func port(address string) (p uint16) {
	_, text, _ := net.SplitHostPort(address)
	_, _ = fmt.Sscan(text, &p)
	return p
}

// freePort is one that was free just now.
func freePort(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return port(l.Addr().String())
}

// TestW29Conformance: each function of the module does in a host what the guest that calls them all expects.
func TestW29Conformance(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a page") }))
	t.Cleanup(page.Close)
	to, on := echoServer(t), freePort(t)
	h := appsHost(t, host.Config{Apps: host.AppConfig{ListenFrom: on, ListenTo: on, EgressPrivate: "127.0.0.0/8"}})
	b, err := h.PutBlob(t.Context(), "", strings.NewReader("a blob"))
	if err != nil {
		t.Fatal(err)
	}
	m := appOf(t, h, "conformance", func(m *manifest.Manifest) {
		m.Blobs = []manifest.Pair{{Key: b.Hash}}
		m.Terms.Grants = manifest.Grants{
			HTTP: true, KVBytes: 1 << 20, Egress: []string{"127.0.0.0/8:1-65535"}, Listen: []manifest.Ports{{From: on, To: on}},
			Channels: []manifest.Capability{{Name: "chan", Rights: abi.RightAll}, {Name: "send-only", Rights: abi.RightSend}},
			Topics:   []manifest.Capability{{Name: "topic", Rights: abi.RightSend | abi.RightRecv}},
		}
	})
	a, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode(),
		Config: fmt.Appendf(nil, "blob=%s\necho=%s\nhttp=%s/\nlisten=127.0.0.1:%d", b.Hash, to, page.URL, on)})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, f := range abi.TroupeFunctions {
		want = append(want, f.Name)
	}
	have := strings.Fields(ask(t, h, a.Address, "conformance/list", ""))
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Errorf("the guest checks %v, not %v", have, want)
	}
	total := 0
	for _, name := range want {
		got := ask(t, h, a.Address, "conformance/"+name, "a payload")
		if !strings.HasSuffix(got, "\n") {
			t.Errorf("%s: %q", name, got)
		}
		for line := range strings.Lines(got) {
			if total++; !strings.HasSuffix(line, ": ok\n") {
				t.Error(strings.TrimSpace(line))
			}
		}
	}
	if total < 250 {
		t.Errorf("only %d checks", total)
	}
	t.Logf("%d checks of %d functions", total, len(want))
}

// TestW30W31Network: an app listens within the range of the host and of its manifest, and connects where its list allows, by the
// address that a name has.
func TestW30W31Network(t *testing.T) {
	t.Parallel()
	to, on := echoServer(t), freePort(t)
	h := appsHost(t, host.Config{Apps: host.AppConfig{ListenFrom: on, ListenTo: on, LogBytes: 64 << 10, EgressPrivate: "127.0.0.0/8"}})
	a := goApp(t, h, "net", func(m *manifest.Manifest) {
		m.Terms.Grants.Listen = []manifest.Ports{{From: on, To: 65535}}
		m.Terms.Grants.Egress = []string{"localhost:1-65535", "127.0.0.1:" + fmt.Sprint(port(to)), "0.0.0.0/0:1-65535"}
	})
	t.Run("W30", func(t *testing.T) {
		other := goApp(t, h, "no net", nil)
		if got := ask(t, h, a, fmt.Sprintf("listen?on=127.0.0.1:%d", on), ""); got != "listening" {
			t.Fatalf("%q", got)
		}
		refused(t, h, a, fmt.Sprintf("listen?on=127.0.0.1:%d", on+1), "", sdk.ErrForbidden) // of the manifest, not of the host
		refused(t, h, other, fmt.Sprintf("listen?on=127.0.0.1:%d", on), "", sdk.ErrForbidden)
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", on))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := h.StopApp(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the end of the listener", func() bool { // a process that is being started has it for a moment
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", on))
			if err == nil {
				_ = c.Close()
			}
			return err != nil
		})
	})
	t.Run("W31", func(t *testing.T) {
		if got := ask(t, h, a, "dial?to="+to, "hello"); got != "hello" {
			t.Errorf("%q", got)
		}
		p := port(to)
		for _, where := range []string{fmt.Sprintf("127.0.0.1:%d", p+1), fmt.Sprintf("localhost:%d", p+1), fmt.Sprintf("127.0.0.2:%d", p), "10.0.0.1:80", "192.168.0.1:80",
			"169.254.169.254:80", "[::1]:80", "[::ffff:10.0.0.1]:80", "example.org:80"} {
			refused(t, h, a, "dial?to="+where, "hello", sdk.ErrForbidden)
			refused(t, h, a, "fetch?url=http://"+where+"/", "", sdk.ErrForbidden)
		}
	})
	t.Run("Log", func(t *testing.T) { floodOfTheLog(t, h, a) })
	t.Run("LargeReply", func(t *testing.T) { largeReplies(t, h) })
}

// floodOfTheLog: a guest that logs without end has a bounded log, whose drops are counted, and harms nobody.
func floodOfTheLog(t *testing.T, h *host.Host, a string) {
	const lines = 20_000
	text := strings.Repeat("x", 100)
	if got := ask(t, h, a, fmt.Sprint("log?lines=", lines), text); got != fmt.Sprint(lines, " lines") {
		t.Errorf("%q", got)
	}
	last, dropped, err := h.AppLog(t.Context(), a, 0, 10, 0)
	if err != nil || len(last) != 10 || dropped == 0 {
		t.Fatalf("%d lines, %d bytes dropped, %v", len(last), dropped, err)
	}
	if !strings.HasPrefix(last[9].Text, "line 1") || !strings.HasSuffix(last[9].Text, text) {
		t.Errorf("the last line is %q", last[9].Text)
	}
	if got := app(t, h, a).LogDropped; got == 0 {
		t.Errorf("%d bytes dropped of %d", got, lines*100)
	}
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	_ = filepath.WalkDir(filepath.Join(s.DataDir, "logs"), func(_ string, d os.DirEntry, err error) error {
		if i, e := d.Info(); err == nil && e == nil && i.Mode().IsRegular() {
			size += i.Size()
		}
		return nil
	})
	if size > 256<<10 {
		t.Errorf("logs take %d bytes", size)
	}
}

// largeReplies: a reply may be longer than a call carries, up to the output that the manifest allows.
func largeReplies(t *testing.T, h *host.Host) {
	a := goApp(t, h, "large", func(m *manifest.Manifest) { m.MaxQueryBytes, m.Terms.Limits.OutputBytes = 4<<20, 2<<20 })
	for _, size := range []int{abi.MaxBytes, abi.MaxBytes + 1, 1 << 20, 2 << 20} {
		payload := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		if got := ask(t, h, a, "echo", payload); got != payload {
			t.Errorf("%d bytes of %d", len(got), size)
		}
	}
	refused(t, h, a, "echo", strings.Repeat("x", 2<<20+1), errors.New("the reply is too long"))
	if got := ask(t, h, a, "echo", "still there"); got != "still there" {
		t.Errorf("%q", got)
	}
}

// TestW32W33W34StorageSecretsLocks: what an app keeps is its own and outlives it; its secrets too; its locks are released by a crash.
func TestW32W33W34StorageSecretsLocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := host.Config{DataDir: dir, BallastBytes: host.NoLimit}
	var before [2]string
	for start := range 2 {
		h, err := host.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
			t.Fatal(err)
		}
		a, b := goApp(t, h, "one", nil), goApp(t, h, "two", nil)
		if secrets := [2]string{ask(t, h, a, "secret", "path"), ask(t, h, b, "secret", "path")}; start == 0 {
			before = secrets
			if secrets[0] == secrets[1] || len(secrets[0]) != 128 || ask(t, h, a, "secret", "other") == secrets[0] {
				t.Errorf("secrets %q", secrets)
			}
		} else if secrets != before {
			t.Errorf("secrets %q, before the restart %q", secrets, before)
		}
		if start == 1 {
			if got := ask(t, h, a, "kv?op=get&key=boot", ""); len(got) != abi.MaxKVValue {
				t.Errorf("%d bytes after the restart", len(got))
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			break
		}
		refused(t, h, a, "kv?op=put&key=boot", strings.Repeat("x", abi.MaxKVValue+1), sdk.ErrParam)
		ask(t, h, a, "kv?op=put&key=boot", strings.Repeat("x", abi.MaxKVValue))
		refused(t, h, b, "kv?op=get&key=boot", "", sdk.ErrNotFound)
		if _, err := h.RemoveApp(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if again := goApp(t, h, "one", nil); again != a {
			t.Errorf("the address is %s, was %s", again, a)
		}
		if got := ask(t, h, a, "kv?op=get&key=boot", ""); len(got) != abi.MaxKVValue {
			t.Errorf("%d bytes after another deployment", len(got))
		}
		facts := ask(t, h, a, "facts", "")
		s, err := h.Session(t.Context())
		if err != nil || !strings.Contains(facts, "worker session "+s.ID) || !strings.Contains(facts, "worker "+s.WorkerKey) || !strings.Contains(facts, "address "+a) {
			t.Errorf("%s is not of %+v", facts, s)
		}
		locks(t, h)
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

// locks: of two instances one has a lock until it crashes.
func locks(t *testing.T, h *host.Host) {
	m := appOf(t, h, "go-app", func(m *manifest.Manifest) { m.OnDemand, m.Resizable = false, true })
	a := deploy(t, h, m).Address
	if _, err := h.ResizeApp(t.Context(), a, 2); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "two instances", func() bool {
		n := 0
		for _, i := range app(t, h, a).Instances {
			if i.State == "running" {
				n++
			}
		}
		return n == 2
	})
	if got := ask(t, h, a, "lock?path=x", ""); got != "locked" { // requests go to the two in turn
		t.Errorf("%q", got)
	}
	refused(t, h, a, "lock?path=x", "", sdk.ErrPending)
	if _, err := replied(t, h, a, "crash", ""); err == nil {
		t.Error("a crash has an answer")
	}
	waitFor(t, "the end of one", func() bool { return app(t, h, a).Running == 1 })
	if got := ask(t, h, a, "lock?path=x", ""); got != "locked" {
		t.Errorf("after the crash of its holder: %q", got)
	}
}

// TestS40S41S42S43S44S45S46S47S48Channels: values pass between apps of one tenant, by the capabilities of their manifests and those that they hand on.
func TestS40S41S42S43S44S45S46S47S48Channels(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	grant := func(rights uint8) func(*manifest.Manifest) {
		return func(m *manifest.Manifest) {
			for _, name := range []string{"ch", "closing", "cancel"} {
				m.Terms.Grants.Channels = append(m.Terms.Grants.Channels, manifest.Capability{Name: name, Rights: rights})
			}
			m.Terms.Grants.Topics = []manifest.Capability{{Name: "news", Rights: rights &^ abi.RightClose}}
		}
	}
	sender, receiver := goApp(t, h, "sender", grant(abi.RightSend)), goApp(t, h, "receiver", grant(abi.RightRecv|abi.RightClose))
	all, none := goApp(t, h, "all", grant(abi.RightAll)), goApp(t, h, "none", nil)
	type reply struct {
		text string
		err  error
	}
	begin := func(a, path, payload string) <-chan reply {
		out := make(chan reply, 1)
		go func() {
			r, err := replied(t, h, a, path, payload)
			out <- reply{string(r.Output), err}
		}()
		return out
	}
	pending := func(c <-chan reply, d time.Duration) {
		t.Helper()
		select {
		case r := <-c:
			t.Fatalf("it has returned: %+v", r)
		case <-time.After(d):
		}
	}
	ask(t, h, sender, "count", "")
	ask(t, h, receiver, "count", "")
	t.Run("S40", func(t *testing.T) {
		sent := begin(sender, "send?name=ch&ms=30000", "hello")
		pending(sent, time.Second)
		if got := ask(t, h, receiver, "recv?name=ch", ""); got != "hello" {
			t.Errorf("%q", got)
		}
		if r := <-sent; r.text != "sent" || r.err != nil {
			t.Errorf("%+v", r)
		}
	})
	t.Run("S41S42", func(t *testing.T) {
		sent := begin(sender, "send?name=ch&n=1100&ms=30000", "")
		var got strings.Builder
		for range 11 { // the receiver is the slower one
			got.WriteString(ask(t, h, receiver, "recv?name=ch&n=100", ""))
		}
		var want strings.Builder
		for n := range 1100 {
			fmt.Fprintln(&want, n)
		}
		if got.String() != want.String() {
			t.Errorf("%d values came in another order, or not at all", strings.Count(got.String(), "\n"))
		}
		if r := <-sent; r.err != nil {
			t.Error(r.err)
		}
	})
	t.Run("S43", func(t *testing.T) {
		got := begin(receiver, "recv?name=closing&ms=30000", "")
		pending(got, 50*time.Millisecond)
		if r := ask(t, h, all, "closechan?name=closing", ""); r != "closed" {
			t.Errorf("%q", r)
		}
		if r := <-got; fault.CodeOf(r.err) != fault.GuestRefused || !strings.Contains(r.err.Error(), "closed") {
			t.Errorf("a receive from a closed channel: %+v", r)
		}
		refused(t, h, sender, "send?name=closing", "x", sdk.ErrClosed)
		refused(t, h, all, "closechan?name=closing", "", sdk.ErrCondition)
	})
	t.Run("S44", func(t *testing.T) {
		refused(t, h, sender, "send?name=cancel&ms=50", "late", sdk.ErrPending)
		left := begin(sender, "send?name=cancel&ms=30000", "killed")
		pending(left, 50*time.Millisecond)
		if _, err := h.StopApp(t.Context(), sender); err != nil {
			t.Fatal(err)
		}
		if r := <-left; r.err == nil {
			t.Errorf("%+v of an app that was stopped", r)
		}
		refused(t, h, receiver, "recv?name=cancel&ms=100", "", sdk.ErrPending)
		sent := begin(sender, "send?name=cancel&ms=30000", "alive")
		if got := ask(t, h, receiver, "recv?name=cancel&ms=30000", ""); got != "alive" {
			t.Errorf("%q", got)
		}
		<-sent
	})
	t.Run("S45", func(t *testing.T) {
		refused(t, h, sender, "recv?name=ch&ms=0", "", sdk.ErrForbidden)
		refused(t, h, sender, "closechan?name=ch", "", sdk.ErrForbidden)
		refused(t, h, receiver, "send?name=ch&ms=0", "x", sdk.ErrForbidden)
	})
	t.Run("S46", func(t *testing.T) {
		ask(t, h, receiver, "subscribe?name=news&buffer=4", "")
		if got := ask(t, h, sender, "publish?name=news&n=10", "news"); got != "dropped 6" {
			t.Errorf("%q", got)
		}
		if got := ask(t, h, receiver, "next?name=news", ""); got != "news, missed 6" {
			t.Errorf("%q", got)
		}
		refused(t, h, receiver, "publish?name=news", "x", sdk.ErrForbidden)
		refused(t, h, sender, "subscribe?name=news", "", sdk.ErrForbidden)
	})
	t.Run("S47", func(t *testing.T) {
		for _, path := range []string{"send?name=ch", "recv?name=ch", "closechan?name=ch", "publish?name=news", "subscribe?name=news"} {
			refused(t, h, none, path, "", sdk.ErrForbidden)
		}
	})
	t.Run("S48", func(t *testing.T) {
		handed := begin(sender, "hand?name=ch&as=mine&rights=1&ms=30000", "an end")
		if got := ask(t, h, receiver, "recv?name=ch&as=got", ""); got != "an end" {
			t.Errorf("%q", got)
		}
		if r := <-handed; r.err != nil {
			t.Fatal(r.err)
		}
		sent := begin(receiver, "send?name=got&ms=30000", "through it")
		if got := ask(t, h, sender, "recv?name=mine&ms=30000", ""); got != "through it" {
			t.Errorf("%q", got)
		}
		if r := <-sent; r.err != nil {
			t.Error(r.err)
		}
		refused(t, h, receiver, "recv?name=got&ms=0", "", sdk.ErrForbidden)
		refused(t, h, all, "send?name=got&ms=0", "x", sdk.ErrForbidden) // it has nothing of that name
	})
}
