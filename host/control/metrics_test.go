package control_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/client"
)

// countingHost has metrics: as many lines as are wanted, or an error.
type countingHost struct {
	fakeHost
	lines   int
	err     error
	entered chan struct{} // may be nil
}

func (h *countingHost) WriteMetrics(_ context.Context, w io.Writer) error {
	if h.err != nil {
		return h.err
	}
	if h.entered != nil {
		h.entered <- struct{}{}
	}
	_, err := io.WriteString(w, strings.Repeat("troupe_ready 1\n", h.lines))
	return err
}

func TestMetrics(t *testing.T) {
	h := &countingHost{lines: 3}
	c := connect(t, h, control.Options{Version: "v9"})
	var b bytes.Buffer
	if err := c.Metrics(t.Context(), &b); err != nil || b.String() != strings.Repeat("troupe_ready 1\n", 3) {
		t.Errorf("%q, %v", b.String(), err)
	}
	h.err = fault.New(fault.CallerClosed, "host", "", nil)
	if err := c.Metrics(t.Context(), &b); !errors.Is(err, fault.CallerClosed) {
		t.Error(err)
	}
}

// TestMetricsAreWhatPrometheusTakes looks at the reply itself.
func TestMetricsAreWhatPrometheusTakes(t *testing.T) {
	conn, err := net.Dial("unix", serve(t, &countingHost{lines: 1}, control.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) || !bytes.Contains(b, []byte("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n")) ||
		!bytes.HasSuffix(b, []byte("\r\n\r\ntroupe_ready 1\n")) {
		t.Errorf("%s", b)
	}
}

// TestSlowScraperIsCutOff: who asks and does not take the answer loses the only slot after a while.
func TestSlowScraperIsCutOff(t *testing.T) {
	h := &countingHost{lines: 1 << 20, entered: make(chan struct{}, 1)}
	socket := serve(t, h, control.Options{PlainTimeout: 300 * time.Millisecond, MaxRequests: 1})
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-h.entered
	c := client.New(socket, 0)
	for c.Ready(t.Context()) != nil { // until the slot is free
		if t.Context().Err() != nil {
			t.Fatal("the slot is never free")
		}
	}
	b, err := io.ReadAll(conn)
	if len(b) >= 1<<20*len("troupe_ready 1\n") {
		t.Errorf("%d bytes, %v: all of it", len(b), err)
	}
}
