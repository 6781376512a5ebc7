package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/chainbridge"
	"github.com/troupehost/troupe/host"
)

func init() { roles["chain"] = chainChild }

// chainChildEnv has the URL of the chain, and where to fetch from.
const (
	chainURLEnv    = "TROUPE_HOST_TEST_CHAIN"
	chainSourceEnv = "TROUPE_HOST_TEST_SOURCE"
)

// chainLine is what a child says.
type chainLine struct {
	What    string               `json:"what"` // up, used, settled, error
	Text    string               `json:"text,omitempty"`
	Worker  string               `json:"worker,omitempty"`
	Pages   int                  `json:"pages,omitempty"`
	Metrics []inspect.AppMetrics `json:"metrics,omitempty"`
	View    *inspect.ChainView   `json:"view,omitempty"`
}

// chainChild is a host at a chain that somebody else runs. It uses its apps without end, and does what it is told by lines: settle
// has all settled and stops the use; join consents to the list 0.
func chainChild(dir string) {
	ctx := context.Background()
	out := json.NewEncoder(os.Stdout)
	die := func(err error) {
		_ = out.Encode(chainLine{What: "error", Text: err.Error()})
		os.Exit(1)
	}
	c, err := chainbridge.Dial(os.Getenv(chainURLEnv))
	if err != nil {
		die(err)
	}
	cfg := (&chainRig{source: os.Getenv(chainSourceEnv)}).config(c)
	cfg.DataDir, cfg.BallastBytes, cfg.Apps.Resume, cfg.Chain.ReportEvery = dir, host.NoLimit, true, 100*time.Millisecond
	h, err := host.Start(ctx, cfg)
	if err != nil {
		die(err)
	}
	s, err := h.Session(ctx)
	if err != nil {
		die(err)
	}
	_ = out.Encode(chainLine{What: "up", Worker: s.WorkerKey})
	var rest, idle atomic.Bool
	go func() { // the use
		for n := 0; ; n++ {
			if rest.Load() {
				idle.Store(true)
				return
			}
			apps, _, err := h.Apps(ctx, host.AppFilter{})
			for _, a := range apps {
				if _, err = h.Query(ctx, host.AppQuery{Address: a.Address, Path: "echo", Payload: []byte("x")}); err == nil && n%10 == 0 {
					_ = out.Encode(chainLine{What: "used"})
				}
			}
			if err != nil || len(apps) == 0 {
				<-time.After(5 * time.Millisecond)
			}
		}
	}()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "settle":
			rest.Store(true)
			for !idle.Load() {
				<-time.After(time.Millisecond)
			}
			pages, _, err := h.ReportToChain(ctx)
			for ; err != nil; pages, _, err = h.ReportToChain(ctx) {
				if class := fault.From(err).Class; class != fault.Busy {
					die(err)
				}
			}
			m, err := h.AppMetrics(ctx)
			if err != nil {
				die(err)
			}
			v, err := h.Chain(ctx)
			if err != nil {
				die(err)
			}
			_ = out.Encode(chainLine{What: "settled", Pages: pages, Metrics: m, View: &v})
		default: // a call as JSON
			var call chainCallLine
			if err := json.Unmarshal(in.Bytes(), &call); err != nil {
				die(err)
			}
			if _, err := h.SendToChain(ctx, call.Key, call.Call); err != nil {
				die(err)
			}
			_ = out.Encode(chainLine{What: "sent"})
		}
	}
	os.Exit(0)
}

// chainProcess is a host that is killed.
type chainProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan chainLine
}

func startChainProcess(t *testing.T, dir, url, source string) *chainProcess {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &chainProcess{t: t, cmd: exec.Command(exe), lines: make(chan chainLine, 1000)}
	p.cmd.Env = append(os.Environ(), crashEnv+"="+dir, roleEnv+"=chain", chainURLEnv+"="+url, chainSourceEnv+"="+source)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		d := json.NewDecoder(out)
		for {
			var l chainLine
			if d.Decode(&l) != nil {
				return
			}
			select {
			case p.lines <- l:
			default: // nobody reads what it used
				if l.What != "used" {
					p.lines <- l
				}
			}
		}
	}()
	return p
}

// await reads lines until one of a kind.
func (p *chainProcess) await(what string) chainLine {
	p.t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case l, ok := <-p.lines:
			switch {
			case !ok:
				p.t.Fatalf("the host ended before it said %q", what)
			case l.What == "error":
				p.t.Fatalf("the host: %s", l.Text)
			case l.What == what:
				return l
			}
		case <-limit:
			p.t.Fatalf("waited a minute for the host to say %q", what)
		}
	}
}

func (p *chainProcess) tell(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *chainProcess) kill() {
	_ = p.cmd.Process.Kill()
	for range p.lines {
	}
	_ = p.cmd.Wait()
}

// rough is a chain behind a bad line: it delays, refuses, and takes a call without an answer.
type rough struct {
	rig   *chainRig
	inner atomic.Pointer[http.Handler]
	calm  atomic.Bool
	kinds [4]atomic.Uint64
}

func (x *rough) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inner := *x.inner.Load()
	if r.Method != http.MethodPost || x.calm.Load() {
		inner.ServeHTTP(w, r)
		return
	}
	switch n := rand.IntN(20); {
	case n < 3:
		x.kinds[0].Add(1)
		timer := time.NewTimer(time.Duration(rand.IntN(200)) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	case n < 5: // the answer is lost
		x.kinds[1].Add(1)
		inner.ServeHTTP(unheard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	case n < 6:
		x.kinds[2].Add(1)
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	}
	inner.ServeHTTP(w, r)
}

type unheard struct{ h http.Header }

func (d unheard) Header() http.Header         { return d.h }
func (d unheard) Write(b []byte) (int, error) { return len(b), nil }
func (d unheard) WriteHeader(int)             {}

// chainKills is how often the host is killed.
func chainKills() int {
	if n, err := strconv.Atoi(os.Getenv("CHAOS_KILLS")); err == nil && n > 0 {
		return max(n/5, 5)
	}
	return 5
}

// TestChaosChainKills: a host is killed again and again between the signing of a report, its submission, its block and what is known of
// that, at a chain that delays, loses answers, refuses, and forgets what waited. In the end all that was used is paid, and nothing twice.
func TestChaosChainKills(t *testing.T) {
	r := newChainRig(t, "kills", chainBlock, nil)
	x := &rough{rig: r}
	serve := func() { h := r.c.Handler(); x.inner.Store(&h) }
	serve()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: x, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	dir, url := t.TempDir(), "unix://"+l.Addr().String()

	x.calm.Store(true)
	p := startChainProcess(t, dir, url, r.source)
	defer func() { p.kill() }()
	worker := parseKey(t, p.await("up").Worker)
	r.until("a session", func() (bool, string) {
		w := r.worker(worker)
		return w.Session != nil && w.Description != nil, chainText(w)
	})
	r.call(r.root, "Wapod", "worker_list_create", map[string]any{"description": "tests", "prices": chainPrices(), "init_workers": []any{worker}})
	var invited struct {
		Invitation uint64 `json:"invitation"`
	}
	r.query("Wapod/invitation", map[string]any{"list": 0, "worker": worker}, &invited)
	p.tell(chainText(chainCallLine{"join", callOf("Wapod", "worker_list_consent", map[string]any{"list": 0, "worker": worker, "invitation": invited.Invitation})}))
	p.await("sent")
	m, cid := r.app("c-handler", "kills", nil)
	const price = 17
	id := r.pay(0, m, cid, "100000000000000", "gas_price", fmt.Sprint(price))
	p.await("used")
	x.calm.Store(false)
	forgot := 0
	for n := range chainKills() {
		p.await("used")
		timer := time.NewTimer(time.Duration(rand.IntN(1000)) * time.Millisecond) // reports are made each 100 ms
		<-timer.C
		p.kill()
		if n%3 == 2 { // the chain starts anew, and has forgotten what waited for a block
			r.shut()
			r.begin()
			serve()
			forgot++
		}
		p = startChainProcess(t, dir, url, r.source)
		if w := parseKey(t, p.await("up").Worker); w != worker {
			t.Fatalf("the worker is %s, it was %s", w, worker)
		}
	}
	p.await("used")
	p.tell("settle")
	done := p.await("settled")
	if len(done.Metrics) != 1 || done.View == nil {
		t.Fatalf("%s", chainText(done))
	}
	want := new(big.Int).Mul(big.NewInt(price), new(big.Int).SetUint64(done.Metrics[0].Gas))
	ticket := r.ticket(id)
	if len(ticket.Workers) != 1 || ticket.Workers[0].TotalPaid != want.String() || ticket.Workers[0].Debt != "0" {
		t.Errorf("the ticket has %+v, want %v paid for %+v", ticket, want, done.Metrics[0])
	}
	sum, payments := new(big.Int), 0
	for _, s := range r.settlements() {
		sum.Add(sum, s.Payout)
		payments++
	}
	if sum.Cmp(want) != 0 || r.free(worker).Cmp(want) != 0 {
		t.Errorf("%d payments of %v, the worker has %v, want %v", payments, sum, r.free(worker), want)
	}
	t.Logf("%d kills, %d payments, %d starts of the chain; %d delays, %d answers lost, %d refusals; %v paid", chainKills(), payments, forgot, x.kinds[0].Load(), x.kinds[1].Load(),
		x.kinds[2].Load(), want)
}
