package guest_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/internal/calls"
)

func app(t testing.TB, grants manifest.Grants) *rig {
	t.Helper()
	return start(t, "go-app", calls.Config{}, calls.AppConfig{Config: []byte("configured"), Grants: grants})
}

func (r *rig) get(target string) *caller {
	r.t.Helper()
	c := r.request("GET "+target+" HTTP/1.1\nHost: x", strings.NewReader(""))
	<-c.closed
	return c
}

// TestGoServiceAnswersQueries: by path, with the payload, the origin and failures of its own.
func TestGoServiceAnswersQueries(t *testing.T) {
	r := app(t, manifest.Grants{})
	derived := keys{}.Secret(address, []byte("path"))
	for _, c := range []struct{ path, payload, want string }{
		{"echo", "a payload", "a payload"},
		{"echo", strings.Repeat("long ", 20000), strings.Repeat("long ", 20000)},
		{"echo", "", ""},
		{"echo", strings.Repeat("x", 3*abi.MaxBytes+1), strings.Repeat("x", 3*abi.MaxBytes+1)},
		{"echo", strings.Repeat("x", mostReply+1), "1 the reply is too long"},
		{"origin", "", "0badcafe"},
		{"fail", "", "7 asked to fail"},
		{"count", "", "8"},
		{"kv?op=get&key=a", "", "1 not found"},
		{"kv?op=put&key=a", "value", ""},
		{"kv?op=put&key=a%2fb", strings.Repeat("v", 9000), ""},
		{"kv?op=get&key=a", "", "value"},
		{"kv?op=get&key=a/b", "", strings.Repeat("v", 9000)},
		{"kv?op=list&key=", "", "a\na/b"},
		{"kv?op=delete&key=a", "", ""},
		{"kv?op=list&key=", "", "a/b"},
		{"total", "", "1"},
		{"total", "", "2"},
		{"tip?amount=7", "", ""},
		{"secret", "path", hex.EncodeToString(derived[:])},
		{"timer?ms=1", "", "due"},
		{"sleep?ms=1", "", "slept"},
		{"lock?path=x", "", "locked"},
		{"lock?path=x", "", "1 exists already"},
		{"send?name=none", "", "1 not granted"},
		{"fetch?url=http://203.0.113.1/", "", "1 not granted"},
		{"dial?to=203.0.113.1:1", "", "1 not granted"},
		{"listen?on=:1", "", "1 not granted"},
		{"blob?hash=sha256:00", "", "1 not granted"},
	} {
		if got := r.query(c.path, c.payload); got != c.want {
			t.Errorf("%s: %.100q, want %.100q", c.path, got, c.want)
		}
	}
	signature, err := hex.DecodeString(r.query("sign", "data"))
	if err != nil || !meter.Verify(worker.Public(), meter.AppMessage(address, []byte("data")), signature) {
		t.Errorf("%x, %v", signature, err)
	}
	public := worker.Public()
	facts := r.query("facts", "")
	for _, want := range []string{"address 010203", "session 04", "worker " + hex.EncodeToString(public[:]) + "\n", "worker session 05", "instance 9\n", "label test\n", "config configured\n", "storage 0 of 1048576\n"} {
		if !strings.Contains(facts, want) {
			t.Errorf("no %q in %q", want, facts)
		}
	}
	if got := r.query("log?lines=3", "text"); got != "3 lines" || len(r.log.text) != 3 || r.log.text[2] != "line 2: text" {
		t.Errorf("%q, %q", got, r.log.text)
	}
	a, b := r.query("burn?rounds=3", ""), r.query("burn?rounds=3", "")
	if a != b || !strings.HasPrefix(a, "3 rounds, ") {
		t.Errorf("%q, %q", a, b)
	}
}

// TestGoServiceSilentQueryHoldsNobodyUp: others are answered while one is not.
func TestGoServiceSilentQueryHoldsNobodyUp(t *testing.T) {
	r := app(t, manifest.Grants{})
	silent := r.ask("silent", "")
	for n := range 5 {
		if got := r.query("echo", fmt.Sprint(n)); got != fmt.Sprint(n) {
			t.Errorf("%q", got)
		}
	}
	select {
	case <-silent.closed:
		t.Error("the silent one was answered")
	default:
	}
}

// TestGoServiceServesHTTP: routes, status, header, and lengths.
func TestGoServiceServesHTTP(t *testing.T) {
	r := app(t, manifest.Grants{})
	for _, c := range []struct {
		target string
		status uint32
		body   string
	}{
		{"/hello", 200, "hello from an app\n"},
		{"/app/0102/hello?x=1", 200, "hello from an app\n"},
		{"/none", 404, ""},
		{"/kv?key=none", 500, "not found\n"},
		{"/count", 200, "5"},
		{"/header", 200, "Host: x\n"},
		{"/ws", 426, ""},
	} {
		got := r.get(c.target)
		if got.status != c.status || got.body.String() != c.body || got.why != nil {
			t.Errorf("%s: %d %q %v", c.target, got.status, got.body.String(), got.why)
		}
		if want := fmt.Sprintf("Content-Length: %d\r\n", len(c.body)); !strings.Contains(got.header, want) {
			t.Errorf("%s: no %q in %q", c.target, want, got.header)
		}
	}
	bad := r.request("GET HTTP/1.1", strings.NewReader(""))
	if <-bad.closed; bad.status != 400 {
		t.Errorf("%d", bad.status)
	}
}

// TestGoServiceStreams: what was sent comes back before more is sent, from two at a time.
func TestGoServiceStreams(t *testing.T) {
	r := app(t, manifest.Grants{})
	var ins [2]*io.PipeWriter
	var outs [2]*caller
	for i := range ins {
		in, out := io.Pipe()
		ins[i] = out
		outs[i] = r.request("POST /echo HTTP/1.1\nHost: x", in)
	}
	for round := range 20 {
		for i := range ins {
			part := strings.Repeat(fmt.Sprint(round, i, " "), 1000)
			go func() { _, _ = io.WriteString(ins[i], part) }()
			if got := outs[i].next(t, len(part)); got != part {
				t.Fatalf("round %d: %.40q", round, got)
			}
		}
	}
	for i := range ins {
		_ = ins[i].Close()
		<-outs[i].closed
		if outs[i].body.Len() != 0 || outs[i].status != 200 || outs[i].why != nil {
			t.Errorf("%d %v", outs[i].status, outs[i].why)
		}
	}
}

// frame is a frame of a client, masked.
func frame(op byte, data string) []byte {
	b := []byte{0x80 | op}
	switch n := len(data); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	default:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	}
	mask := []byte{1, 2, 3, 4}
	b = append(b, mask...)
	for i := range data {
		b = append(b, data[i]^mask[i&3])
	}
	return b
}

// TestGoServiceWebSocket: messages, long ones and pieces, a ping, and the end.
func TestGoServiceWebSocket(t *testing.T) {
	r := app(t, manifest.Grants{})
	in, out := io.Pipe()
	key := base64.StdEncoding.EncodeToString(make([]byte, 16))
	c := r.request("GET /ws HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: "+key, in)
	send := func(b []byte) { go func() { _, _ = out.Write(b) }() }
	send(frame(1, "hello"))
	if got := c.next(t, 7); got != "\x81\x05hello" {
		t.Errorf("%q", got)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if want := "Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]); c.status != 101 || !strings.Contains(c.header, want) {
		t.Errorf("%d %q", c.status, c.header)
	}
	long := strings.Repeat("x", 40000)
	send(frame(2, long))
	if got := c.next(t, 4+len(long)); got != "\x82\x7e\x9c\x40"+long {
		t.Errorf("%.10q", got)
	}
	first := frame(1, "in ")
	first[0] &^= 0x80
	send(bytes.Join([][]byte{first, frame(9, "?"), frame(0, "pieces")}, nil))
	if got := c.next(t, 3+11); got != "\x8a\x01?\x81\x09in pieces" {
		t.Errorf("%q", got)
	}
	if got := r.query("echo", "meanwhile"); got != "meanwhile" {
		t.Errorf("%q", got)
	}
	send(frame(8, "\x03\xe8"))
	if got := c.next(t, 4); got != "\x88\x02\x03\xe8" {
		t.Errorf("%q", got)
	}
	<-c.closed
	if c.why != nil {
		t.Error(c.why)
	}
}

// TestGoServiceConnection: a TLS connection that came by its server name.
func TestGoServiceConnection(t *testing.T) {
	r := app(t, manifest.Grants{})
	in, out := io.Pipe()
	c := r.deliver(calls.Event{Kind: abi.EventConnection, Head: []byte("name.example\n192.0.2.1:5"), Body: in})
	greeting := "this is name.example, you are 192.0.2.1:5\n"
	if got := c.next(t, len(greeting)); got != greeting {
		t.Errorf("%q", got)
	}
	go func() { _, _ = io.WriteString(out, "ping") }()
	if got := c.next(t, 4); got != "ping" {
		t.Errorf("%q", got)
	}
	_ = out.Close()
	<-c.closed
}

// TestGoServiceNetwork: it fetches, dials and listens where it may.
func TestGoServiceNetwork(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		w.WriteHeader(201)
		fmt.Fprintf(w, "%s %s %s", q.Method, q.URL, body)
	}))
	defer page.Close()
	port := freePort(t)
	r := start(t, "go-app", calls.Config{Net: loopback, ListenRange: manifest.Ports{From: 1, To: 65535}}, calls.AppConfig{Grants: manifest.Grants{
		Egress: []string{"127.0.0.0/8:1-65535"}, Listen: []manifest.Ports{{From: port, To: port}},
	}})
	if got := r.query("fetch?url="+page.URL+"/path", ""); got != "201 GET /path " {
		t.Errorf("%q", got)
	}
	if got := r.query("fetch?url="+page.URL+"/path", "a body"); got != "201 POST /path a body" {
		t.Errorf("%q", got)
	}
	if got := r.query("dial?to="+echo(t), "ping"); got != "ping" {
		t.Errorf("%q", got)
	}
	on := "127.0.0.1:" + portText(port)
	if got := r.query("listen?on="+on, ""); got != "listening" {
		t.Fatalf("%q", got)
	}
	// The dial waits within the host for as long as it takes, and what listens is woken by the read that follows.
	if got := r.query("dial?to="+on, "to myself"); got != "to myself" {
		t.Errorf("%q", got)
	}
}

// TestGoServiceChannels: two instances send and receive, hand a weaker end over, and see a close.
func TestGoServiceChannels(t *testing.T) {
	grants := manifest.Grants{
		Channels: []manifest.Capability{{Name: "c", Rights: abi.RightAll}},
		Topics:   []manifest.Capability{{Name: "t", Rights: abi.RightSend | abi.RightRecv}},
	}
	a := app(t, grants)
	b := a.another()
	// A send stops its instance until somebody receives, so the receiver comes first.
	got := b.ask("recv?name=c&n=100", "")
	if s := a.query("send?name=c&n=100", ""); s != "sent" {
		t.Errorf("%q", s)
	}
	<-got.closed
	var want strings.Builder
	for n := range 100 {
		fmt.Fprintln(&want, n)
	}
	if got.body.String() != want.String() {
		t.Errorf("%q", got.body.String())
	}
	handed := b.ask("recv?name=c&as=mine", "")
	if s := a.query("hand?name=c&as=made&rights=1", "here"); s != "handed" {
		t.Errorf("%q", s)
	}
	if <-handed.closed; handed.body.String() != "here" {
		t.Errorf("%q", handed.body.String())
	}
	if s := b.query("recv?name=mine&ms=0", ""); s != "1 not granted" {
		t.Errorf("%q", s)
	}
	if s := b.query("closechan?name=mine", ""); s != "1 not granted" {
		t.Errorf("%q", s)
	}
	got = a.ask("recv?name=made", "")
	if s := b.query("send?name=mine", "by the end that was handed over"); s != "sent" {
		t.Errorf("%q", s)
	}
	if <-got.closed; got.body.String() != "by the end that was handed over" {
		t.Errorf("%q", got.body.String())
	}
	waits := b.ask("recv?name=c&ms=60000", "")
	if s := b.query("echo", "b waits and serves"); s != "b waits and serves" {
		t.Errorf("%q", s)
	}
	if s := a.query("closechan?name=c", ""); s != "closed" {
		t.Errorf("%q", s)
	}
	if <-waits.closed; waits.body.String() != "closed" || waits.status != 1 {
		t.Errorf("%q", waits.body.String())
	}
	if s := a.query("closechan?name=c", ""); s != "1 not in this state" {
		t.Errorf("%q", s)
	}

	if s := b.query("subscribe?name=t&buffer=2", ""); s != "subscribed" {
		t.Errorf("%q", s)
	}
	if s := a.query("publish?name=t&n=5", "news"); s != "dropped 3" {
		t.Errorf("%q", s)
	}
	if s := b.query("next?name=t", ""); s != "news, missed 3" {
		t.Errorf("%q", s)
	}
}

// TestGoServiceEnds: as its host says, by its own exit, or by a panic.
func TestGoServiceEnds(t *testing.T) {
	r := app(t, manifest.Grants{})
	waits := r.ask("recv?name=none", "")
	<-waits.closed
	r.inst.Stop()
	if <-r.ended; r.out.Fault != nil || r.out.Exited && r.out.Exit != 0 {
		t.Errorf("%+v", r.out)
	}
	r = app(t, manifest.Grants{})
	c := r.ask("exit?code=5", "")
	<-r.ended
	if <-c.closed; r.out.Exit != 5 || !r.out.Exited || c.why == nil {
		t.Errorf("%+v %v", r.out, c.why)
	}
	r = app(t, manifest.Grants{})
	c = r.get("/crash")
	<-r.ended
	if c.why == nil || r.out.Exit != 2 {
		t.Errorf("%+v %v", r.out, c.why)
	}
}

// TestGoServiceHarms: what a bad guest does ends with it, and another instance goes on.
func TestGoServiceHarms(t *testing.T) {
	a := app(t, manifest.Grants{})
	b := a.another()
	if got := a.query("lock?path=x", ""); got != "locked" {
		t.Errorf("%q", got)
	}
	if got := b.query("lock?path=x", ""); got != "1 not within the timeout" {
		t.Errorf("%q", got)
	}
	crashed := a.ask("crash", "")
	<-crashed.closed
	if got := b.query("lock?path=x&ms=5000", ""); got != "locked" {
		t.Errorf("after the crash of its holder: %q", got)
	}
	grown := b.ask("grow", "")
	<-grown.closed
	<-b.ended
	if code := fault.CodeOf(b.out.Fault); grown.why == nil || code != fault.GuestMemory && code != fault.GuestExit {
		t.Errorf("%v, %v", grown.why, b.out.Fault)
	}
}

// TestGoServiceOneByOne: without Concurrent, a query that waits holds the others up, and each is answered in its turn.
func TestGoServiceOneByOne(t *testing.T) {
	r := start(t, "go-app", calls.Config{}, calls.AppConfig{}, "1")
	var all []*caller
	for n := range 10 {
		all = append(all, r.ask("timer?ms=1", ""), r.ask("count", fmt.Sprint(n)))
	}
	for n, c := range all {
		<-c.closed
		want := "due"
		if n%2 == 1 {
			want = fmt.Sprint(n + 1)
		}
		if c.body.String() != want {
			t.Errorf("%d: %q", n, c.body.String())
		}
	}
	c := r.request("POST /echo HTTP/1.1\nHost: x", strings.NewReader(strings.Repeat("z", 100000)))
	if <-c.closed; c.body.Len() != 100000 {
		t.Errorf("%d bytes", c.body.Len())
	}
	r.inst.Stop()
	if <-r.ended; r.out.Fault != nil {
		t.Error(r.out.Fault)
	}
}

// loopback is a network whose host lets apps connect to itself.
var loopback = calls.Net{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
