package cli

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

func TestSamples(t *testing.T) {
	got, err := samples("# HELP troupe_a A.\n# TYPE troupe_a counter\ntroupe_a{x=\"1\",y=\"a \\\"b\\\" \\\\ \\n}, \"} 2.5e+06\n\ntroupe_b 0\ntroupe_c_bucket{le=\"+Inf\"} 3\n")
	want := []sample{
		{"troupe_a", map[string]string{"x": "1", "y": "a \"b\" \\ \n}, "}, 2.5e6},
		{"troupe_b", map[string]string{}, 0},
		{"troupe_c_bucket", map[string]string{"le": "+Inf"}, 3},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	for _, bad := range []string{"x", "x y", "x{a} 1", "x{a=\"1} 1", "{} 1", "x{a=\"1\"", " 1", "x{a=1} 1", "x{"} {
		if s, err := samples(bad); !errors.Is(err, fault.BugProtocol) {
			t.Errorf("%q: %v, %v", bad, s, err)
		}
	}
}
