//go:build timed

package engine

import "testing"

// TestTimedGrowthOfCompiling: no function takes more than linearly longer to compile because of the rewrite.
func TestTimedGrowthOfCompiling(t *testing.T) { checkGrowth(t, growths, 2) }
