//go:build !race

package pool

import (
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// TestHungryWorkers: under the race detector no worker lives with a limit of memory, so these are not part of such a build.
func TestHungryWorkers(t *testing.T) {
	hostilePrepare(t, "hungry", fault.GuestPrepareMemory)
	hostileExecute(t, "hungry", fault.GuestMemory)
}
