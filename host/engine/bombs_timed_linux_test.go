//go:build timed

package engine

import "testing"

// TestTimedBombs holds the line of a machine at rest, with two more tries.
func TestTimedBombs(t *testing.T) { checkBombs(t, prepareLine) }
