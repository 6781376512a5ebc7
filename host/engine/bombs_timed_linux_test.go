//go:build timed

package engine

import "testing"

// TestTimedBombs holds the line of a machine at rest, with one more try.
func TestTimedBombs(t *testing.T) { checkBombs(t, prepareLine) }
