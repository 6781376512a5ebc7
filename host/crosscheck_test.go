package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/internal/pool"
	"github.com/troupehost/troupe/host/wire"
)

// checkRig is a cross-check without processes.
type checkRig struct {
	*crossChecks
	results []string
	asked   []pool.Repeat
}

func newCheckRig(t *testing.T, answer wire.Checked, err error) *checkRig {
	t.Helper()
	r := &checkRig{}
	code := func(artifacts.CodeHash) (*sealed.File, error) { return sealed.FromBytes("code", []byte("code")) }
	r.crossChecks = &crossChecks{share: checksPer, tenant: "default", pick: func(int) int { return 0 },
		repeat: func(_ context.Context, p pool.Repeat) (wire.Checked, error) {
			r.asked = append(r.asked, p)
			return answer, err
		},
		held: code, code: func(_ context.Context, h artifacts.CodeHash) (*sealed.File, error) { return code(h) },
		health: newHealth(time.Now), count: func(what string) { r.results = append(r.results, what) }, log: zerolog.Nop(),
		queue: make(chan suspicion, 2)}
	t.Cleanup(r.drop)
	return r
}

// work repeats what waits.
func (r *checkRig) work(ctx context.Context) {
	for len(r.queue) > 0 {
		s := <-r.queue
		r.count(r.check(ctx, &s))
		s.release()
	}
}

// ended is a run that did nothing wrong, and what the interpreter says of it.
func ended() (run.Receipt, wire.Checked) {
	receipt := run.Receipt{Verdict: "ok", Result: run.Blob("7"), Stdout: run.Blob{}, GasUsed: new(int64(10)), InitGas: new(int64(3)),
		MemoryPeakBytes: new(int64(65536)), CPUMicros: new(int64(1000)), Clock: "deterministic", NaN: run.NaNDefault,
		CodeHash: strings.Repeat("ab", 32), Artifact: strings.Repeat("cd", 32), Params: strings.Repeat("ef", 32)}
	empty := sha256.Sum256(nil)
	return receipt, wire.Checked{GasUsed: 10, InitGas: 3, MemoryPeakBytes: 65536, Result: sha256.Sum256([]byte("7")), Stdout: empty, Stderr: empty}
}

// TestWhatComesOfACrossCheck: each difference raises the alarm, and what may differ does not.
func TestWhatComesOfACrossCheck(t *testing.T) {
	for name, row := range map[string]struct {
		change  func(r *run.Receipt, c *wire.Checked)
		err     error
		result  string
		message string // of the warning
	}{
		"the same":        {result: "agreed"},
		"another result":  {change: func(_ *run.Receipt, c *wire.Checked) { c.Result[0]++ }, result: "differed", message: ": result"},
		"other output":    {change: func(_ *run.Receipt, c *wire.Checked) { c.Stdout[0]++; c.Stderr[0]++ }, result: "differed", message: ": stdout, stderr"},
		"other gas":       {change: func(_ *run.Receipt, c *wire.Checked) { c.GasUsed++ }, result: "differed", message: "gas (compiled 10, interpreted 11)"},
		"other init gas":  {change: func(_ *run.Receipt, c *wire.Checked) { c.InitGas++ }, result: "differed", message: "initialisation (compiled 3, interpreted 4)"},
		"other memory":    {change: func(_ *run.Receipt, c *wire.Checked) { c.MemoryPeakBytes = 0 }, result: "differed", message: "memory peak"},
		"a trap":          {change: func(_ *run.Receipt, c *wire.Checked) { c.Code = fault.GuestTrap }, result: "differed", message: "outcome (compiled ok, interpreted guest.trap)"},
		"an exit":         {change: func(_ *run.Receipt, c *wire.Checked) { c.Exited = true }, result: "differed", message: "interpreted exit 0"},
		"NaNs":            {change: func(_ *run.Receipt, c *wire.Checked) { c.Result[0]++; c.Floats = true }, result: "nans"},
		"floats, no NaNs": {change: func(_ *run.Receipt, c *wire.Checked) { c.Floats = true }, result: "agreed"},
		"canonical NaNs": {change: func(r *run.Receipt, c *wire.Checked) {
			r.NaN = run.NaNCanonical
			c.Result[0]++
			c.Floats = true
		}, result: "differed", message: ": result"},
		"a deep stack": {change: func(_ *run.Receipt, c *wire.Checked) { c.Result[0]++; c.TooDeep = true }, result: "deep"},
		"a slow one":   {err: fault.New(fault.GuestCPULimit, "", "", nil), result: "slow"},
		"a death":      {err: fault.New(fault.SuspectWorkerDied, "", "", nil), result: "failed"},
	} {
		receipt, says := ended()
		if row.change != nil {
			row.change(&receipt, &says)
		}
		r := newCheckRig(t, says, row.err)
		r.consider(Request{Input: []byte("in")}, receipt, heard{})
		r.work(t.Context())
		if d := cmp.Diff([]string{row.result}, r.results); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		list := r.health.list()
		if (len(list) == 1) != (row.message != "") || len(list) == 1 && !strings.Contains(list[0].Message, row.message) {
			t.Errorf("%s: warnings %+v", name, list)
		}
	}
}

// TestWhichRunsAreNotRepeated goes through all reasons that are known beforehand.
func TestWhichRunsAreNotRepeated(t *testing.T) {
	gone := errors.New("gone")
	for name, row := range map[string]struct {
		change func(q *Request, r *run.Receipt, c *checkRig)
		want   string
	}{
		"out of time":    {func(_ *Request, r *run.Receipt, _ *checkRig) { r.Fault = string(fault.GuestCPULimit) }, "outcome"},
		"out of memory":  {func(_ *Request, r *run.Receipt, _ *checkRig) { r.Fault = string(fault.GuestMemory) }, "outcome"},
		"a dead worker":  {func(_ *Request, r *run.Receipt, _ *checkRig) { r.GasUsed = nil }, "outcome"},
		"the real world": {func(_ *Request, r *run.Receipt, _ *checkRig) { r.Clock = "real" }, "world"},
		"stdin that was read": {func(q *Request, _ *run.Receipt, _ *checkRig) {
			q.Stdin = strings.NewReader("")
			q.Entry.Name = "reads"
		}, "stdin"},
		"stdin that was not read": {func(q *Request, _ *run.Receipt, _ *checkRig) { q.Stdin = strings.NewReader("") }, "agreed"},
		"stderr":                  {func(q *Request, _ *run.Receipt, _ *checkRig) { q.Stderr = &strings.Builder{} }, "agreed"},
		"large stderr": {func(q *Request, _ *run.Receipt, _ *checkRig) {
			q.Stderr = &strings.Builder{}
			q.Entry.Name = "writes"
		}, "size"},
		"large input":      {func(q *Request, _ *run.Receipt, _ *checkRig) { q.Input = make([]byte, checkBytes+1) }, "size"},
		"large output":     {func(_ *Request, r *run.Receipt, _ *checkRig) { r.Stdout = make(run.Blob, checkBytes) }, "size"},
		"a long run":       {func(_ *Request, r *run.Receipt, _ *checkRig) { r.CPUMicros = new(int64(1e6)) }, "slow"},
		"a full queue":     {func(_ *Request, _ *run.Receipt, c *checkRig) { c.queue <- suspicion{}; c.queue <- suspicion{} }, "busy"},
		"code that is not": {func(_ *Request, r *run.Receipt, _ *checkRig) { r.CodeHash = "" }, "no_code"},
		"code that is gone": {func(_ *Request, _ *run.Receipt, c *checkRig) {
			c.held = func(artifacts.CodeHash) (*sealed.File, error) { return nil, gone }
			c.code = func(context.Context, artifacts.CodeHash) (*sealed.File, error) { return nil, gone }
		}, "no_code"},
		"code that is stored": {func(_ *Request, _ *run.Receipt, c *checkRig) {
			c.held = func(artifacts.CodeHash) (*sealed.File, error) { return nil, gone }
		}, "agreed"},
	} {
		receipt, says := ended()
		r := newCheckRig(t, says, nil)
		var q Request
		row.change(&q, &receipt, r)
		_, _ = r.over(t.Context(), q, func(_ context.Context, q Request) (run.Receipt, error) {
			switch q.Entry.Name {
			case "reads":
				_, _ = q.Stdin.Read(make([]byte, 1))
			case "writes":
				_, _ = q.Stderr.Write(make([]byte, checkBytes+1))
			}
			return receipt, nil
		})
		if row.want == "busy" {
			r.drop()
		}
		r.work(t.Context())
		if d := cmp.Diff([]string{row.want}, r.results); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if asked := len(r.asked) > 0; asked != (row.want == "agreed") {
			t.Errorf("%s: repeated: %v", name, asked)
		}
	}
}

// TestARunIsRepeatedAsItWas: the request of the check is that of the run, and what its caller does with it later changes nothing.
func TestARunIsRepeatedAsItWas(t *testing.T) {
	receipt, says := ended()
	receipt.NaN = run.NaNCanonical
	r := newCheckRig(t, says, nil)
	var input []byte
	r.repeat = func(_ context.Context, p pool.Repeat) (wire.Checked, error) {
		input = make([]byte, p.Input.Size())
		_, err := p.Input.ReadAt(input, 0)
		p.Code, p.Input = nil, nil
		r.asked = append(r.asked, p)
		return says, err
	}
	q := Request{Entry: run.Entry{Mode: run.Bytes, Name: "f", Args: []string{"a"}, Env: []string{"K=V"}}, Input: []byte("in"), Tenant: "t",
		Limits: run.Limits{Gas: 5, InitGas: 6, StackValues: 2000, MemoryBytes: 1 << 20, OutputBytes: 9}, Imports: run.TrapMissing}
	r.consider(q, receipt, heard{})
	q.Entry.Args[0], q.Entry.Env[0], q.Input[0] = "changed", "changed", 'x'
	r.work(t.Context())
	limits := q.Limits.WithDefaults()
	limits.CPU = checkStart + checkFactor*time.Millisecond
	key, _ := artifacts.ParseKey(receipt.Artifact)
	want := []pool.Repeat{{Tenant: "t", Key: key, CanonicalNaNs: true, Entry: run.Entry{Mode: run.Bytes, Name: "f", Args: []string{"a"}, Env: []string{"K=V"}},
		Limits: limits, Imports: run.TrapMissing}}
	if d := cmp.Diff(want, r.asked); d != "" || string(input) != "in" || cmp.Diff([]string{"agreed"}, r.results) != "" {
		t.Errorf("%s\ninput %q, %v", d, input, r.results)
	}
}

// TestStreamsAreHeard: what a run writes to its caller is compared, reaches the caller, and fails as the caller says.
func TestStreamsAreHeard(t *testing.T) {
	receipt, says := ended()
	says.Stdout, says.Stderr = sha256.Sum256([]byte("hello world")), sha256.Sum256([]byte("e"))
	r := newCheckRig(t, says, nil)
	var out, err strings.Builder
	q := Request{Stdin: strings.NewReader("abc"), Stdout: &out, Stderr: &err}
	write := func(second string) {
		_, _ = r.over(t.Context(), q, func(_ context.Context, q Request) (run.Receipt, error) {
			for _, s := range []string{"hello ", second} {
				if n, err := q.Stdout.Write([]byte(s)); n != len(s) || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			}
			_, _ = q.Stderr.Write([]byte("e"))
			return receipt, nil
		})
		r.work(t.Context())
	}
	write("world")
	write("World")
	if d := cmp.Diff([]string{"agreed", "differed"}, r.results); d != "" || out.String() != "hello worldhello World" || err.String() != "ee" {
		t.Errorf("%s: %q %q", d, &out, &err)
	}
	q.Stdout = failing{}
	_, _ = r.over(t.Context(), q, func(_ context.Context, q Request) (run.Receipt, error) {
		if n, err := q.Stdout.Write([]byte("abc")); n != 1 || err == nil {
			t.Errorf("%d, %v", n, err)
		}
		b := make([]byte, 3)
		if n, err := q.Stdin.Read(b); n != 3 || err != nil || string(b) != "abc" {
			t.Errorf("%q, %v", b, err)
		}
		return run.Receipt{}, errors.New("no verdict")
	})
	if len(r.queue) > 0 || len(r.results) != 2 {
		t.Error("a run without a verdict is repeated")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 1, errors.New("no more") }

// TestTheShareOfCrossChecks: so many of 10,000 are chosen, every run is executed once, and a host that is not told to checks nothing.
func TestTheShareOfCrossChecks(t *testing.T) {
	receipt, says := ended()
	r := newCheckRig(t, says, nil)
	random := rand.New(rand.NewPCG(1, 2))
	r.pick, r.share = random.IntN, 100
	executed := 0
	for range 20_000 {
		_, _ = r.over(t.Context(), Request{}, func(context.Context, Request) (run.Receipt, error) {
			executed++
			return receipt, nil
		})
		r.work(t.Context())
	}
	if executed != 20_000 {
		t.Errorf("%d were executed", executed)
	}
	if n := len(r.results); n < 130 || n > 280 {
		t.Errorf("%d of 20,000 were repeated", n)
	}
	var off *crossChecks
	off.drop()
	off.keep(t.Context())
	if newCrossChecks(&Host{}) != nil {
		t.Error("a host that is not told to checks")
	}
}
