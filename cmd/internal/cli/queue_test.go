package cli

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
)

func queues() []inspect.Queue {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d - 30*time.Second) }
	up := []inspect.Escalation{
		{At: ago(9 * time.Minute), From: "background", To: "normal", By: "execute of uid:0"},
		{At: ago(2 * time.Minute), From: "normal", To: "critical", By: "precheck of uid:7"},
	}
	return []inspect.Queue{
		{
			Name: "prepare", Cap: 256, Parked: map[string]int{"normal": 1}, Running: 2, Workers: 2, Soft: 1, Hard: 2, OldestAt: ago(time.Hour),
			Preparations: []inspect.Preparation{
				{Job: 3, Artifact: hash, CodeHash: hash, Tenant: "uid:0", Priority: "critical", State: "running", Since: ago(10 * time.Minute), StartedAt: ago(time.Minute), BudgetCPU: 6e7, Escalations: up},
				{Job: 2, Artifact: hash, CodeHash: hash, Tenant: "uid:0", Priority: "normal", State: "held", Since: ago(time.Hour), StartedAt: ago(5 * time.Minute), BudgetCPU: 36e7, Held: "nice+autogroup"},
				{Job: 4, Artifact: hash, CodeHash: hash, Tenant: "uid:7", Priority: "normal", State: "parked", Since: ago(time.Minute), BudgetCPU: 36e7},
			},
		},
		{Name: "execute", Cap: 1024, Parked: map[string]int{"critical": 1, "high": 2, "normal": 3, "background": 4}, Running: 4, Workers: 4, Soft: 4, Hard: 6},
	}
}

func TestTablesOfQueues(t *testing.T) {
	for name, args := range map[string][]string{"queue_show.txt": {"queue", "show"}, "queue_show_wide.txt": {"queue", "show", "-o", "wide"}} {
		h := newJobHost()
		h.state.Queues = queues()
		c := newServed(t, h)
		if code := c.main(args); code != 0 || c.err.Len() > 0 {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
		golden(t, name, c.out.Bytes())
	}
	h := newJobHost()
	h.state.Queues = queues()
	c := newServed(t, h)
	var got struct{ Queues []inspect.Queue }
	code := c.main([]string{"queue", "show", "-o", "json"})
	if err := json.Unmarshal(c.out.Bytes(), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if d := cmp.Diff(h.state.Queues, got.Queues); d != "" {
		t.Error(d)
	}
}

func TestRevoke(t *testing.T) {
	for form, want := range map[string]string{"table": "7\n", "json": "{\n  \"tag\": \"block 7\",\n  \"ended\": 7\n}\n"} {
		h := newJobHost()
		c := newServed(t, h)
		if code := c.main([]string{"queue", "revoke", "-o", form, "block 7"}); code != 0 || c.out.String() != want || h.calls[0] != "revoke block 7" {
			t.Errorf("%s: exit code %d, %q, %q\n%s", form, code, c.out.String(), h.calls, c.err.String())
		}
	}
}

func TestRunPassesTheTag(t *testing.T) {
	got := ""
	h := &fakeHost{}
	h.execute = func(ctx context.Context, r host.Request) (run.Receipt, error) {
		got = r.Validity
		return receipt("ok", "")(ctx, r)
	}
	c := newConsole(t, h)
	if code := c.main([]string{"run", "--validity", "block-7", wasmFile(t)}); code != 0 || got != "block-7" {
		t.Errorf("exit code %d, %q\n%s", code, got, c.err.String())
	}
}

func TestWarmUpList(t *testing.T) {
	one, two := "abcd1"+strings.Repeat("0", 59), "abcd2"+strings.Repeat("0", 59)
	file := wasmFile(t)
	code := artifacts.HashCode([]byte("\x00asm\x01\x00\x00\x00")).String()
	for name, tt := range map[string]struct {
		args  []string
		want  int
		out   string
		calls string
	}{
		"warm":            {[]string{"warm", file}, 0, code + " preparing\n", "warm " + code[:4]},
		"no priority":     {[]string{"warm", "--priority", "high", file}, exitUsage, "", ""},
		"warm some":       {[]string{"warm", file, "nowhere"}, exitSome, code + " preparing\n", "warm " + code[:4]},
		"warm nothing":    {[]string{"warm", "nowhere"}, exitNotFound, "", ""},
		"cool":            {[]string{"cool", "ABCD1"}, 0, one + " cooled\n", "unwarm abcd1"},
		"cool some":       {[]string{"cool", "abcd1", "ffff"}, exitSome, one + " cooled\n", "unwarm abcd1"},
		"cool one of two": {[]string{"cool", "abcd"}, exitConflict, "", ""},
		"cool what is not": {
			[]string{"cool", "abce"}, exitNotFound, "", "",
		},
		"cool no hash": {[]string{"cool", "abc"}, exitUsage, "", ""},
		"list": {[]string{"warm", "--list"}, 0, "CODE          TENANT  STATE     ARTIFACT      SIZE  ON THE LIST\n" +
			"abcd10000000  uid:0   prepared  c0dec0dec0de  64KiB  1h\nabcd20000000  uid:7   absent                  1B    1h\n", ""},
	} {
		h := newJobHost()
		since := time.Now().Add(-90 * time.Minute)
		h.warmed = []inspect.Warm{{CodeHash: one, Tenant: "uid:0", State: "prepared", Artifact: hash, Bytes: 65536, Since: since}, {CodeHash: two, Tenant: "uid:7", State: "absent", Bytes: 1, Since: since}}
		c := newServed(t, h)
		got := c.main(append([]string{"artifact"}, tt.args...))
		spaces := regexp.MustCompile(` +`)
		if got != tt.want || spaces.ReplaceAllString(c.out.String(), " ") != spaces.ReplaceAllString(tt.out, " ") || strings.Join(h.calls, ", ") != tt.calls {
			t.Errorf("%s: exit code %d, %q, %q\n%s", name, got, c.out.String(), h.calls, c.err.String())
		}
	}
	h := newJobHost()
	h.warmed = []inspect.Warm{{CodeHash: one, Tenant: "uid:0", State: "prepared", Artifact: hash, Bytes: 65536, Since: day}}
	c := newServed(t, h)
	if code := c.main([]string{"artifact", "warm", "--list", "-o", "json"}); code != 0 {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	golden(t, "warm.json", c.out.Bytes())
}

func TestStatusCountsJobs(t *testing.T) {
	h := newJobHost()
	h.state.Jobs = map[string]int{"settled": 12, "queued": 3, "running": 0}
	c := newServed(t, h)
	if code := c.main([]string{"status"}); code != 0 || !strings.Contains(c.out.String(), "\njobs       3 queued  12 settled\n") {
		t.Errorf("exit code %d\n%s", code, c.out.String())
	}
}

func TestArtifactShowsItsStory(t *testing.T) {
	h := newJobHost()
	h.state.Artifacts = []inspect.Artifact{
		{Key: hash, State: "failed", Fault: "host.out_of_memory", RetryAt: day, Priority: "critical", Escalations: []inspect.Escalation{{At: time.Now().Add(-90 * time.Minute), From: "background", To: "critical", By: "execute of uid:0"}}},
		{Key: strings.Repeat("beef", 16), State: "prepared", RetryAt: day},
	}
	for key, lines := range map[string][]string{
		"c0de": {"priority     critical\n", "raised       background to critical by execute of uid:0 1h ago\n", "blocked      may be tried again from 2026-01-02T03:04:05Z\n"},
		"beef": {"blocked      in quarantine until 2026-01-02T03:04:05Z\n"},
	} {
		c := newServed(t, h)
		code := c.main([]string{"artifact", "show", key})
		for _, l := range lines {
			if code != 0 || !strings.Contains(c.out.String(), l) {
				t.Errorf("exit code %d, no %q\n%s%s", code, l, c.out.String(), c.err.String())
			}
		}
	}
}

// The flags of serve become the host's settings; what is left out is the host's default.
func TestServePassesItsFlags(t *testing.T) {
	stop := context.Canceled
	try := func(args ...string) (host.Config, int, string) {
		c := newConsole(t, &fakeHost{})
		var got host.Config
		c.start = func(_ context.Context, cfg host.Config) (running, error) {
			got = cfg
			return nil, stop
		}
		code := c.main(append([]string{"serve", "--chain", "none", "--data-dir", t.TempDir()}, args...))
		return got, code, c.err.String()
	}
	got, _, _ := try(
		"--execute-workers", "7", "--execute-workers-critical", "9", "--prepare-workers", "3", "--prepare-workers-critical", "5", "--cache-bytes", "2GiB",
		"--retry-cooldown", "1m", "--retries", "always", "--forgive-suspects", "--quarantine-after", "never", "--quarantine", "2m", "--job-keep", "48h", "--job-bytes", "3GiB", "--spare-workers", "none")
	want := host.Default()
	want.DataDir, want.Owner, want.Socket, want.Log = got.DataDir, got.Owner, got.Socket, got.Log
	defaults := want
	want.ExecuteWorkers, want.ExecuteWorkersCritical, want.PrepareWorkers, want.PrepareWorkersCritical = 7, 9, 3, 5
	want.SpareWorkers = host.NoLimit
	want.CacheBytes, want.RetryCooldown, want.Retries, want.ForgiveSuspects = 2<<30, time.Minute, host.NoLimit, true
	want.QuarantineAfter, want.Quarantine, want.JobKeep, want.JobBytes = host.NoLimit, 2*time.Minute, 48*time.Hour, 3<<30
	same := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Log" }, cmp.Ignore())
	if d := cmp.Diff(want, got, same); d != "" {
		t.Error(d)
	}
	got, _, _ = try()
	defaults.DataDir, defaults.Socket = got.DataDir, got.Socket
	defaults.ExecuteWorkersCritical, defaults.PrepareWorkersCritical, defaults.SpareWorkers = 0, 0, 0 // they follow from the others
	if d := cmp.Diff(defaults, got, same); d != "" {
		t.Error(d)
	}
	if got, _, _ := try("--execute-workers", "4000", "--prepare-workers", "1000"); got.ExecuteWorkers != 4000 || got.PrepareWorkers != 1000 {
		t.Errorf("many workers alone: %+v", got)
	}

	for name, tt := range map[string]struct {
		args []string
		say  string
	}{
		"no workers":      {[]string{"--execute-workers", "0"}, "1 or more"},
		"no spares":       {[]string{"--spare-workers", "0"}, "1 or more, or none"},
		"no retries":      {[]string{"--retries", "0"}, "1 or more, or always"},
		"too many":        {[]string{"--execute-workers", "5000"}, "error: --execute-workers 5000\n"},
		"fewer if urgent": {[]string{"--execute-workers", "8", "--execute-workers-critical", "4"}, "error: --execute-workers-critical 4\n"},
		"a small cache":   {[]string{"--cache-bytes", "1KiB"}, "error: --cache-bytes 1KiB\n"},
		"kept for no time": {
			[]string{"--job-keep", "10ms"}, "between 1s and 8784h",
		},
		"a long quarantine": {[]string{"--quarantine", "48h"}, "between 1ms and 24h"},
		"no size":           {[]string{"--job-bytes", "much"}, "positive size"},
	} {
		got, code, text := try(tt.args...)
		if code != exitUsage || got.DataDir != "" || !strings.Contains(text, tt.say) {
			t.Errorf("%s: exit code %d\n%s", name, code, text)
		}
	}
}

// The defaults that the help shows are the host's.
func TestServeHelpShowsDefaults(t *testing.T) {
	c := newConsole(t, &fakeHost{})
	if code := c.main([]string{"serve", "--help"}); code != 0 {
		t.Fatal(c.err.String())
	}
	for _, want := range []string{"--cache-bytes SIZE .*\\(default 10GiB\\)", "--retries N.always .*\\(default 5\\)", "--quarantine D .*\\(default 15m0s\\)", "--job-keep D .*\\(default 24h0m0s\\)", "--job-bytes SIZE .*\\(default 1GiB\\)"} {
		if !regexp.MustCompile(want).MatchString(c.out.String()) {
			t.Errorf("no %s\n%s", want, c.out.String())
		}
	}
}
