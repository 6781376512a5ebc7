//go:build !undefended

package pool

import "testing"

// leaveLayersOut is for programs that are built for it.
func leaveLayersOut(t testing.TB, layers []string) {
	if len(layers) > 0 {
		t.Fatal("every layer is in its place")
	}
}
