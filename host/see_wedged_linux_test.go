package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
)

// TestAWedgedActorIsSeen: an actor whose handler does not return is shown with what it handles and since when, and keeps nobody from
// looking at it.
func TestAWedgedActorIsSeen(t *testing.T) {
	h := start(t, host.Config{})
	waitFor(t, "the index to be read, which lists wait for", func() bool {
		seen, err := h.Inspect(t.Context())
		return err == nil && !slices.ContainsFunc(seen.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" })
	})
	before := time.Now()
	release, err := h.Wedge()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	handles := func(a *inspect.Actor) bool {
		return a.State == "busy" && a.Handling == "cache.List" && !a.HandledAt.Before(before.Add(-time.Second))
	}
	waitFor(t, "the message to be handled", func() bool {
		d, err := h.Actor(t.Context(), "troupe/cache")
		return err == nil && handles(&d.Actor)
	})
	begin := time.Now()
	seen, err := h.Inspect(t.Context()) // it waits for a second
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("a look took %v", took)
	}
	n := slices.IndexFunc(seen.Actors, func(a inspect.Actor) bool { return a.Path == "troupe/cache" })
	if n < 0 || !handles(&seen.Actors[n]) {
		t.Errorf("%+v", seen.Actors)
	}
	n = slices.IndexFunc(seen.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" })
	if n < 0 || !strings.Contains(seen.Health[n].Message, "cache") {
		t.Errorf("%+v", seen.Health)
	}
	if len(seen.Queues) != 3 {
		t.Errorf("%+v", seen.Queues)
	}
	if _, err := h.Guests(t.Context()); err != nil {
		t.Error(err)
	}
	e, err := h.Explain(t.Context(), "troupe/cache")
	if err != nil || e.Kind != "actor" || !strings.Contains(e.Summary, "cache.List") || len(e.Because) == 0 {
		t.Errorf("%+v, %v", e, err)
	}
	release()
	waitFor(t, "the actor to go on", func() bool {
		seen, err := h.Inspect(t.Context())
		return err == nil && !slices.ContainsFunc(seen.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" })
	})
}

// TestABundleOfAWedgedHost: while an actor is wedged a bundle has it, what it handles, and all that others say.
func TestABundleOfAWedgedHost(t *testing.T) {
	h := start(t, host.Config{})
	waitFor(t, "the index to be read, which lists wait for", func() bool {
		seen, err := h.Inspect(t.Context())
		return err == nil && !slices.ContainsFunc(seen.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" })
	})
	release, err := h.Wedge()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	waitFor(t, "the message to be handled", func() bool {
		d, err := h.Actor(t.Context(), "troupe/cache")
		return err == nil && d.Handling == "cache.List"
	})
	const limit = 10 * time.Second
	begin := time.Now()
	b, _, err := bundle.Collect(t.Context(), h, bundle.Extra{Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 2*limit {
		t.Errorf("it took %v", took)
	}
	n := slices.IndexFunc(b.Actors, func(a inspect.ActorDetail) bool { return a.Path == "troupe/cache" })
	if n < 0 || b.Actors[n].Handling != "cache.List" || len(b.Actors[n].Flights) == 0 {
		t.Errorf("%+v", b.Actors)
	}
	if !slices.ContainsFunc(b.Host.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" }) || len(b.Host.Queues) != 3 || len(b.Log) == 0 {
		t.Errorf("%+v, %d lines of log, missing %v", b.Host, len(b.Log), b.Missing)
	}
}

// TestAWedgedActorIsSeenByHTTP: so is it by the control API, in the list, in a query and by itself, and what else is asked is answered.
func TestAWedgedActorIsSeenByHTTP(t *testing.T) {
	h := start(t, host.Config{})
	listener, dial := control.Pair()
	server := control.New(h, control.Options{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	get := func(path string, into any) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+api.HostName+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}}
		reply, err := c.Do(r)
		if err != nil {
			return err
		}
		defer reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			return errors.New(reply.Status)
		}
		return json.NewDecoder(reply.Body).Decode(into)
	}
	waitFor(t, "the index to be read, which lists wait for", func() bool {
		seen, err := h.Inspect(t.Context())
		return err == nil && !slices.ContainsFunc(seen.Health, func(w inspect.Health) bool { return w.Code == "inspect.partial" })
	})
	before := time.Now().Add(-time.Second)
	release, err := h.Wedge()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	// As it is on the wire: names and values that scripts go by.
	type row struct {
		Path     string    `json:"path"`
		State    string    `json:"state"`
		Handling string    `json:"handling"`
		Since    time.Time `json:"handling_since"`
	}
	wedged := func(r row) bool {
		return r.Path == "troupe/cache" && r.State == "busy" && r.Handling == "cache.List" && r.Since.After(before) && r.Since.Before(time.Now().Add(time.Second))
	}
	var first row
	waitFor(t, "the message to be handled", func() bool { return get("/v1/actor/troupe/cache", &first) == nil && wedged(first) })
	for _, query := range []string{"", "?q=" + url.QueryEscape("path=troupe/cache"), "?q=" + url.QueryEscape("state=busy handling=cache.List")} {
		var page struct{ Rows []row }
		if err := get("/v1/actors"+query, &page); err != nil {
			t.Errorf("%s: %v", query, err)
		} else if n := slices.IndexFunc(page.Rows, wedged); n < 0 {
			t.Errorf("%s: it is not in %+v", query, page.Rows)
		} else if !page.Rows[n].Since.Equal(first.Since) {
			t.Errorf("%s: it handles that since %v, and since %v", query, first.Since, page.Rows[n].Since)
		}
	}
	var said inspect.Explanation
	if err := get("/v1/explain/"+url.PathEscape("troupe/cache"), &said); err != nil || !strings.Contains(said.Summary, "cache.List") {
		t.Errorf("%+v, %v", said, err)
	}
	var any json.RawMessage
	for _, path := range []string{"/livez", "/v1/status", "/v1/queues", "/v1/workers", "/v1/health"} {
		if err := get(path, &any); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	release()
	waitFor(t, "the actor to go on", func() bool {
		var now row
		return get("/v1/actor/troupe/cache", &now) == nil && now.Handling == ""
	})
}
