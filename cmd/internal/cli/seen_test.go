package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
	"github.com/troupehost/troupe/testdata/hostile"
)

// seenReads are all verbs that only look at what a host publishes, by the name of their golden file.
var seenReads = map[string][]string{
	"actor_list": {"actor", "list", "--limit", "9"}, "actor_tree": {"actor", "tree", "--selector", "worker"}, "actor_show": {"actor", "show", bundletest.Wedged},
	"actor_mailbox": {"actor", "mailbox", bundletest.Wedged}, "actor_trace": {"actor", "trace", "execute"}, "actor_recorded": {"actor", "trace", "--recorded", "--cause", bundletest.Cause},
	"worker_list": {"worker", "list"}, "worker_show": {"worker", "show", "execute-12"}, "worker_guests": {"worker", "guests"},
	"queue_list": {"queue", "list"}, "dead_list": {"dead", "list"}, "dead_show": {"dead", "show", "d-1"}, "failures": {"failures"},
	"node_audit": {"node", "audit"}, "node_log": {"node", "log"}, "explain": {"explain", bundletest.Waiting}, "job_timeline_stages": {"job", "timeline", bundletest.Spinning},
	"job_list_selected": {"job", "list", "--selector", "state=running"}, "artifact_list_selected": {"artifact", "list", "--sort", "-size", "--selector", "state=failed"},
	"app_list_selected": {"app", "list", "--selector", "-nothing"}, "chain_cursor": {"chain", "cursor"}, "queue_show_execute": {"queue", "show", "execute"},
}

func traced() []inspect.Trace {
	at := func(us int64) time.Time { return bundletest.At.Add(time.Duration(us) * time.Microsecond) }
	return []inspect.Trace{
		{Seq: 1, Actor: "troupe/execute", From: "troupe/jobs", Type: "execute.Enqueue", Lane: "work", Cause: bundletest.Cause, Sent: at(0), Accepted: at(1), Started: at(2000), Finished: at(2500)},
		{Seq: 2, Actor: "troupe/execute", Type: "execute.Enqueue", Lane: "work", Cause: bundletest.Cause, Sent: at(3000), Fault: "busy.mailbox_full", Dropped: 4},
	}
}

// The JSON of everything that can be read is a contract: a change here must only ever add.
func TestJSONOfWhatIsSeen(t *testing.T) {
	have := map[string]bool{}
	for name, args := range seenReads {
		s := newSeenServer()
		s.traces = traced()
		c := newSeen(t, s)
		if code := c.main(append(args, "-o", "json")); code != 0 {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
			continue
		}
		var v any
		if err := json.Unmarshal(c.out.Bytes(), &v); err != nil {
			t.Errorf("%s: %v\n%s", name, err, c.out.String())
		}
		shapes(have, name+": ", v)
	}
	file := filepath.Join("testdata", "golden", "seen_shapes.txt")
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(sortedKeys(have), "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(want)) {
		if line = strings.TrimSuffix(line, "\n"); !have[line] {
			t.Errorf("the field is not there any more: %s", line)
		}
	}
	for line := range have {
		path, kind, _ := strings.Cut(line[strings.Index(line, ": ")+2:], " ")
		name := path[strings.LastIndexByte(path, '.')+1:]
		if kind == "number" && regexp.MustCompile(`(millis|seconds|_ms|_ns|size)$`).MatchString(name) && name != "running_time_ms" {
			t.Errorf("it has another unit than _us or _bytes: %s", line)
		}
		if (strings.HasSuffix(name, "_at") || strings.HasSuffix(name, "since")) && kind != "time" {
			t.Errorf("it is no time of RFC 3339: %s", line)
		}
		if name != strings.ToLower(name) || strings.Contains(name, "-") {
			t.Errorf("it is not in snake_case: %s", line)
		}
	}
}

// shapes adds a line for each field: its path, and what it is.
func shapes(have map[string]bool, path string, v any) {
	kind := ""
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			shapes(have, path+"[]", x)
		}
		kind = "list"
	case map[string]any:
		for k, x := range v {
			shapes(have, strings.Replace(path+"."+k, ": .", ": ", 1), x)
		}
		return
	case string:
		kind = "text"
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil && at.Location() == time.UTC {
			kind = "time"
		}
	case float64:
		kind = "number"
	case bool:
		kind = "yes or no"
	}
	have[path+" "+kind] = true
}

// Each table has a line for each row; nothing of what guests say gets out of its cell, in any form.
func TestHostileTextInWhatIsSeen(t *testing.T) {
	var texts []string
	for _, x := range hostile.Cases() {
		texts = append(texts, x.Text)
	}
	for name, args := range seenReads {
		for _, form := range []string{"table", "wide", "json", "jsonl", "name", "template={{.}}"} {
			s := newSeenServer(texts...)
			for _, text := range texts {
				s.b.Log = append(s.b.Log, inspect.LogLine{Level: text, Code: text, Message: text, Fields: map[string]any{text: text, "n": []any{text}}})
				s.traces = append(s.traces, inspect.Trace{Actor: text, From: text, Type: text, Lane: text, Cause: text, Fault: text})
				s.b.Dead = append(s.b.Dead, inspect.Letter{ID: text, Actor: text, Type: text, Lane: text, Cause: text, Code: text, Reason: text})
				s.b.Audit = append(s.b.Audit, api.Audit{Caller: text, Verb: text, Target: text, Reason: text, Outcome: text, Origin: text, Route: text, Plan: text, Code: text})
			}
			c := newSeen(t, s)
			c.main(append(args, "-o", form))
			most := 40 * maxCell // of all columns
			if form != "table" && form != "wide" {
				most = 64 << 20
			}
			for line := range strings.Lines(c.out.String()) {
				line = strings.TrimSuffix(line, "\n")
				if form == "table" || form == "wide" {
					for _, cell := range strings.Split(line, "\t") {
						if err := hostile.Inert(cell, most); err != nil {
							t.Fatalf("%s -o %s: %v\n%q", name, form, err, line)
						}
					}
					continue
				}
				if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e }) {
					t.Fatalf("%s -o %s: %q", name, form, line)
				}
			}
		}
	}
}

func TestTablesOfWhatIsSeen(t *testing.T) {
	for name, want := range map[string][]string{
		"actor_list": {`^ACTOR +STATE +SINCE +MAILBOX +OLDEST +HANDLED +P99 +RESTARTS +LAST FAULT\n`, `(?m)^troupe/chain/follower +busy chain.BlockSeen for \S+ +\S+ +31 of 64 `, `210/10s`},
		"actor_tree": {`(?m)^troupe +idle`, `(?m)^  execute +idle`, `(?m)^    worker-12 +busy`},
		"actor_show": {`(?m)^actor +troupe/chain/follower$`, `(?m)^mailbox +31 of 64  oldest `, `(?m)^AT +WHAT +TYPE OR STATE`},
		"actor_trace": {
			`(?m)^SENT\tACTOR\tTYPE`, `(?m)^09:26:53.000\ttroupe/execute\texecute.Enqueue\twork\t2ms\t500µs\ttroupe/jobs\t001122334455\t-$`, `\t-\t-\t-\t001122334455\tbusy.mailbox_full\n`,
		},
		"worker_show": {`(?m)^worker +execute-12$`, `(?m)^cgroup +no \(optional\) .* no delegated cgroup$`},
		"queue_list":  {`(?m)^execute +open +12 of 1024 `},
		"failures":    {`^BLAME +KIND +ID +CODE`, `(?m)^guest +job +j +guest.trap `},
		"explain":     {`(?m)^job ` + bundletest.Waiting + `  queued`, `(?m)^  because  `},
		"job_timeline_stages": {
			`(?m)^STAGE +AT +TOOK +WAITED FOR`, `(?m)^wall \S+  cpu \S+  waited `,
		},
		"job_list_selected": {`(?m)^` + bundletest.Spinning + ` +running `},
		"chain_cursor":      {`(?m)^finalized +\d+$`},
	} {
		s := newSeenServer()
		s.traces = traced()
		c := newSeen(t, s)
		if code := c.main(seenReads[name]); code != 0 {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
		for _, w := range want {
			if !regexp.MustCompile(w).MatchString(c.out.String()) {
				t.Errorf("%s: no %s in\n%s", name, w, c.out.String())
			}
		}
	}
}

// A query that is not understood is shown with a caret below what is wrong.
func TestQueriesThatAreNotUnderstood(t *testing.T) {
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"actor", "list", "--selector", "kind=root stat=idle"}, "query: kind=root stat=idle\n                 ^\n"},
		{[]string{"job", "list", "--selector", "state=queue\x1bd"}, "query: state=queue\uFFFDd\n             ^\n"},
		{[]string{"actor", "list", "--sort", "-nonsense"}, "query: -nonsense\n        ^\n"},
		{[]string{"actor", "pause", "--yes", "--reason", "r", "--selector", "age>soon"}, "query: age>soon\n           ^\n"},
	} {
		c := newSeen(t, newSeenServer())
		if code := c.main(row.args); code != exitUsage || !strings.HasSuffix(c.err.String(), row.want) || !strings.Contains(c.err.String(), "\ncode:  caller.invalid_query\n") {
			t.Errorf("%q: exit code %d\n%s", row.args, code, c.err.String())
		}
	}
}

// Limits are kept over pages, and what is left out is told.
func TestPagesOfLists(t *testing.T) {
	for limit, rows := range map[string]int{"3": 3, "8": 8, "1000": len(newSeenServer().b.Host.Actors)} {
		c := newSeen(t, newSeenServer())
		if code := c.main([]string{"actor", "list", "-o", "name", "--limit", limit}); code != 0 || strings.Count(c.out.String(), "\n") != rows {
			t.Errorf("--limit %s: exit code %d, %d rows\n%s", limit, code, strings.Count(c.out.String(), "\n"), c.err.String())
		}
	}
	c := newSeen(t, newSeenServer())
	if c.main([]string{"actor", "list", "--limit", "3"}); !strings.Contains(c.err.String(), "note:  there are ") {
		t.Error(c.err.String())
	}
}

// Each deed: who is asked, what is sent, what is printed, and how it ends.
func TestDeeds(t *testing.T) {
	for name, tt := range map[string]struct {
		args     []string
		answer   string // typed on a terminal; "": there is none
		code     int
		wish     *api.Wish // nil: nothing is asked for
		applied  bool
		out, err string // parts
	}{
		"one":               {args: []string{"actor", "pause", "troupe/execute", "--yes"}, wish: &api.Wish{Verb: "actor.pause", IDs: []string{"troupe/execute"}}, applied: true, out: "troupe/execute done\n"},
		"by its last part":  {args: []string{"actor", "restart", "worker-12", "-y"}, wish: &api.Wish{Verb: "actor.restart", IDs: []string{"troupe/execute/worker-12"}}, applied: true},
		"no such part":      {args: []string{"actor", "restart", "nobody", "-y"}, code: exitNotFound, err: "hint:  'troupe actor tree' shows what there is"},
		"nobody to ask":     {args: []string{"actor", "pause", "troupe/execute"}, code: exitUsage, wish: &api.Wish{Verb: "actor.pause", IDs: []string{"troupe/execute"}}, err: "hint:  stdin and stderr are no terminal: pass --yes"},
		"asked":             {args: []string{"actor", "pause", "troupe/execute"}, answer: "y\n", wish: &api.Wish{Verb: "actor.pause", IDs: []string{"troupe/execute"}}, applied: true, err: "generation 3  2 parts with it  1 run lost\n1 target, 0 excluded\nGo ahead? [y/N] "},
		"declined":          {args: []string{"actor", "pause", "troupe/execute"}, answer: "\n", code: exitCanceled, wish: &api.Wish{Verb: "actor.pause", IDs: []string{"troupe/execute"}}, err: "Go ahead? [y/N] note:  nothing was changed\n"},
		"no reason":         {args: []string{"worker", "kill", "execute-12", "--yes"}, code: exitUsage, err: "hint:  'kill' cannot be undone: pass --reason TEXT"},
		"danger, asked":     {args: []string{"worker", "kill", "execute-12", "--reason", "it spins"}, answer: "y\n", code: exitCanceled, wish: &api.Wish{Verb: "worker.kill", IDs: []string{"execute-12"}, Reason: "it spins"}, err: "Type the number of targets to go ahead: "},
		"danger, typed":     {args: []string{"worker", "kill", "execute-12", "--reason", "it spins"}, answer: "1\n", wish: &api.Wish{Verb: "worker.kill", IDs: []string{"execute-12"}, Reason: "it spins"}, applied: true},
		"two, typed":        {args: []string{"worker", "recycle", "a", "b"}, answer: "2\n", wish: &api.Wish{Verb: "worker.recycle", IDs: []string{"a", "b"}}, applied: true, out: "a done\nb done\n"},
		"dry run":           {args: []string{"queue", "purge", "execute", "--reason", "r", "--dry-run"}, wish: &api.Wish{Verb: "queue.purge", IDs: []string{"execute"}, Reason: "r"}, out: "queue.purge: all that waits in it is answered with canceled.host_stopped\n"},
		"selector":          {args: []string{"dead", "drop", "--selector", "l-1 l-2", "--reason", "r", "-y"}, wish: &api.Wish{Verb: "letter.drop", Selector: "l-1 l-2", Reason: "r"}, applied: true, out: "l-1 done\nl-2 done\n"},
		"selector, silent":  {args: []string{"dead", "drop", "--selector", "l-1", "-y"}, code: exitUsage, err: "a selector may find much"},
		"nothing matches":   {args: []string{"dead", "replay", "--selector", "-nothing", "--reason", "r", "-y"}, wish: &api.Wish{Verb: "letter.replay", Selector: "-nothing", Reason: "r"}, err: "note:  nothing matches\n"},
		"both":              {args: []string{"dead", "drop", "--selector", "l-1", "l-1", "-y"}, code: exitUsage, err: "both --selector and ids"},
		"neither":           {args: []string{"dead", "drop", "-y"}, code: exitUsage, err: "error: no letter"},
		"some fail":         {args: []string{"dead", "drop", "l-1", "bad-1", "-y"}, code: exitSome, wish: &api.Wish{Verb: "letter.drop", IDs: []string{"l-1", "bad-1"}}, applied: true, out: "l-1 done\n", err: "letter.drop bad-1: the disk failed: the disk is gone\ncode:  host.disk_io"},
		"all fail":          {args: []string{"dead", "drop", "bad-1", "-y"}, code: exitHost, wish: &api.Wish{Verb: "letter.drop", IDs: []string{"bad-1"}}, applied: true},
		"superseded":        {args: []string{"dead", "drop", "old-1", "-y"}, code: exitConflict, wish: &api.Wish{Verb: "letter.drop", IDs: []string{"old-1"}}, applied: true, err: "code:  caller.stale"},
		"all superseded":    {args: []string{"dead", "drop", "old-1", "old-2", "-y"}, code: exitConflict, wish: &api.Wish{Verb: "letter.drop", IDs: []string{"old-1", "old-2"}}, applied: true},
		"all excluded":      {args: []string{"worker", "recycle", "no-1", "-y"}, code: exitNotFound, wish: &api.Wish{Verb: "worker.recycle", IDs: []string{"no-1"}}, err: "there is none"},
		"some excluded":     {args: []string{"worker", "recycle", "no-1", "a", "-y"}, wish: &api.Wish{Verb: "worker.recycle", IDs: []string{"no-1", "a"}}, applied: true, err: "not no-1: caller.not_found there is none"},
		"generation":        {args: []string{"actor", "kill", "troupe/x", "--generation", "7", "--reason", "r", "-y"}, wish: &api.Wish{Verb: "actor.kill", IDs: []string{"troupe/x"}, Reason: "r", Match: map[string]uint64{"troupe/x": 7}}, applied: true},
		"two generations":   {args: []string{"worker", "recycle", "a", "b", "--generation", "7", "-y"}, code: exitUsage, err: "--generation without a single id"},
		"a long reason":     {args: []string{"worker", "recycle", "a", "--reason", strings.Repeat("r", 513), "-y"}, code: exitUsage, err: "--reason of 513 bytes"},
		"level":             {args: []string{"actor", "log-level", "debug", "troupe/x", "--for", "1m", "-y"}, wish: &api.Wish{Verb: "actor.log_level", IDs: []string{"troupe/x"}, Args: map[string]string{"level": "debug", "for_us": "60000000"}}, applied: true},
		"no level":          {args: []string{"actor", "log-level", "debgu", "troupe/x", "-y"}, code: exitUsage, err: "hint:  did you mean 'debug'?"},
		"level of nobody":   {args: []string{"actor", "log-level", "debug", "-y"}, code: exitUsage, err: "error: no actor"},
		"no level at all":   {args: []string{"actor", "log-level", "-y"}, code: exitUsage, err: "takes LEVEL PATH..."},
		"the node":          {args: []string{"node", "gc", "-y"}, wish: &api.Wish{Verb: "node.gc", IDs: []string{"node"}}, applied: true},
		"reload":            {args: []string{"node", "reload", "-y"}, wish: &api.Wish{Verb: "node.reload", IDs: []string{"node"}}, applied: true, out: "node done\n"},
		"reload, asked":     {args: []string{"node", "reload"}, answer: "y\n", wish: &api.Wish{Verb: "node.reload", IDs: []string{"node"}}, applied: true, err: "Go ahead? [y/N] "},
		"drain, silent":     {args: []string{"node", "drain", "-y"}, code: exitUsage, err: "hint:  'drain' cannot be undone: pass --reason TEXT"},
		"drain, unasked":    {args: []string{"node", "drain", "--reason", "r"}, code: exitUsage, wish: &api.Wish{Verb: "node.drain", IDs: []string{"node"}, Reason: "r"}, err: "error: nobody to ask"},
		"drain, only a try": {args: []string{"node", "drain", "--reason", "r", "--dry-run"}, wish: &api.Wish{Verb: "node.drain", IDs: []string{"node"}, Reason: "r"}, out: "node.drain: the host takes nothing new, waits for what runs, and ends\n"},
		"drain, in a hurry": {args: []string{"node", "drain", "--reason", "r", "-y", "--timeout", "1ms"}, code: exitCanceled, wish: &api.Wish{Verb: "node.drain", IDs: []string{"node"}, Reason: "r"}, applied: true, err: "the host goes on draining"},
		"no other node":     {args: []string{"node", "gc", "x", "-y"}, code: exitUsage, err: "takes no ids"},
		"the chain":         {args: []string{"chain", "pause", "-y"}, wish: &api.Wish{Verb: "chain.pause", IDs: []string{"chain"}}, applied: true},
		"chain again":       {args: []string{"chain", "resume", "-y"}, wish: &api.Wish{Verb: "chain.resume", IDs: []string{"chain"}}, applied: true},
		"retry":             {args: []string{"artifact", "retry", "bad0c", "-y"}, wish: &api.Wish{Verb: "artifact.retry", IDs: []string{bundletest.BadKey}}, applied: true},
		"raise":             {args: []string{"artifact", "raise", "bad0c", "--priority", "critical", "-y"}, wish: &api.Wish{Verb: "artifact.raise", IDs: []string{bundletest.BadKey}, Args: map[string]string{"priority": "critical"}}, applied: true},
		"pin by a plan":     {args: []string{"artifact", "pin", "--selector", "x y", "--reason", "r", "-y"}, wish: &api.Wish{Verb: "artifact.pin", Selector: "x y", Reason: "r"}, applied: true},
		"cancel by a plan":  {args: []string{"job", "cancel", bundletest.Spinning, "--reason", "r", "-y"}, wish: &api.Wish{Verb: "job.cancel", IDs: []string{bundletest.Spinning}, Reason: "r"}, applied: true},
		"raise by a plan":   {args: []string{"job", "escalate", "--priority", "critical", "--selector", "x", "--reason", "r", "-y"}, wish: &api.Wish{Verb: "job.raise", Selector: "x", Reason: "r", Args: map[string]string{"priority": "critical"}}, applied: true},
		"retry by a plan":   {args: []string{"job", "retry", "--selector", "x", "--reason", "r", "--dry-run"}, wish: &api.Wish{Verb: "job.retry", Selector: "x", Reason: "r"}, out: "job.retry: a new job repeats it\n"},
		"a key by a plan":   {args: []string{"job", "retry", "--key", "k", bundletest.Settled, "-y"}, code: exitUsage, err: "--key with a plan"},
		"app by a plan":     {args: []string{"app", "restart", bundletest.App, "-y"}, wish: &api.Wish{Verb: "app.restart", IDs: []string{bundletest.App}}, applied: true},
		"app stop":          {args: []string{"app", "stop", bundletest.App, "--reason", "r", "-y"}, wish: &api.Wish{Verb: "app.stop", IDs: []string{bundletest.App}, Reason: "r"}, applied: true},
		"quiet":             {args: []string{"queue", "pause", "execute", "-y", "-q"}, wish: &api.Wish{Verb: "queue.pause", IDs: []string{"execute"}}, applied: true, out: "execute done\n"},
		"resumed":           {args: []string{"queue", "resume", "execute", "-y"}, wish: &api.Wish{Verb: "queue.resume", IDs: []string{"execute"}}, applied: true},
		"resumed actor":     {args: []string{"actor", "resume", "troupe/x", "-y"}, wish: &api.Wish{Verb: "actor.resume", IDs: []string{"troupe/x"}}, applied: true},
		"two flags at once": {args: []string{"queue", "pause", "execute", "--reason", "a", "--reason", "b"}, code: exitUsage, err: "only once"},
	} {
		s := newSeenServer()
		c := newSeen(t, s)
		if tt.answer != "" {
			c.in, c.inTerminal, c.errTerminal = strings.NewReader(tt.answer), true, true
		}
		code := c.main(append(tt.args, "--progress", "none"))
		if code != tt.code || !strings.Contains(c.out.String(), tt.out) || !strings.Contains(c.err.String(), tt.err) {
			t.Errorf("%s: exit code %d, want %d\n%s\n%s", name, code, tt.code, c.out.String(), c.err.String())
		}
		var got *api.Wish
		if len(s.wishes) > 0 {
			got = &s.wishes[0]
		}
		if d := cmp.Diff(tt.wish, got); d != "" || (len(s.applied) == 1) != tt.applied {
			t.Errorf("%s: applied %v\n%s", name, s.applied, d)
		}
	}
}

// For programs, a plan is the plan and an operation the operation, with the outcome for each id.
func TestDeedsAsJSON(t *testing.T) {
	s := newSeenServer()
	c := newSeen(t, s)
	if code := c.main([]string{"dead", "drop", "l-1", "bad-1", "old-1", "-y", "-o", "json"}); code != exitSome {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	golden(t, "operation.json", c.out.Bytes())
	c = newSeen(t, newSeenServer())
	if code := c.main([]string{"dead", "drop", "l-1", "no-1", "--dry-run", "-o", "json"}); code != 0 {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	golden(t, "plan.json", c.out.Bytes())
	if key := strings.Fields(s.applied[0])[1]; len(key) < 16 {
		t.Errorf("the key %q may come again", key)
	}
}

// Every row of the table of deeds can be reached, and nothing else.
func TestEveryDeedHasAVerb(t *testing.T) {
	have := map[string]bool{}
	var walk func(prefix string, v verb)
	walk = func(prefix string, v verb) {
		for _, sub := range v.verbs {
			name, _, _ := strings.Cut(sub.use, " ")
			have[prefix+name] = true
			walk(prefix+name+".", sub)
		}
	}
	walk("", (&app{}).table())
	for _, v := range api.Verbs {
		name := strings.Replace(strings.Replace(v.Kind+"."+v.Action, "letter.", "dead.", 1), "job.raise", "job.escalate", 1)
		if !have[name] {
			t.Errorf("no verb does %s", v.Name)
		}
	}
}

func row(id string, v any) api.Row {
	text, _ := json.Marshal(v)
	return api.Row{ID: id, Row: text}
}

// What is watched is printed row by row into a pipe, and drawn anew on a terminal, until Ctrl-C.
func TestWatching(t *testing.T) {
	frames := []api.Frame{
		{Rows: []api.Row{row("execute", inspect.Queue{Name: "execute", Running: 77})}, Matched: 2, Total: 2, At: bundletest.At},
		{Gone: []string{"prepare"}, Matched: 1, Total: 1, Dropped: 3, At: bundletest.At},
	}
	for form, want := range map[string][]string{
		"jsonl":                               {`{"name":"prepare",`, `{"name":"execute",`, `"running":77`, `{"gone":"prepare"}`},
		"name":                                {"prepare\nexecute\nexecute\n"},
		"table":                               {"QUEUE\tSTATE\tWAITING", "execute\topen\t0 of 0\t-\t77"},
		"template={{.name}}={{.running}}":     {"execute=77\n"},
		"a terminal":                          {"\x1b[H", "queues  2 of 2  09:26:53 UTC\x1b[K\n", "\x1b[J", "77"},
		"template={{.name}} {{.nothing}}fail": {""},
	} {
		s := newSeenServer()
		s.frames = frames
		c := newSeen(t, s)
		out := &stopAfter{w: &c.out, stop: func() { c.interrupts <- os.Interrupt }, when: "77"}
		c.app.out = &sink{w: out}
		args := []string{"queue", "list", "--watch"}
		if form == "a terminal" {
			c.outTerminal = true
			c.screen = func() (int, int) { return 200, 10 }
		} else {
			args = append(args, "-o", form)
		}
		if strings.HasSuffix(form, "name") || form == "jsonl" {
			out.when = `{"gone"`
			if form == "name" {
				out.when = "execute\nexecute"
			}
		}
		code := c.main(args)
		wantCode := 0
		if strings.HasSuffix(form, "fail") {
			wantCode = exitUsage
		}
		if code != wantCode {
			t.Errorf("%s: exit code %d\n%s", form, code, c.err.String())
		}
		for _, w := range want {
			if !strings.Contains(c.out.String(), w) {
				t.Errorf("%s: no %q in %q", form, w, c.out.String())
			}
		}
	}
	c := newSeen(t, newSeenServer())
	if code := c.main([]string{"queue", "list", "--watch", "-o", "json"}); code != exitUsage || !strings.Contains(c.err.String(), "pass -o jsonl") {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	c = newSeen(t, newSeenServer())
	if code := c.main([]string{"queue", "list", "--watch", "--timeout", "50ms", "-o", "name"}); code != exitCanceled {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
}

// stopAfter calls stop once what was written contains a text.
type stopAfter struct {
	w    *bytes.Buffer
	when string
	stop func()
	done bool
}

func (s *stopAfter) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if !s.done && strings.Contains(s.w.String(), s.when) {
		s.done = true
		s.stop()
	}
	return n, err
}

// The log goes on until Ctrl-C, each line once.
func TestFollowingTheLog(t *testing.T) {
	s := newSeenServer()
	s.b.Log = []inspect.LogLine{{Seq: 5, Level: "info", Message: "five", At: bundletest.At, Fields: map[string]any{"job": "j", "n": 2}}}
	s.frames = []api.Frame{
		{Rows: []api.Row{row("7", inspect.LogLine{Seq: 7, Level: "error", Code: "host.disk_io", Message: "seven\x1b", Suppressed: 3, At: bundletest.At}), row("6", inspect.LogLine{Seq: 6, Level: "warn", Message: "six", At: bundletest.At})}, Dropped: 9},
	}
	c := newSeen(t, s)
	c.app.out = &sink{w: &stopAfter{w: &c.out, stop: func() { c.interrupts <- os.Interrupt }, when: "seven"}}
	code := c.main([]string{"node", "log", "-f"})
	want := "2026-03-14T09:26:53.000Z info  five job=j n=2\n2026-03-14T09:26:53.000Z warn  six\n2026-03-14T09:26:53.000Z error host.disk_io seven\uFFFD (3 like it left out before)\n"
	if code != 0 || c.out.String() != want || !strings.Contains(c.err.String(), "note:  9 lines went by unseen") {
		t.Errorf("exit code %d, %q\n%s", code, c.out.String(), c.err.String())
	}
}

// A snapshot is a whole file or none, and can be opened again.
func TestSnapshotsAndBundles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "b")
	c := newSeen(t, newSeenServer())
	if code := c.main([]string{"node", "snapshot", "--out", file}); code != 0 || !strings.HasPrefix(c.out.String(), file+"  ") {
		t.Fatalf("exit code %d, %q\n%s", code, c.out.String(), c.err.String())
	}
	c = newConsole(t, &fakeHost{})
	if code := c.main([]string{"bundle", "open", file}); code != 0 || !regexp.MustCompile(`(?m)^host +node-7 version 1.2.0 boot 5eed0001$`).MatchString(c.out.String()) {
		t.Errorf("exit code %d\n%s\n%s", code, c.out.String(), c.err.String())
	}
	c = newConsole(t, &fakeHost{})
	if code := c.main([]string{"bundle", "open", "-o", "template={{.host.name}} {{len .actors}}", file}); code != 0 || !strings.HasPrefix(c.out.String(), "node-7 ") {
		t.Errorf("exit code %d\n%s\n%s", code, c.out.String(), c.err.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	c = newConsole(t, &fakeHost{})
	if code := c.main([]string{"bundle", "open", file}); code != exitUsage || !strings.Contains(c.err.String(), "hint:") {
		t.Errorf("a cut bundle: exit code %d\n%s", code, c.err.String())
	}
	c = newConsole(t, &fakeHost{})
	if code := c.main([]string{"bundle", "open", file + "-none"}); code != exitNotFound {
		t.Errorf("no bundle: exit code %d\n%s", code, c.err.String())
	}
	c = newSeen(t, newSeenServer())
	if code := c.main([]string{"node", "snapshot", "--out", "-"}); code != 0 || !bytes.Equal(text[:4], c.out.Bytes()[:4]) {
		t.Errorf("to stdout: exit code %d\n%s", code, c.err.String())
	}
	c = newSeen(t, newSeenServer())
	c.outTerminal = true
	if code := c.main([]string{"node", "snapshot", "--out", "-"}); code != exitUsage {
		t.Errorf("to a terminal: exit code %d\n%s", code, c.err.String())
	}
	if _, err := io.ReadAll(whole{t.Context(), broken{}}); err == nil || !strings.Contains(err.Error(), "the connection broke") {
		t.Error(err)
	}
	if got := bundleName("a/../b\x1b", time.Unix(0, 0)); got != "troupe-a____b_-19700101T000000Z.bundle" {
		t.Error(got)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("reset") }

// Another version of the host is told in one line, and not to who wants no notes.
func TestVersionSkew(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		s := newSeenServer()
		s.version = "0.0.9"
		c := newSeen(t, s)
		args := []string{"actor", "list", "-o", "name"}
		want := 1
		if quiet {
			args, want = append(args, "-q"), 0
		}
		if code := c.main(args); code != 0 || strings.Count(c.err.String(), "the host has version 0.0.9, this program ") != want || strings.Count(c.err.String(), "\n") != want {
			t.Errorf("exit code %d\n%s", code, c.err.String())
		}
	}
}

// Status is coloured on a terminal, unless somebody minds.
func TestColoursOfStatus(t *testing.T) {
	for name, tt := range map[string]struct {
		terminal bool
		env      map[string]string
		want     bool
	}{
		"a terminal": {true, nil, true}, "a pipe": {false, nil, false}, "NO_COLOR": {true, map[string]string{"NO_COLOR": "1"}, false}, "dumb": {true, map[string]string{"TERM": "dumb"}, false},
	} {
		c := newSeen(t, newSeenServer())
		c.outTerminal = tt.terminal
		home := c.getenv
		c.getenv = func(k string) string {
			if v, ok := tt.env[k]; ok {
				return v
			}
			return home(k)
		}
		code := c.main([]string{"status"})
		if got := strings.Contains(c.out.String(), "\x1b[31merror\x1b[0m"); code != 0 || got != tt.want || strings.Contains(c.out.String(), "\x1b") != tt.want {
			t.Errorf("%s: exit code %d\n%s", name, code, c.out.String())
		}
	}
}

// Ids, values and fields are completed from the host.
func TestLiveCompletion(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"actor", "show", ""}, []string{"troupe/execute/worker-12"}},
		{[]string{"worker", "kill", ""}, []string{"execute-12"}},
		{[]string{"queue", "pause", ""}, []string{"execute"}},
		{[]string{"dead", "show", ""}, []string{"d-1"}},
		{[]string{"explain", ""}, []string{"execute", bundletest.Waiting, "troupe/cache"}},
		{[]string{"actor", "log-level", ""}, []string{"debug"}},
		{[]string{"actor", "log-level", "debug", ""}, []string{"troupe/cache"}},
		{[]string{"actor", "list", "--selector", "st"}, []string{"state="}},
		{[]string{"actor", "list", "--selector", "kind~x state=i"}, []string{"kind~x state=idle"}},
		{[]string{"actor", "list", "--selector", "kind="}, []string{"kind=root", "kind=cache"}},
		{[]string{"actor", "list", "--sort=-"}, []string{"-mailbox"}},
		{[]string{"job", "list", "--selector", "state="}, []string{"state=queued"}},
		{[]string{"help", ""}, []string{"query", "actor"}},
		{[]string{"actor", "list", "-o", ""}, []string{"template=", "jsonl"}},
	} {
		c := newSeen(t, newSeenServer())
		if code := c.main(append([]string{"__complete"}, tt.args...)); code != 0 {
			t.Errorf("%q: exit code %d", tt.args, code)
		}
		var got []string
		for line := range strings.Lines(c.out.String()) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, word)
		}
		for _, w := range tt.want {
			if !slices.Contains(got, w) {
				t.Errorf("%q: %q is not offered: %q", tt.args, w, got)
			}
		}
	}
	c := newConsole(t, &fakeHost{}) // nobody serves: silent
	if code := c.main([]string{"__complete", "actor", "show", ""}); code != 0 || c.out.String() != ":4\n" {
		t.Errorf("exit code %d, %q", code, c.out.String())
	}
}
