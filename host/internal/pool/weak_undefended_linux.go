//go:build undefended

package pool

import (
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/troupehost/troupe/host/sandbox"
)

func isLeftOut(layer string) bool {
	return slices.Contains(strings.Split(os.Getenv(EnvWithout), ","), layer)
}

// weaken leaves out what the host does for the layers that are left out.
func weaken(attr *syscall.ProcAttr) {
	if isLeftOut(sandbox.Env) {
		attr.Env = os.Environ()
	}
	if isLeftOut(sandbox.DeathSig) {
		attr.Sys.Pdeathsig = 0
	}
}

// unlimited reports whether the limits of workers are left out.
func unlimited() bool { return isLeftOut(sandbox.Rlimits) }

// ungrouped reports whether workers get no control group of their own.
func ungrouped() bool { return isLeftOut(sandbox.Cgroup) }
