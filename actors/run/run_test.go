package run

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

func TestLimitsDefaults(t *testing.T) {
	got := Limits{CPU: time.Second}.WithDefaults()
	want := Limits{CPU: time.Second, Wall: 4 * time.Second, MemoryBytes: 128 << 20, OutputBytes: 16 << 20, StackValues: 65536}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestDefaultsReplaceZerosOnly sets each limit to the least that it may be.
func TestDefaultsReplaceZerosOnly(t *testing.T) {
	want := Limits{CPU: MinTime, Wall: MinTime, MemoryBytes: PageBytes, OutputBytes: 1, Gas: 1, InitGas: 1, StackValues: MinStackValues}
	if err := want.Validate(); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(want, want.WithDefaults()); d != "" {
		t.Error(d)
	}
}

func TestLimitsRanges(t *testing.T) {
	for name, l := range map[string]Limits{
		"cpu too small":          {CPU: time.Microsecond},
		"cpu negative":           {CPU: -1},
		"cpu too large":          {CPU: 25 * time.Hour},
		"wall too large":         {Wall: 8 * 24 * time.Hour},
		"memory below a page":    {MemoryBytes: 1},
		"memory of 65,536 pages": {MemoryBytes: 1 << 32},
		"output negative":        {OutputBytes: -1},
		"output too large":       {OutputBytes: 1<<30 + 1},
		"gas negative":           {Gas: -1},
		"gas too large":          {Gas: MaxGas + 1},
		"init gas negative":      {InitGas: -1},
		"init gas too large":     {InitGas: MaxGas + 1},
		"stack too small":        {StackValues: 1023},
		"stack too large":        {StackValues: 1<<20 + 1},
	} {
		if err := l.Validate(); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Limits{}).Validate(); err != nil {
		t.Errorf("zero limits: %v", err)
	}
	if err := (Limits{}).WithDefaults().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
}

func TestPriorityRoundTrip(t *testing.T) {
	for p := Background; p <= Critical; p++ {
		if got, err := ParsePriority(p.String()); err != nil || got != p {
			t.Errorf("ParsePriority(%q) = %v, %v", p, got, err)
		}
	}
	for _, s := range []string{"", "urgent", "priority(9)"} {
		if _, err := ParsePriority(s); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("ParsePriority(%q): %v", s, err)
		}
	}
}

func TestBlobJSONRoundTrip(t *testing.T) {
	for _, row := range []struct {
		b    Blob
		want string
	}{
		{nil, `null`}, {Blob{}, `""`}, {Blob("69732"), `"69732"`}, {Blob{0xff, 0x00}, `{"base64":"/wA="}`}, {Blob("\x00"), `"\u0000"`},
		{make(Blob, 1<<10), `"` + strings.Repeat(`\u0000`, 1<<10) + `"`},
		{make(Blob, 3<<10), `{"base64":"` + strings.Repeat("AAAA", 1<<10) + `"}`},
		{Blob(strings.Repeat("\n", 3<<10)), `"` + strings.Repeat(`\n`, 3<<10) + `"`},
	} {
		p, err := json.Marshal(row.b)
		if err != nil || string(p) != row.want {
			t.Errorf("Marshal(%v) = %s, %v; want %s", row.b, p, err, row.want)
		}
		var back Blob
		if err := json.Unmarshal(p, &back); err != nil || !cmp.Equal(back, row.b) {
			t.Errorf("back from %s: %#v, %v", p, back, err)
		}
	}
}

func TestParseIsolation(t *testing.T) {
	for text, want := range map[string]Isolation{"": Reset, "reset": Reset, "process": Process} {
		if got, err := ParseIsolation(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"Process", "none", " ", "isolation(3)"} {
		if got, err := ParseIsolation(text); got != 0 || !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if Isolation(0).String() != "reset" || Process.String() != "process" || Isolation(9).String() != "isolation(9)" {
		t.Error("wrong names")
	}
}
