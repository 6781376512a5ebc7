//go:build timed

package host_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// The lines of the warm path are ratios to yardsticks of the same run, since a machine is not the same twice: to the engine called in
// this process, to bytes that another process sends back, and to a process that does nothing. The goals, which are of a machine at
// rest, are printed beside.

// timedLine is one figure against its limit.
type timedLine struct {
	what, goal      string
	limit, measured float64
	least           bool // the limit is one from below
	means           string
}

// hold measures up to twice, prints, and fails if a line was missed both times.
func hold(t *testing.T, measure func() []timedLine) {
	t.Helper()
	for try := range 2 {
		var wrong []string
		for _, l := range measure() {
			load, _ := os.ReadFile("/proc/loadavg")
			t.Logf("%s: limit %.2f, measured %.2f (%s; goal %s), load %s", l.what, l.limit, l.measured, l.means, l.goal, strings.Fields(string(load))[0])
			if l.measured > l.limit != l.least {
				wrong = append(wrong, l.what)
			}
		}
		if len(wrong) == 0 {
			return
		}
		if try == 1 {
			t.Errorf("over the line twice: %s", strings.Join(wrong, "; "))
		}
	}
}

// mirror is a process that sends back what it is sent, over a socket.
func mirror(t *testing.T) func(p []byte) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer theirs.Close()
	if err := unix.SetNonblock(pair[1], false); err != nil {
		t.Fatal(err)
	}
	cat := exec.Command("cat")
	cat.Stdin, cat.Stdout = theirs, theirs
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	_ = ours.Close()
	t.Cleanup(func() { _ = conn.Close(); _ = cat.Wait() })
	back := make([]byte, 64<<10)
	return func(p []byte) {
		_, err := conn.Write(p)
		if err == nil {
			_, err = io.ReadFull(conn, back[:len(p)])
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func timeOf(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// TestTimedWarm: a warm small call against what it is made of, and how many of them there are in a second.
func TestTimedWarm(t *testing.T) {
	code := guest(t, "small-call")
	h := start(t, host.Config{})
	execute(t, h, host.Request{Code: code, Entry: run.Entry{Mode: run.Bytes, Name: "call"}})
	q := small(code)
	warm := func() {
		if r, err := h.Execute(t.Context(), q); err != nil || !answers(q.Input, r.Result) {
			t.Errorf("%s %s, %v", r.Verdict, r.Message, err)
		}
	}
	call := inProcess(t, code)
	inEngine := func() {
		if out := call(q.Entry, q.Input, func([]byte) error { return nil }); out.Fault != nil {
			t.Error(out.Fault)
		}
	}
	echo := mirror(t)
	hold(t, func() []timedLine {
		var hosted, engine, sent []time.Duration
		for range 100 {
			for range 30 {
				hosted = append(hosted, timeOf(warm))
			}
			for range 30 {
				engine = append(engine, timeOf(inEngine))
			}
			for range 30 {
				sent = append(sent, timeOf(func() { echo(q.Input) }))
			}
		}
		line := func(what, goal string, limit, quantile float64) timedLine {
			a, b, c := at(hosted, quantile), at(engine, quantile), at(sent, quantile)
			return timedLine{what: what, goal: goal, limit: limit, measured: float64(a) / float64(b+c), means: fmt.Sprintf("host %v, engine %v, bytes there and back %v", a, b, c)}
		}
		return []timedLine{
			line("warm small call, p50, of the engine here and bytes there and back", "20 µs", 3.5, 0.5),
			line("warm small call, p99, of the engine here and bytes there and back", "150 µs", 5, 0.99),
		}
	})
}

// TestTimedThroughput: small calls in a second, against bytes there and back.
func TestTimedThroughput(t *testing.T) {
	const span = time.Second
	code := guest(t, "small-call")
	h := start(t, host.Config{ExecuteQueue: 1 << 12})
	execute(t, h, host.Request{Code: code, Entry: run.Entry{Mode: run.Bytes, Name: "call"}})
	q := small(code)
	warm := func() {
		if r, err := h.Execute(t.Context(), q); err != nil || !answers(q.Input, r.Result) {
			t.Errorf("%s %s, %v", r.Verdict, r.Message, err)
		}
	}
	rate := func(callers ...func()) float64 {
		var all sync.WaitGroup
		counts := make([]int, len(callers))
		begin := time.Now()
		for i, f := range callers {
			all.Go(func() {
				for time.Since(begin) < span && !t.Failed() {
					f()
					counts[i]++
				}
			})
		}
		all.Wait()
		total := 0
		for _, n := range counts {
			total += n
		}
		return float64(total) / time.Since(begin).Seconds()
	}
	var mirrors []func()
	for range 2 {
		echo := mirror(t)
		mirrors = append(mirrors, func() { echo(q.Input) })
	}
	hold(t, func() []timedLine {
		rate(warm, warm) // workers are there
		two, many, sent := rate(warm, warm), rate(slices.Repeat([]func(){warm}, 128)...), rate(mirrors...)
		line := func(what, goal string, limit, measured float64) timedLine {
			return timedLine{what: what, goal: goal, limit: limit, measured: measured / sent, least: true, means: fmt.Sprintf("%.0f/s, bytes there and back %.0f/s", measured, sent)}
		}
		return []timedLine{
			line("small calls of two callers, of bytes there and back by two", "50,000/s", 0.04, two),
			line("small calls of 128 callers, of bytes there and back by two", "500,000/s", 0.04, many),
		}
	})
}

// TestTimedCachedStart: a first result of cached code, against a process that does nothing.
func TestTimedCachedStart(t *testing.T) {
	const starts = 15
	self, err := os.Executable() // workers are processes of this program, too
	if err != nil {
		t.Fatal(err)
	}
	var serial uint64
	hold(t, func() []timedLine {
		h := start(t, host.Config{ExecuteWorkers: starts + 1})
		var first, process []time.Duration
		for range starts {
			serial++
			code := variant(guest(t, "small-call"), serial)
			if j, err := h.Precheck(t.Context(), host.CodeRequest{Code: code}); err != nil || j.Verdict != "ok" {
				t.Fatal(j, err)
			}
			q := small(code)
			first = append(first, timeOf(func() {
				if r := execute(t, h, q); r.Cache != "hit" || !answers(q.Input, r.Result) {
					t.Errorf("%s, cache %s", r.Verdict, r.Cache)
				}
			}))
			process = append(process, timeOf(func() {
				if err := exec.Command(self, "-test.run=^$").Run(); err != nil {
					t.Error(err)
				}
			}))
		}
		a, b := at(first, 0.5), at(process, 0.5)
		return []timedLine{{what: "first result of cached code, p50, of a process that does nothing", goal: "1 ms", limit: 2.5,
			measured: float64(a) / float64(b), means: fmt.Sprintf("%v, process %v", a, b)}}
	})
}

// TestTimedRunaway: a guest that never ends is dead and replaced soon after its limit, and others go on meanwhile.
func TestTimedRunaway(t *testing.T) {
	const limit, rounds = 100 * time.Millisecond, 12
	h := start(t, host.Config{QuarantineAfter: host.NoLimit})
	endless, code := guest(t, "hash-puzzle"), guest(t, "small-call")
	quick := host.Request{Code: endless, Entry: invoke("run", "0", "0")}
	execute(t, h, quick)
	execute(t, h, host.Request{Code: code, Entry: run.Entry{Mode: run.Bytes, Name: "call"}})
	q := small(code)
	calls := func(until <-chan struct{}) (all []time.Duration) {
		for {
			select {
			case <-until:
				return all
			default:
				all = append(all, timeOf(func() { execute(t, h, q) }))
			}
		}
	}
	forever := host.Request{Code: endless, Entry: invoke("run", "0", "64"), Limits: run.Limits{CPU: limit}}
	// What it used past its limit is by the account of the operating system: the machine does not always give it a core.
	runaway := func() (past time.Duration) {
		r, err := h.Execute(t.Context(), forever)
		if err != nil || r.Fault != string(fault.GuestCPULimit) {
			t.Errorf("%s %s, %v", r.Verdict, r.Fault, err)
		}
		return time.Duration(*r.CPUMicros)*time.Microsecond - limit
	}
	hold(t, func() []timedLine {
		var over, quiet, beside []time.Duration
		for range rounds {
			past := runaway()
			over = append(over, past+timeOf(func() { execute(t, h, quick) }))
			for _, with := range []bool{false, true} {
				stop := make(chan struct{})
				var others sync.WaitGroup
				others.Go(func() {
					defer close(stop)
					if with {
						runaway()
					} else {
						<-time.After(limit)
					}
				})
				got := calls(stop)
				others.Wait()
				if with {
					beside = append(beside, got...)
				} else {
					quiet = append(quiet, got...)
				}
			}
		}
		least := at(over, 0)
		return []timedLine{
			{what: "runaway guest, CPU time past its limit and the first result of another worker, ms, the least of all", goal: "5 ms", limit: 20,
				measured: least.Seconds() * 1e3, means: fmt.Sprintf("p50 %v", at(over, 0.5))},
			{what: "p99 of small calls beside runaway guests, of that without", goal: "1.0", limit: 5,
				measured: float64(at(beside, 0.99)) / float64(at(quiet, 0.99)), means: fmt.Sprintf("%v, %v", at(beside, 0.99), at(quiet, 0.99))},
		}
	})
}
