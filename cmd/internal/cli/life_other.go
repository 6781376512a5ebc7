//go:build !unix

package cli

import "os"

// bundleSignal is a signal that never comes.
var bundleSignal os.Signal

func dieWithStacks() { panic("SIGQUIT") }
