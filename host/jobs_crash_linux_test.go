package host_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// crashJobsEnv names the data directory of a host with jobs that the test kills.
const crashJobsEnv = "TROUPE_HOST_TEST_CRASH_JOBS"

// crashJobs is how many jobs wait when the host is killed.
const crashJobs = 30

// crashingWithJobs has one job done, one on the only worker, and many that wait, and is killed once the start of the second
// is on disk.
func crashingWithJobs(dir string) {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	h, err := host.Start(ctx, host.Config{DataDir: dir, BallastBytes: host.NoLimit, ExecuteWorkers: 1, ExecuteWorkersCritical: 1})
	check(err)
	code := func(name string) []byte {
		b, err := os.ReadFile("../testdata/guests/" + name + ".wasm")
		check(err)
		return b
	}
	say := func(what string, r host.JobRequest) run.Job {
		j, err := h.Submit(ctx, r)
		check(err)
		fmt.Println(what, j.ID)
		return j
	}
	small := host.JobRequest{Request: host.Request{Code: code("hash-puzzle"), Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "1"}}}}
	small.Key = "done"
	for j := say("done", small); j.State != run.JobSettled; {
		j, err = h.WatchJob(ctx, j.ID, len(j.Events))
		check(err)
	}
	long := host.JobRequest{Request: host.Request{Code: code("loop"), Entry: run.Entry{Mode: run.Invoke, Name: "run"}, Limits: run.Limits{CPU: time.Hour}}}
	for j := say("spins", long); j.State != run.JobRunning; {
		j, err = h.WatchJob(ctx, j.ID, len(j.Events))
		check(err)
	}
	began := time.NewTimer(2500 * time.Millisecond) // by then its start is on disk
	for n := range crashJobs {
		small.Key = fmt.Sprint("waits ", n)
		say("waits", small)
	}
	<-began.C
	fmt.Println("ready -")
	select {}
}

// TestAKilledHostLosesNoJob kills a host with kill -9: the next one has each job, done ones with their result, and ends the
// others.
func TestAKilledHostLosesNoJob(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := exec.Command(exe)
	c.Env = append(os.Environ(), crashJobsEnv+"="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ids := map[string][]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var what, id string
		if _, err := fmt.Sscan(lines.Text(), &what, &id); err != nil || what == "error" {
			t.Fatal(lines.Text(), err)
		}
		if what == "ready" {
			break
		}
		ids[what] = append(ids[what], id)
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	if len(ids["done"]) != 1 || len(ids["spins"]) != 1 || len(ids["waits"]) != crashJobs {
		t.Fatal(ids)
	}

	h := start(t, host.Config{DataDir: dir})
	done, err := h.Job(t.Context(), ids["done"][0])
	if err != nil || done.State != run.JobSettled || string(done.Receipt.Result) != "3" || done.Starts != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	r := puzzle(t)
	r.Key = "done"
	if j := submit(t, h, r); j.ID != done.ID {
		t.Errorf("its key names %s, want %s", j.ID, done.ID)
	}
	for _, id := range ids["waits"] {
		if j := until(t, h, id, isSettled); j.Receipt == nil || string(j.Receipt.Result) != "3" {
			t.Errorf("%+v", j)
		}
	}
	j := until(t, h, ids["spins"][0], isRunning)
	if d := cmp.Diff([]string{"submitted", "started", "requeued", "started"}, whats(j)); d != "" || j.Starts != 2 {
		t.Error(d, j.Starts)
	}
	if _, err := h.CancelJob(t.Context(), j.ID, "me"); err != nil {
		t.Error(err)
	}
	until(t, h, j.ID, isSettled)
	list, _, err := h.Jobs(t.Context(), host.JobFilter{State: run.JobSettled})
	if err != nil || len(list) != crashJobs+2 || !slices.IsSortedFunc(list, func(a, b run.Job) int { return a.SubmittedAt.Compare(b.SubmittedAt) }) {
		t.Errorf("%d jobs, %v", len(list), err)
	}
}
