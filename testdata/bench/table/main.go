//go:build linux

// Command table measures a host against its goals and prints both: what a warm run, a start, a preparation, a runaway guest,
// memory, apps and the embedded chain cost, and how cost grows with payload, apps and callers. What needs other engines is measured by
// the command peers beside it, whose results are printed with these.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// part is a group of rows that can be left out.
type part struct {
	name string
	do   func(*rig) []report.Section
}

var parts = []part{
	{"warm", goals((*rig).warm)}, {"starts", goals((*rig).starts)}, {"prepare", goals((*rig).prepare)},
	{"runaway", goals((*rig).runaway)}, {"memory", goals((*rig).memory)},
	{"apps", goals((*rig).deployed)}, {"chain", goals((*rig).chain)}, {"growth", (*rig).growth},
}

// targets is the heading of the rows that have a goal.
const targets = "Goals"

func goals(f func(*rig) []report.Row) func(*rig) []report.Section {
	return func(r *rig) []report.Section { return []report.Section{{Name: targets, Rows: f(r)}} }
}

func main() {
	out := flag.String("out", "", "write the tables to this file, too")
	peers := flag.String("peers", "", "results of the command peers")
	bin := flag.String("bin", ".bin", "where troupe and troupe-worker are")
	guests := flag.String("guests", "testdata/guests", "the guests")
	only := flag.String("only", "", "parts joined by commas: "+names()+" (default all)")
	revision := flag.String("revision", "unknown", "what is measured")
	span := flag.String("time", "1s", "how long each figure is measured; 1x is the least that gives one")
	child := flag.String("child", "", "for its own use")
	flag.Parse()
	if *child != "" {
		os.Exit(actorsChild())
	}
	if err := print(*bin, *guests, *only, *span, *peers, *out, *revision); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func names() string {
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	return strings.Join(all, ",")
}

func print(bin, guests, only, span, peers, out, revision string) (err error) {
	to := io.Writer(os.Stdout)
	if out != "" {
		f, err := os.Create(out)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		to = io.MultiWriter(os.Stdout, f)
	}
	r, err := newRig(bin, guests, span)
	if err != nil {
		return err
	}
	defer r.close()
	var stop context.CancelFunc
	r.ctx, stop = signal.NotifyContext(r.ctx, os.Interrupt, unix.SIGTERM) // what was measured until then is printed
	defer stop()
	began := time.Now()
	before := report.SystemLoad()
	var all []report.Section
	for _, p := range parts {
		if only == "" || slices.Contains(strings.Split(only, ","), p.name) {
			fmt.Fprintf(os.Stderr, "%s ...\n", p.name)
			all = append(all, p.do(r)...)
		}
	}
	if peers != "" {
		more, err := report.Load(peers)
		if err != nil {
			return fmt.Errorf("peers: %w", err)
		}
		all = append(all, more...)
	}
	fmt.Fprintf(to, "troupe %s, %sload %s before and %s after, %s for each figure, %.0f s in all\n", revision, report.Machine(), before, report.SystemLoad(), span, time.Since(began).Seconds())
	fmt.Fprint(to, method, "\n")
	report.Show(to, all)
	if n := report.Failures(all); n > 0 {
		return fmt.Errorf("%d figures could not be measured", n)
	}
	return nil
}

const method = `Method: through host.Execute of one process, with workers as troupe-worker makes them; synced writes; caller, host and workers share
the cores. A figure is the median unless it is called otherwise; ratios are of figures taken by turns in one run. A small call is 512
bytes in and out and 4 pages dirtied, and each answer is checked, which an instance that was not reset would get wrong.
`

// rig is what all measurements need.
type rig struct {
	ctx         context.Context
	bin, guests string
	dir         string // for data directories
	span        time.Duration
	least       bool // measure as little as gives a figure
	reactor     []byte
	serial      uint64
}

func newRig(bin, guests, span string) (*rig, error) {
	r := &rig{ctx: context.Background(), guests: guests}
	var err error
	if r.bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	if r.least = strings.HasSuffix(span, "x"); r.least {
		r.span = 50 * time.Millisecond
	} else if r.span, err = time.ParseDuration(span); err != nil {
		return nil, err
	}
	if r.dir, err = os.MkdirTemp("", "troupe-bench-"); err != nil {
		return nil, err
	}
	reactor := filepath.Join(r.dir, "reactor.wasm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-buildmode=c-shared", "-o", reactor, "./testdata/bench/goreactor")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if b, err := build.CombinedOutput(); err != nil {
		r.close()
		return nil, fmt.Errorf("the Go reactor: %w: %s", err, b)
	}
	if r.reactor, err = os.ReadFile(reactor); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) close() { _ = os.RemoveAll(r.dir) }

// times is n, or as few as the least that gives a figure.
func (r *rig) times(n int) int {
	if r.least {
		return min(n, 2)
	}
	return n
}

func (r *rig) guest(name string) []byte {
	b, err := os.ReadFile(filepath.Join(r.guests, name+".wasm"))
	if err != nil {
		panic(err) // the guests are part of the repository
	}
	return b
}

// start starts a host on a new directory, unless cfg names one.
func (r *rig) start(cfg host.Config) (*host.Host, error) {
	if cfg.DataDir == "" {
		r.serial++
		cfg.DataDir = filepath.Join(r.dir, fmt.Sprint("data-", r.serial))
	}
	cfg.BallastBytes, cfg.WorkerPath = host.NoLimit, filepath.Join(r.bin, "troupe-worker")
	return host.Start(r.ctx, cfg)
}

// execute runs what must end well.
func (r *rig) execute(h *host.Host, q host.Request) (run.Receipt, error) {
	got, err := h.Execute(r.ctx, q)
	if err == nil && got.Verdict != "ok" {
		err = fmt.Errorf("%s: %s", got.Fault, got.Message)
	}
	return got, err
}
