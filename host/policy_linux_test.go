package host

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
)

func TestPoliciesAreRead(t *testing.T) {
	p, err := ParsePolicy("wasm2,tail-calls,-simd", "body-bytes=5, functions=7")
	want := wasm.Policy{Features: wasm.Wasm2&^wasm.SIMD | wasm.TailCalls, Caps: wasm.Caps{BodyBytes: 5, Functions: 7}}
	if err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := ParsePolicy("", ""); err != nil || p.Features != wasm.Wasm2 || p.Caps != (wasm.Caps{}) {
		t.Errorf("the defaults: %+v, %v", p, err)
	}
	for _, row := range [][3]string{
		{"threads", "", "WasmFeatures"}, {"wasm2,-wasm2", "", "WasmFeatures"},
		{"", "body-bytes", "WasmCaps"}, {"", "body-bytes=0", "WasmCaps"}, {"", "body-bytes=x", "WasmCaps"}, {"", "nothing=1", "WasmCaps"},
		{"", "tables=1,tables=2", "WasmCaps"}, {"", "tables=1,", "WasmCaps"}, {"", "tables=99999999999999999999", "WasmCaps"},
	} {
		_, err := ParsePolicy(row[0], row[1])
		if f := fault.From(err); f == nil || f.Code != fault.CallerConfig || f.Subject != row[2] || f.Hint == "" {
			t.Errorf("%q: %v", row, err)
		}
		c := Default()
		c.DataDir, c.WasmFeatures, c.WasmCaps = "x", row[0], row[1]
		if err := c.Validate(); !errors.Is(err, fault.CallerConfig) {
			t.Errorf("%q as a setting: %v", row, err)
		}
	}
}

// TestHintsOfCapsSayWhatIsTaken: the greatest number that a hint names is taken, and the next is not.
func TestHintsOfCapsSayWhatIsTaken(t *testing.T) {
	for caps, want := range map[string]string{
		"tables=140737488355327": "", "tables=140737488355328": "write tables=N with a whole number between 1 and 140737488355327",
		"tables=0": "between 1 and", ",": "write NAME=N between the commas", "tables=1,": "write NAME=N between the commas", "=1": "is none of",
	} {
		_, err := ParsePolicy("", caps)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", caps, err)
			}
			continue
		}
		if f := fault.From(err); f == nil || !strings.Contains(f.Hint, want) {
			t.Errorf("%q: %+v", caps, f)
		}
	}
}

// TestCapsAreNamedAsInMessages passes each cap by one, in the least code that there is.
func TestCapsAreNamedAsInMessages(t *testing.T) {
	for i, name := range CapNames() {
		var most, has artifacts.Caps
		*capOf(&most, name), *capOf(&has, name) = 1, 2
		err := within(artifacts.Shape{Caps: has}, wasm.Policy{Caps: wasm.Caps(most)})
		if !errors.Is(err, fault.GuestTooComplex) || !strings.Contains(err.Error(), name+" ") {
			t.Errorf("cap %d, %s: %v", i, name, err)
		}
	}
	for _, features := range []string{"tail-calls", "simd,exceptions"} {
		if err := within(artifacts.Shape{Features: features}, wasm.Policy{}); !errors.Is(err, fault.GuestFeature) {
			t.Errorf("%s: %v", features, err)
		}
	}
	if err := within(artifacts.Shape{}, wasm.Policy{Features: wasm.SIMD}); err != nil {
		t.Errorf("code without features: %v", err)
	}
}

// TestOtherPolicies: what was stored under another policy is judged by that of today, both ways, and nothing is compiled for
// it; what a policy refused is refused from the record while it stands, and judged anew under another.
func TestOtherPolicies(t *testing.T) {
	code, dir := guestFile(t, "hash-puzzle"), t.TempDir()
	for i, row := range []struct {
		caps, features string
		want           fault.Code
		cache          string
	}{
		{"functions=1", "", fault.GuestTooComplex, "miss"},
		{"functions=1", "", fault.GuestTooComplex, "hit"},
		{"body-bytes=1", "", fault.GuestTooComplex, "miss"}, // refused for another reason
		{"", "", "", "miss"},
		{"functions=1", "", fault.GuestTooComplex, "hit"},
		{"functions=99", "all", "", "hit"}, // it was there all the time
	} {
		h, err := Start(t.Context(), Config{DataDir: dir, BallastBytes: NoLimit, WasmCaps: row.caps, WasmFeatures: row.features})
		if err != nil {
			t.Fatal(err)
		}
		j, err := h.Precheck(t.Context(), CodeRequest{Code: code})
		if err != nil || j.Fault != string(row.want) || j.Cache != row.cache {
			t.Errorf("%d: %q from %s (%s), %v", i, j.Fault, j.Cache, j.Message, err)
		}
		r, err := h.Execute(t.Context(), Request{Code: code, Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "0"}}})
		if err != nil || r.Fault != string(row.want) {
			t.Errorf("%d, executed: %q (%s), %v", i, r.Fault, r.Message, err)
		}
		warned := slices.ContainsFunc(h.health.list(), func(w inspect.Health) bool { return w.Code == "engine.exceptions" && w.Level == "warning" })
		if warned != (row.features == "all") {
			t.Errorf("%d: features %q, a warning of exceptions: %v", i, row.features, warned)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNaNsAreTwoArtifacts: each way is prepared once, and receipts say which it was.
func TestNaNsAreTwoArtifacts(t *testing.T) {
	h, err := Start(t.Context(), Config{DataDir: t.TempDir(), BallastBytes: NoLimit})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	req := Request{Code: guestFile(t, "kernels"), Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "0"}}}
	seen := map[string]string{}
	for _, row := range []struct {
		canonical  bool
		nan, cache string
	}{{false, run.NaNDefault, "miss"}, {true, run.NaNCanonical, "miss"}, {false, run.NaNDefault, "hit"}, {true, run.NaNCanonical, "hit"}} {
		req.CanonicalNaNs = row.canonical
		req.Determinism = run.RealWorld
		r, err := h.Execute(t.Context(), req)
		if err != nil || r.NaN != row.nan || r.Cache != row.cache || r.Clock != "real" || r.Random != "real" || r.GasTable == "" {
			t.Errorf("%+v: %+v, %v", row, r, err)
		}
		if was := seen[row.nan]; was != "" && was != r.Artifact {
			t.Errorf("%s has two artifacts", row.nan)
		}
		seen[row.nan] = r.Artifact
		if j, err := h.Precheck(t.Context(), CodeRequest{Code: req.Code, CanonicalNaNs: row.canonical}); err != nil || j.Artifact != r.Artifact || j.Cache != "hit" {
			t.Errorf("%s: precheck %+v, %v", row.nan, j, err)
		}
	}
	if seen[run.NaNDefault] == seen[run.NaNCanonical] {
		t.Error("one artifact for both")
	}
	if _, err := h.Warm(t.Context(), CodeRequest{Code: req.Code, CanonicalNaNs: true}); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("on the warm-up list: %v", err)
	}
}
