//go:build !undefended

package pool

import "syscall"

// weaken leaves out nothing of how a worker is started.
func weaken(*syscall.ProcAttr) {}

// unlimited reports whether the limits of workers are left out: never.
func unlimited() bool { return false }

// ungrouped reports whether workers get no control group of their own: never for that reason.
func ungrouped() bool { return false }
