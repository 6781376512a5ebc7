//go:build unix

package cli

import (
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// bundleSignal asks a 'serve' for a bundle.
var bundleSignal os.Signal = syscall.SIGUSR1

// dieWithStacks has the runtime print the stacks of all goroutines, and end the process with 2.
func dieWithStacks() {
	debug.SetTraceback("all")
	signal.Reset(syscall.SIGQUIT)
	_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
	select {}
}
