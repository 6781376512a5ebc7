package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// What follows from something else is hidden behind it, and errors come first.
func TestVisibleHealth(t *testing.T) {
	at := time.Now()
	all := []inspect.Health{{Code: "jobs.unwritten", Level: "warning", Since: at}, {Code: "sandbox.partial", Level: "warning", Since: at}, {Code: "disk.short", Level: "warning", Since: at}}
	got := visible(all)
	if len(got) != 2 || got[0].Code != "disk.short" || got[1].Code != "sandbox.partial" {
		t.Errorf("%+v", got)
	}
	if got := visible(all[:2]); len(got) != 2 {
		t.Errorf("its cause is not there: %+v", got)
	}
}

// The states, words and numbers of a plugin. Guests and hosts cannot break its line.
func TestPluginHealth(t *testing.T) {
	host := func(change func(*inspect.Host)) inspect.Host {
		h := inspect.Host{Ready: true, Store: inspect.Store{Bytes: 1, LimitBytes: 2, FreeBytes: 3, ReserveBytes: 4}}
		change(&h)
		return h
	}
	with := func(code, message string) inspect.Host {
		return host(func(h *inspect.Host) { h.Health = []inspect.Health{{Code: code, Level: "warning", Message: message}} })
	}
	for name, tt := range map[string]struct {
		host inspect.Host
		err  error
		code int
		line string
	}{
		"well":        {host(func(*inspect.Host) {}), nil, 0, "TROUPE OK - ready | requests=0;;;0 waiting=0;;;0 "},
		"a warning":   {with("sandbox.partial", "a|b\nc\x1b[2J"), nil, 1, "TROUPE WARNING - sandbox.partial: a/b c\uFFFD[2J | requests=0"},
		"an error":    {with("disk.short", "full"), nil, 2, "TROUPE CRITICAL - disk.short: full | "},
		"draining":    {host(func(h *inspect.Host) { h.Ready, h.Draining = false, true }), nil, 1, "TROUPE WARNING - draining | "},
		"nobody":      {inspect.Host{}, fault.New(fault.CallerUnreachable, "connect", "", nil), 2, "TROUPE CRITICAL - connect: no host answers\n"},
		"not allowed": {inspect.Host{}, fault.New(fault.CallerDenied, "connect", "", nil), 3, "TROUPE UNKNOWN - connect: not allowed\n"},
	} {
		c := newConsole(t, &fakeHost{})
		err := c.pluginHealth(tt.host, tt.err)
		code := 0
		if e, ok := errors.AsType[exit](err); ok {
			code = e.code
		}
		if code != tt.code || !strings.HasPrefix(c.out.String(), tt.line) || strings.Count(c.out.String(), "\n") != 1 {
			t.Errorf("%s: %d, %q", name, code, c.out.String())
		}
	}
}
