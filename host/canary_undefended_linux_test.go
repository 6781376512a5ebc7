//go:build undefended

package host_test

import (
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// TestUndefendedCanaryIsFoundWithinARun: what nothing resets is found, in each place that is looked at.
func TestUndefendedCanaryIsFoundWithinARun(t *testing.T) {
	h := start(t, host.Config{})
	got := execute(t, h, host.Request{Code: canary('A', 2), Entry: run.Entry{Mode: run.Command}})
	if out := string(got.Stdout); !strings.HasPrefix(out, "guest\x00\x00guest\x00") || out[len(out)-1] != 127 {
		t.Errorf("%q, %s", out, got.Message)
	}
}
