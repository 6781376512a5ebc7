package follow

import (
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// TestClaimsBeforeAllIsRead: an app whose tickets were not read yet is none without tickets.
func TestClaimsBeforeAllIsRead(t *testing.T) {
	s := NewState(Limits{})
	claimed := func(addresses ...manifest.Address) Claimed {
		t.Helper()
		for _, e := range s.Step(time.Unix(1, 0), Claims{Addresses: addresses}) {
			if c, ok := e.(Claimed); ok {
				return c
			}
		}
		t.Fatal("no answer")
		return Claimed{}
	}
	if c := claimed(manifest.Address{1}); fault.CodeOf(c.Err) != fault.BusyChain {
		t.Errorf("%v, %v", c.Claims, c.Err)
	}
	if c := claimed(); c.Err != nil || len(c.Claims) != 0 {
		t.Errorf("of no app: %v, %v", c.Claims, c.Err)
	}
	s.whole = true
	if c := claimed(manifest.Address{1}); c.Err != nil || len(c.Claims) != 0 {
		t.Errorf("when all is read: %v, %v", c.Claims, c.Err)
	}
}
