//go:build timed

package engine

import "testing"

// checkCompileRatio holds the line of a machine at rest.
func checkCompileRatio(t *testing.T, ratio float64) {
	t.Helper()
	if ratio > 1.3 {
		t.Errorf("metered code costs %.2f times as much to compile, limit 1.3", ratio)
	}
}
