//go:build timed

package host_test

import (
	"testing"
	"time"
)

// TestTimedW50Weights: of two apps with weights 1 and 2 that compute without end, the second one gets twice the gas within 10 %.
func TestTimedW50Weights(t *testing.T) {
	hold(t, func() []timedLine {
		ratio := shareOfTwo(t, 10*time.Second)
		return []timedLine{
			{what: "gas of weight 2, of that of weight 1", goal: "2", limit: 2.2, measured: ratio, means: "over 10 s"},
			{what: "the same from below", goal: "2", limit: 1.8, measured: ratio, least: true, means: "over 10 s"},
		}
	})
}
