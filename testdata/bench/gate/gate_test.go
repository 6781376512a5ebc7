package gate

import "testing"

const table = `# counts
kernel: a question  3
host: warm  12.50
`

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name           string
		limit, counted float64
		want           bool
	}{
		{"allocations", 3, 3, true}, {"allocations", 3, 4, false}, {"allocations", 0, 0, true}, {"allocations", 0, 0.05, true}, {"allocations", 0, 1, false},
		{"allocations", 100, 105, true}, {"allocations", 100, 106, false}, {"call: bytes", 0, 4, true}, {"call: bytes", 0, 16, false}, {"call: bytes", 100, 116, false},
	} {
		if holds(c.name, c.limit, c.counted) != c.want {
			t.Errorf("%s, %v of %v: want %v", c.name, c.counted, c.limit, c.want)
		}
	}
	if v, err := limitOf(table, "host: warm"); v != 12.5 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := limitOf(table, "host: cold"); err == nil {
		t.Error("a name without a limit is let through")
	}
	changed := with(with(table, "host: warm", 7), "host: cold", 0.25)
	for name, want := range map[string]float64{"kernel: a question": 3, "host: warm": 7, "host: cold": 0.25} {
		if v, err := limitOf(changed, name); v != want || err != nil {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

func TestAllocations(t *testing.T) {
	var keep []byte
	n, bytes := Allocations(100, func() { keep = make([]byte, 1<<10) })
	if n != 1 || bytes != 1<<10 || len(keep) == 0 {
		t.Errorf("%v allocations of %v bytes", n, bytes)
	}
}
