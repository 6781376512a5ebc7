package host_test

import (
	"bytes"
	"testing"

	"github.com/troupehost/troupe/actors/record"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// TestARecordedHostReplays records runs, jobs and an app of a real host, and steps its cores with that again.
func TestARecordedHostReplays(t *testing.T) {
	h := appsHost(t, host.Config{RecordBytes: 64 << 20})
	q := host.Request{Code: guest(t, "small-call"), Entry: run.Entry{Mode: run.Bytes, Name: "call"}}
	for range 20 {
		execute(t, h, q)
	}
	m := appOf(t, h, "c-handler", nil)
	address := deploy(t, h, m).Address
	for range 5 {
		if got := ask(t, h, address, "x", "hello"); got != "hello" {
			t.Fatalf("%q", got)
		}
	}
	if _, err := h.StopApp(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := h.Recording(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	rep, err := record.Replay(&b, host.Recorded(), func(s record.Step) error { seen[s.Path]++; return nil })
	if err != nil || len(rep.Skipped) > 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
	for _, d := range rep.Differences {
		t.Errorf("%v", d)
	}
	for _, path := range []string{"troupe/cache", "troupe/prepare", "troupe/execute", "troupe/jobs", "troupe/sessions"} {
		if seen[path] == 0 {
			t.Errorf("nothing of %s: %v", path, seen)
		}
	}
}

// TestAHostRecordsNothingUnlessAsked holds that the default costs nothing and writes nothing.
func TestAHostRecordsNothingUnlessAsked(t *testing.T) {
	h := start(t, host.Config{})
	var b bytes.Buffer
	if err := h.Recording(t.Context(), &b); err != nil || b.Len() != 0 {
		t.Errorf("%d bytes, %v", b.Len(), err)
	}
}
