package control_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

func TestTermsOfAChange(t *testing.T) {
	h := &fakeHost{}
	c := connect(t, h, control.Options{}).Origin("cli")
	var dry *client.DryRun
	if _, err := c.Pin(client.Under(t.Context(), client.Terms{DryRun: true}), keyA); !errors.As(err, &dry) || dry.Target != keyA || dry.Would.Would != "keeps an artifact" {
		t.Errorf("a dry run: %v", err)
	}
	if _, err := c.Pin(client.Under(t.Context(), client.Terms{Match: 7}), keyA); !errors.Is(err, fault.CallerStale) {
		t.Errorf("another generation: %v", err)
	}
	if len(h.calls) != 0 {
		t.Errorf("%v", h.calls)
	}
	for range 2 {
		if _, err := c.Pin(client.Under(t.Context(), client.Terms{Key: "k", Reason: "it is needed"}), keyA); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.calls) != 1 {
		t.Errorf("the same key did %v", h.calls)
	}
	p, err := c.Audit(t.Context(), client.Find{Query: "outcome=done"})
	if err != nil || len(p.Rows) != 2 || p.Rows[0].Reason != "it is needed" || p.Rows[0].Origin != "unix cli" || !p.Rows[1].DryRun {
		t.Errorf("%+v %v", p, err)
	}
}

// The path of an actor has slashes.
func (f *fakeHost) Actor(_ context.Context, path string) (inspect.ActorDetail, error) {
	return inspect.ActorDetail{Actor: inspect.Actor{Path: path}}, nil
}

func TestPathsOfActorsArriveWhole(t *testing.T) {
	c := connect(t, &fakeHost{}, control.Options{})
	for _, path := range []string{"troupe", "troupe/execute/worker-1", "troupe/a b/100%", "troupe/%2e"} {
		a, err := c.Actor(t.Context(), path)
		if err != nil || a.Path != path {
			t.Errorf("%q: %q %v", path, a.Path, err)
		}
	}
	for _, path := range []string{"../status", "troupe/../x", "troupe//x", "troupe\x00"} {
		if _, err := c.Actor(t.Context(), path); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestHeaderBombsAreRefused(t *testing.T) {
	socket := serve(t, &fakeHost{}, control.Options{})
	for _, bomb := range []string{"X: " + strings.Repeat("x", 1<<20), strings.Repeat("X: y\r\n", 1<<16)} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = fmt.Fprintf(conn, "GET /v1/status HTTP/1.1\r\nHost: troupe\r\n%s\r\n\r\n", bomb) }()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if strings.Contains(line, "200") {
			t.Errorf("%q", line)
		}
		_ = conn.Close()
	}
}

func TestTheGroupOfOperatorsMayOpenTheSocket(t *testing.T) {
	gid := os.Getegid()
	if os.Geteuid() == 0 {
		gid = 12345
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := control.ListenGroup(path, gid)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	go func() {
		if c, err := net.Dial("unix", path); err == nil {
			defer c.Close()
			_, _ = c.Read(make([]byte, 1))
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := api.PeerOf(c)
	groups, _ := os.Getgroups()
	slices.Sort(groups)
	slices.Sort(p.Groups)
	if err != nil || p.UID != os.Geteuid() || p.GID != os.Getegid() || !slices.Equal(groups, p.Groups) && len(p.Groups) > 0 || !p.In(os.Getegid()) {
		t.Errorf("%+v, groups %v: %v", p, groups, err)
	}
}
