package host

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/internal/lanes"
)

// otherwise sets a field of a request to what it is not.
func otherwise(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Uint8:
		v.SetUint(v.Uint() + 2) // 1 is the default of each
	case reflect.Int64:
		v.SetInt(v.Int() + 1<<20)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.ValueOf("x")))
	default:
		t.Fatalf("a field of kind %v", v.Kind())
	}
}

// TestTermsAreThoseOfTheRequest changes each field of a request: its terms are others, or the field is one of those that may
// differ between requests with the same terms. Whatever was remembered before, they are the same as if worked out anew.
func TestTermsAreThoseOfTheRequest(t *testing.T) {
	h, base := besideRide(t)
	free := map[string]bool{"Code": true, "CodeHash": true, "Priority": true, "Validity": true, "Input": true, "Stdin": true, "Stdout": true, "Stderr": true}
	first, err := h.termsOf(&base, base.CodeHash)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := h.termsOf(&base, base.CodeHash); again != first {
		t.Error("the same terms are worked out twice")
	}
	ofApp := base
	ofApp.app = &appRun{address: "an app"}
	if got, _ := h.termsOf(&ofApp, base.CodeHash); got == first || got.param == first.param || got.job.Binding == first.job.Binding {
		t.Error("a run of an app has the terms of bare code")
	}
	h.terms = newTermTable()
	first, _ = h.termsOf(&base, base.CodeHash)
	var walk func(path string, field func(*Request) reflect.Value)
	walk = func(path string, field func(*Request) reflect.Value) {
		r := base
		v := field(&r)
		if v.Kind() == reflect.Struct {
			for n := range v.NumField() {
				walk(path+"."+v.Type().Field(n).Name, func(r *Request) reflect.Value { return field(r).Field(n) })
			}
			return
		}
		otherwise(t, v)
		got, err := h.termsOf(&r, r.CodeHash)
		if err != nil {
			t.Fatal(path, err)
		}
		h.terms = newTermTable()
		anew, _ := h.termsOf(&r, r.CodeHash)
		if got == first || got.param == first.param && got.key == first.key {
			t.Errorf("%s changes nothing", path)
		}
		if got.param != anew.param || got.key != anew.key || got.name != anew.name || got.tenant != anew.tenant || got.call != anew.call || got.rides != anew.rides || !reflect.DeepEqual(got.job, anew.job) {
			t.Errorf("%s: remembered %+v, anew %+v", path, got.job, anew.job)
		}
		h.terms = newTermTable()
		_, _ = h.termsOf(&base, base.CodeHash)
	}
	for n := range reflect.TypeFor[Request]().NumField() {
		f := reflect.TypeFor[Request]().Field(n)
		if !free[f.Name] && f.IsExported() {
			walk(f.Name, func(r *Request) reflect.Value { return reflect.ValueOf(r).Elem().Field(n) })
		}
	}
	other := base
	other.CodeHash = strings.Repeat("ab", 32)
	if got, err := h.termsOf(&other, other.CodeHash); err != nil || got.key == first.key || got.code != other.CodeHash {
		t.Errorf("another code: %v %v", got, err)
	}
	other.CodeHash = strings.Repeat("xy", 32)
	if _, err := h.termsOf(&other, other.CodeHash); err == nil {
		t.Error("a hash that is none")
	}
	long := base
	long.Entry.Args = []string{strings.Repeat("x", maxTermBytes)}
	one, _ := h.termsOf(&long, long.CodeHash)
	if two, _ := h.termsOf(&long, long.CodeHash); one == two {
		t.Error("arguments of any length are remembered")
	}
}

// TestTermsKeepTheirOwnArguments has the caller change its slice afterwards.
func TestTermsKeepTheirOwnArguments(t *testing.T) {
	h, r := besideRide(t)
	r.Entry.Args = []string{"a"}
	before, _ := h.termsOf(&r, r.CodeHash)
	r.Entry.Args[0] = "b"
	after, _ := h.termsOf(&r, r.CodeHash)
	if before == after || before.job.Entry.Args[0] != "a" || after.param == before.param {
		t.Errorf("%v and %v", before.job.Entry.Args, after.job.Entry.Args)
	}
}

// TestReceiptsOfRidesAreThoseOfOutcomes makes the receipt of every kind of outcome in both ways.
func TestReceiptsOfRidesAreThoseOfOutcomes(t *testing.T) {
	h, r := besideRide(t)
	n := int64(9)
	used := run.Usage{CPU: 12345, Wall: 54321, GasUsed: &n, InitGas: &n, MemoryPeakBytes: &n}
	for name, o := range map[string]run.Outcome{
		"result":   {Result: []byte("x"), Stdout: []byte{}, Stderr: []byte{}, Usage: used, Sandbox: "s"},
		"nothing":  {},
		"output":   {Stdout: []byte("out"), Stderr: []byte("err"), Usage: used, Sandbox: "s", Exited: true},
		"exit":     {Exited: true, GuestExit: 3, Fault: fault.New(fault.GuestExit, "run", "", nil), Usage: used, Sandbox: "s"},
		"trap":     {Fault: fault.New(fault.GuestTrap, "run", "", errors.New("div")), Sandbox: "s"},
		"no words": {Fault: fault.New(fault.GuestTrap, "run", "", nil), Usage: used},
	} {
		for _, nans := range []bool{false, true} {
			for _, d := range []run.Determinism{0, run.Deterministic, run.RealWorld} {
				for _, streams := range []bool{false, true} {
					r := r
					r.CanonicalNaNs, r.Determinism = nans, d
					if streams {
						r.Stdout, r.Stderr = &strings.Builder{}, &strings.Builder{}
					}
					terms, err := h.termsOf(&r, r.CodeHash)
					if err != nil {
						t.Fatal(err)
					}
					want := emptyReceipt(r.CodeHash, terms.key.String())
					want.Params = run.Params{Tenant: h.cfg.Tenant, Entry: r.Entry, Limits: r.Limits.WithDefaults(), Determinism: d}.Hash()
					want = fill(want, cache.Answer{Outcome: o, Hit: true, Attempts: 1, Options: artifacts.Options{CanonicalNaNs: nans}, Determinism: d}, r)
					if diff := cmp.Diff(want, terms.receipt(&o, &r)); diff != "" {
						t.Errorf("%s: (-ordinary +ride)\n%s", name, diff)
					}
				}
			}
		}
	}
}

// refusing is a worker that has the outcome of its rides chosen.
type refusing struct {
	execute.Worker
	out   run.Outcome
	alive bool
	rides int
}

func (w *refusing) Ride(context.Context, execute.Job, execute.IO) (run.Outcome, bool) {
	w.rides++
	return w.out, w.alive
}

// TestWhatARideLeavesGoesOn lends workers that fail, for code that is prepared: what was not begun is begun, what is doubtful
// is repeated once, and what is nobody's verdict is an error, in each case as if there had been no ride.
func TestWhatARideLeavesGoesOn(t *testing.T) {
	h, r := besideRide(t)
	terms, _ := h.termsOf(&r, r.CodeHash)
	h.lanes = lanes.New(lanes.Config{Report: h.reportUse}) // without the worker that does nothing, and those of the queue
	code := echo(t)
	ordinary := r
	ordinary.Code, ordinary.CodeHash, ordinary.Validity = code, "", "ordinary"
	want, err := h.Execute(t.Context(), ordinary)
	if err != nil || want.Verdict != "ok" {
		t.Fatal(want, err)
	}
	for name, c := range map[string]struct {
		out      run.Outcome
		attempts int
		verdict  string
		err      fault.Code
	}{
		"not begun":        {out: run.Outcome{NotBegun: true, Fault: fault.New(fault.SuspectWorkerDied, "", "", nil)}, attempts: 1, verdict: "ok"},
		"died":             {out: run.Outcome{Sandbox: "s", Fault: fault.New(fault.SuspectWorkerDied, "", "", nil)}, attempts: 2, verdict: "ok"},
		"died with output": {out: run.Outcome{Sandbox: "s", Delivered: 1, Fault: fault.New(fault.SuspectWorkerDied, "", "", nil)}, attempts: 1, verdict: "suspect"},
		"too long":         {out: run.Outcome{Sandbox: "s", Fault: fault.New(fault.SuspectWallLimit, "", "", nil)}, attempts: 1, verdict: "suspect"},
		"the host":         {out: run.Outcome{Sandbox: "s", Fault: fault.New(fault.HostDiskFull, "", "", nil)}, err: fault.HostDiskFull},
		"the caller":       {out: run.Outcome{Sandbox: "s", Fault: fault.New(fault.CanceledCaller, "", "", nil)}, err: fault.CanceledCaller},
		"a bug":            {out: run.Outcome{Sandbox: "s", Fault: fault.New(fault.BugProtocol, "", "", nil)}, err: fault.BugProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			w := &refusing{out: c.out}
			h.lanes.Grant(w, terms.job.Binding, func(execute.Returned) {})
			h.lanes.Prove(terms.job.Binding, terms.call, 0, h.lanes.Mark())
			got, err := h.Execute(t.Context(), r)
			if w.rides != 1 {
				t.Fatalf("%d rides", w.rides)
			}
			if c.err != "" {
				if !errors.Is(err, c.err) || got.CodeHash != want.CodeHash || got.Params != want.Params {
					t.Errorf("error %v, want %s; %+v", err, c.err, got)
				}
				return
			}
			if err != nil || got.Verdict != c.verdict || *got.Attempts != c.attempts || c.verdict == "ok" && string(got.Result) != string(want.Result) {
				t.Errorf("%s after %d attempts (%v), want %s after %d: %v", got.Verdict, *got.Attempts, got.Message, c.verdict, c.attempts, err)
			}
		})
	}
}
