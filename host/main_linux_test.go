package host_test

import (
	"os"
	"testing"

	"github.com/troupehost/troupe/host/worker"
)

// TestMain lets the test binary be its own worker, as an embedder's program is.
func TestMain(m *testing.M) {
	worker.Main()
	os.Exit(m.Run())
}
