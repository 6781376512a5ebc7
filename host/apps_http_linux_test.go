package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// served serves the users of a host's apps, and returns where.
func served(t testing.TB, h *host.Host) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.ServeApps(l) }()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// client keeps its connections to itself, and ends them with the test.
func client(t testing.TB) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// fetched does a request and returns status and body.
func fetched(t testing.TB, c *http.Client, method, url string, header http.Header, body []byte) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range header {
		r.Header[name] = v
	}
	got, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got, string(b)
}

func granted(change func(*manifest.Grants)) func(*manifest.Manifest) {
	return func(m *manifest.Manifest) {
		m.Terms.Grants.HTTP = true
		if change != nil {
			change(&m.Terms.Grants)
		}
	}
}

// TestW35HTTPOfApps: each app has its route, whatever kind of program it is; bodies are streamed in both directions, and a
// WebSocket is a connection of the app's own.
func TestW35HTTPOfApps(t *testing.T) {
	h := appsHost(t, host.Config{})
	base, c := served(t, h), client(t)
	goApp := func(label string) string {
		return deploy(t, h, appOf(t, h, "go-app", func(m *manifest.Manifest) { granted(nil)(m); m.Label = label })).Address
	}
	first := goApp("first")
	t.Run("each its route", func(t *testing.T) {
		second := goApp("second")
		closed := deploy(t, h, appOf(t, h, "c-service", nil)).Address
		for _, row := range []struct {
			address, path, want string
			status              int
		}{
			{first, "/hello", "hello from an app\n", 200},
			{second, "/hello", "hello from an app\n", 200},
			{first, "/count", "2", 200},
			{first, "/count", "3", 200},
			{second, "/count", "2", 200}, // it has a state of its own
			{deploy(t, h, appOf(t, h, "c-handler", granted(nil))).Address, "", "hello from C, 1\n", 200},
			{deploy(t, h, appOf(t, h, "c-service", granted(nil))).Address, "/a?b", "1", 200},
			{closed, "/", "caller.denied", 403},
			{strings.Repeat("0", 64), "/", "caller.not_found", 404},
			{"0", "/", "caller.not_found", 404},
		} {
			got, body := fetched(t, c, "GET", base+"/app/"+row.address+row.path, nil, nil)
			if got.StatusCode != row.status || body != row.want && (row.status == 200 || !strings.Contains(body, `"`+row.want+`"`)) {
				t.Errorf("%.8s%s: %d %q, want %d %q", row.address, row.path, got.StatusCode, body, row.status, row.want)
			}
		}
	})
	t.Run("command as CGI", func(t *testing.T) {
		address := deploy(t, h, appOf(t, h, "c-cgi", granted(nil))).Address
		got, body := fetched(t, c, "POST", base+"/app/"+address+"/x/y?q=1", nil, []byte("its input"))
		for _, want := range []string{"POST", "/x/y", "q=1", "its input"} {
			if got.StatusCode != 200 || !strings.Contains(body, want) {
				t.Errorf("%d %q, want %q in it", got.StatusCode, body, want)
			}
		}
	})
	t.Run("streams both ways", func(t *testing.T) {
		out, in := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "POST", base+"/app/"+first+"/echo", out)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.WriteString(in, "piece 0\n") }()
		got, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		for n := range 20 { // each piece comes back before the next one is sent
			piece := fmt.Sprintf("piece %d\n", n)
			b := make([]byte, len(piece))
			if _, err := io.ReadFull(got.Body, b); err != nil || string(b) != piece {
				t.Fatalf("%q, %v, want %q", b, err, piece)
			}
			if _, err := fmt.Fprintf(in, "piece %d\n", n+1); err != nil {
				t.Fatal(err)
			}
		}
		_ = in.Close()
		if rest, err := io.ReadAll(got.Body); err != nil || string(rest) != "piece 20\n" {
			t.Errorf("%q, %v", rest, err)
		}
	})
	t.Run("WebSocket", func(t *testing.T) {
		ws := webSocket(t, base+"/app/"+first+"/ws")
		for _, text := range []string{"one", strings.Repeat("x", 200_000)} {
			if err := ws.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if kind, b, err := ws.Read(t.Context()); err != nil || kind != websocket.MessageText || string(b) != text {
				t.Fatalf("%v, %d bytes, %v", kind, len(b), err)
			}
		}
		if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	})
	t.Run("a WebSocket that never closes ends with its app", func(t *testing.T) {
		t.Parallel() // to stop an app that does not listen takes a second
		address := goApp("removed")
		ws := webSocket(t, base+"/app/"+address+"/ws")
		if err := ws.Write(t.Context(), websocket.MessageBinary, []byte("there")); err != nil {
			t.Fatal(err)
		}
		if _, b, err := ws.Read(t.Context()); err != nil || string(b) != "there" {
			t.Fatalf("%q, %v", b, err)
		}
		total, err := h.RemoveApp(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if total.NetworkIngress < 5 || total.NetworkEgress < 5 {
			t.Errorf("its bytes are not counted: %+v", total)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, b, err := ws.Read(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("it goes on: %q, %v", b, err)
		}
		if got, _ := fetched(t, c, "GET", base+"/app/"+address+"/hello", nil, nil); got.StatusCode != 404 {
			t.Errorf("status %d of an app that was removed", got.StatusCode)
		}
	})
	t.Run("a client that stops reading", func(t *testing.T) {
		t.Parallel() // to stop an app that does not listen takes a second
		address := goApp("stuck")
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "POST /app/%s/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", address); err != nil {
			t.Fatal(err)
		}
		chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", 64<<10, bytes.Repeat([]byte("y"), 64<<10)))
		sent := 0
		for ; ; sent++ { // until nobody takes any more: what comes back is not read
			_ = conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			if _, err := conn.Write(chunk); err != nil {
				break
			}
			if sent > 9<<20/len(chunk) {
				t.Fatal("9 MiB went somewhere, and nobody reads")
			}
		}
		for range 3 { // the instance still serves others
			if got, body := fetched(t, c, "GET", base+"/app/"+address+"/hello", nil, nil); got.StatusCode != 200 || !strings.HasPrefix(body, "hello") {
				t.Fatalf("%d %q beside a client that does not read", got.StatusCode, body)
			}
		}
		begin := time.Now()
		if _, err := h.StopApp(t.Context(), address); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("to stop the app took %v", took)
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) { // a reset is an end as well
			t.Error("the connection outlives the app")
		}
	})
}

func webSocket(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = ws.CloseNow() })
	return ws
}
