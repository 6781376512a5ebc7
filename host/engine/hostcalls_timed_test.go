//go:build timed

package engine

import (
	"testing"

	"github.com/troupehost/troupe/host/abi"
)

// TestTimedHostCalls: no call takes more than twice what it is charged, however many buffers, bytes or subscriptions it names.
func TestTimedHostCalls(t *testing.T) {
	const tries = 5 // what else the machine does makes a call dearer, never cheaper
	for _, c := range hostCalls() {
		took, gas := c.cost(t, c.calls())
		for range tries {
			if took <= 2*gas {
				break
			}
			took, gas = c.cost(t, c.calls())
		}
		t.Logf("%v: takes %.0f, is charged %.0f", c, took, gas)
		if took > 2*gas {
			t.Errorf("%v takes %.0f, and is charged %.0f", c, took, gas)
		}
		if want := float64(c.charge()); gas < want || gas > want+1000 {
			t.Errorf("%v: %.0f gas, the charge is %.0f", c, gas, want)
		}
	}
}

// charge is what one call is charged.
func (c hostCall) charge() int64 {
	p := abi.ChargeOf(abi.WASI, c.name)
	return int64(p.Base) + int64(p.PerUnit)*int64(c.units)
}
