//go:build chaos

package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

func init() { roles["serve"] = serveCalls }

// call is one line to a host that is killed, answer one line back.
type call struct {
	ID     int
	Op     string // execute, precheck, announce, submit, job, watch, jobs, pin, evict, prune, workers, disk, close
	Guest  string // with Number, the code
	Number uint64
	Args   []string
	Key    string
	Job    string // or the key of an artifact
}

type answer struct {
	ID      int
	Err     string // a fault code
	Text    string // the error in words
	Fault   string
	Result  string
	Hit     bool
	Stored  bool
	Jobs    []run.Job        `json:",omitempty"`
	Workers []inspect.Worker `json:",omitempty"`
	Key     string           // of the artifact
	Pins    []string         // artifacts that are pinned
	Store   inspect.Store
	Table   int64 // bytes of all artifacts that the table knows
}

// chaosConfig is patient with code whose workers are killed: it is not their fault.
func chaosConfig(dir string) host.Config {
	return host.Config{DataDir: dir, BallastBytes: host.NoLimit, ExecuteWorkers: 3, RetryCooldown: time.Millisecond, Retries: host.NoLimit,
		QuarantineAfter: host.NoLimit, StopTimeout: 5 * time.Second}
}

// serveCalls is a host that answers calls until it is killed.
func serveCalls(dir string) {
	h, err := host.Start(context.Background(), chaosConfig(dir))
	if err != nil {
		f := fault.From(err)
		fmt.Printf("error %s %q: %s\n", f.Code, f.Hint, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(a answer) {
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(a)
	}
	say(answer{})
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var c call
		if in.Decode(&c) != nil {
			os.Exit(0)
		}
		go func() {
			a, err := c.do(context.Background(), h)
			a.ID = c.ID
			if err != nil {
				a.Err, a.Text = string(fault.From(err).Code), err.Error()
			}
			say(a)
			if c.Op == "close" {
				os.Exit(0)
			}
		}()
	}
}

func (c call) do(ctx context.Context, h *host.Host) (a answer, err error) {
	var code []byte
	if c.Guest != "" {
		if code, err = os.ReadFile(filepath.Join("..", "testdata", "guests", c.Guest+".wasm")); err != nil {
			return a, err
		}
		code = variant(code, c.Number)
	}
	entry := run.Entry{Mode: run.Invoke, Name: "run", Args: c.Args}
	var job run.Job
	switch c.Op {
	case "execute":
		r, err := h.Execute(ctx, host.Request{Code: code, Entry: entry})
		return answer{Fault: r.Fault, Result: string(r.Result), Hit: r.Cache == "hit"}, err
	case "precheck":
		j, err := h.Precheck(ctx, host.CodeRequest{Code: code})
		return answer{Fault: j.Fault, Hit: j.Cache == "hit", Stored: j.Stored, Key: j.Artifact}, err
	case "announce":
		return a, h.HeadsUp(ctx, host.CodeRequest{Code: code})
	case "submit":
		job, err = h.Submit(ctx, host.JobRequest{Request: host.Request{Code: code, Entry: entry}, Key: c.Key})
	case "job":
		job, err = h.Job(ctx, c.Job)
	case "watch":
		for err == nil && job.State != run.JobSettled {
			job, err = h.WatchJob(ctx, c.Job, len(job.Events))
		}
	case "jobs":
		var page []run.Job
		for next := ""; err == nil && (next != "" || a.Jobs == nil); a.Jobs = append(a.Jobs, page...) {
			if page, next, err = h.Jobs(ctx, host.JobFilter{After: next, Limit: 1000}); next == "" && a.Jobs == nil {
				a.Jobs = []run.Job{}
			}
		}
		return a, err
	case "pin":
		return a, h.Pin(ctx, "", c.Job)
	case "evict":
		return a, h.Evict(ctx, c.Job)
	case "prune":
		_, err := h.Prune(ctx)
		return a, err
	case "workers", "disk":
		s, err := h.Inspect(ctx)
		for _, x := range s.Artifacts {
			if x.Stored {
				a.Table += x.Bytes
			}
			if len(x.Pins) > 0 {
				a.Pins = append(a.Pins, x.Key)
			}
		}
		a.Workers, a.Store = s.Workers, s.Store
		return a, err
	case "close":
		return a, h.Close()
	}
	if err == nil {
		a.Jobs = []run.Job{job}
	}
	return a, err
}
