package guest_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/internal/calls"
)

// echo is a server that sends back what it gets.
func echo(t testing.TB) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// TestConformance: each function of the module does what the guest that calls them all expects, and none is skipped.
func TestConformance(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a page") }))
	defer page.Close()
	to := echo(t)
	port := freePort(t)
	hash := "sha256:" + strings.Repeat("ab", 32)
	r := start(t, "conformance", calls.Config{Net: loopback, BlobReader: blobs{hash: []byte("a blob")}, ListenRange: manifest.Ports{From: port, To: port}}, calls.AppConfig{
		Config: []byte("blob=" + hash + "\necho=" + to + "\nhttp=" + page.URL + "/\nlisten=127.0.0.1:" + portText(port)),
		Blobs:  []string{hash},
		Grants: manifest.Grants{
			Egress:   []string{"127.0.0.0/8:1-65535"},
			Listen:   []manifest.Ports{{From: port, To: port}},
			Channels: []manifest.Capability{{Name: "chan", Rights: abi.RightAll}, {Name: "send-only", Rights: abi.RightSend}},
			Topics:   []manifest.Capability{{Name: "topic", Rights: abi.RightSend | abi.RightRecv}},
		},
	})
	var want []string
	for _, f := range abi.TroupeFunctions {
		want = append(want, f.Name)
	}
	have := strings.Fields(r.query("conformance/list", ""))
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(have, want) {
		t.Errorf("the guest checks %v, not %v", have, want)
	}
	total := 0
	judge := func(name, answer string) {
		if !strings.HasSuffix(answer, "\n") {
			t.Errorf("%s: %q", name, answer)
		}
		for line := range strings.Lines(answer) {
			if total++; !strings.HasSuffix(line, ": ok\n") {
				t.Error(strings.TrimSpace(line))
			}
		}
	}
	for _, name := range want {
		judge(name, r.query("conformance/"+name, "a payload"))
	}
	c := r.request("POST /conformance HTTP/1.1\nHost: x\nContent-Length: 4", strings.NewReader("body"))
	<-c.closed
	if c.status != 200 || c.body.String() != "conformance\n" || !strings.Contains(c.header, "text/plain") {
		t.Errorf("%d %q %q", c.status, c.header, c.body.String())
	}
	judge("http", r.query("conformance/http", ""))
	if total < 250 {
		t.Errorf("only %d checks", total)
	}
	if got := r.query("conformance/none", ""); got != "1 no such check" {
		t.Errorf("%q", got)
	}
}
