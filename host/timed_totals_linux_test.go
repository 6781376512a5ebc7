//go:build timed

package host_test

import "testing"

// TestTimedW42TotalsOfAThousandApps asks each of a thousand apps ten times.
func TestTimedW42TotalsOfAThousandApps(t *testing.T) { totalsOfMany(t, 1000) }
