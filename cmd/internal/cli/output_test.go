package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

// A list in each form. What JSON leaves out is there for a template, and only what does not exist is an error.
func TestFormsOfLists(t *testing.T) {
	hostile := "uid:7\x1b[2J\nx\u202e"
	for form, tt := range map[string]struct {
		want string
		code int
		say  string
	}{
		"name":                            {want: "job-1\njob-2\n"},
		"template={{.id}} {{.fault}}.":    {want: "job-1 .\njob-2 guest.trap.\n"},
		"template={{.tenant}}":            {want: "uid:7\uFFFD[2J x\uFFFD\nuid:0\n"},
		"template={{.starts | span}}":     {want: "0s\n0s\n"},
		"template={{.expires_at | ago}}":  {want: "never\nnever\n"},
		"template={{.id | short | json}}": {want: "\"job-1\"\n\"job-2\"\n"},
		"template={{.receipt}}":           {want: "<no value>\n<no value>\n"},
		"template={{.nothing}}":           {code: exitUsage, say: "map has no entry for key \"nothing\""},
		"template={{.id":                  {code: exitUsage, say: "unclosed action"},
		"template":                        {code: exitUsage, say: "with a Go template"},
		"name=x":                          {code: exitUsage, say: "choose table, wide, json, jsonl, name, or template=TEXT"},
		"yaml":                            {code: exitUsage, say: "choose table"},
	} {
		h := newJobHost()
		h.jobs = map[string]run.Job{
			"job-1": {ID: "job-1", State: run.JobQueued, Tenant: hostile},
			"job-2": {ID: "job-2", State: run.JobSettled, Fault: "guest.trap", Tenant: "uid:0"},
		}
		c := newServed(t, h)
		code := c.main([]string{"job", "list", "--all", "-o", form})
		if code != tt.code || c.out.String() != tt.want || !strings.Contains(c.err.String(), tt.say) {
			t.Errorf("%s: exit code %d, %q\n%s", form, code, c.out.String(), c.err.String())
		}
	}
}

// Of lines of JSON each is a row, and none can move the cursor.
func TestLinesOfJSON(t *testing.T) {
	h := newJobHost()
	h.jobs = map[string]run.Job{"job-1": {ID: "job-1", State: run.JobQueued, Tenant: "\u009b2J"}, "job-2": {ID: "job-2", State: run.JobQueued}}
	c := newServed(t, h)
	if code := c.main([]string{"job", "list", "-o", "jsonl"}); code != 0 {
		t.Fatal(code, c.err.String())
	}
	lines := strings.Split(strings.TrimSpace(c.out.String()), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], `{"id":"job-1"`) || !strings.HasPrefix(lines[1], `{"id":"job-2"`) || strings.Contains(c.out.String(), "\u009b") {
		t.Errorf("%q", lines)
	}
}

// What is no list has no names, and says so before it does anything.
func TestNamesOfOneThing(t *testing.T) {
	c := newServed(t, newJobHost())
	if code := c.main([]string{"status", "-o", "name"}); code != exitUsage || !strings.Contains(c.err.String(), "error: 'troupe status' prints no list\n") {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	h := newJobHost()
	h.state = inspect.Host{Name: "n\x1bx", Health: []inspect.Health{{Code: "a"}, {Code: "b"}}, StartedAt: time.Unix(0, 0).UTC()}
	c = newServed(t, h)
	if code := c.main([]string{"status", "-o", `template={{.name}} {{range .health}}{{.code}}{{end}} {{.store.bytes | size}} {{.started_at}}`}); code != 0 || c.out.String() != "n\uFFFDx ab 0B 1970-01-01T00:00:00Z\n" {
		t.Errorf("exit code %d, %q\n%s", code, c.out.String(), c.err.String())
	}
}
