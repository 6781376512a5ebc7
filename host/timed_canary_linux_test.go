//go:build timed

package host_test

import (
	"testing"

	"github.com/troupehost/troupe/actors/run"
)

// TestTimedNoCanaryIsFoundByAnother has a hundred thousand runs of two tenants.
func TestTimedNoCanaryIsFoundByAnother(t *testing.T) { lookForCanaries(t, 100_000, run.Reset) }
