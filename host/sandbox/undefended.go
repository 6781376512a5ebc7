//go:build undefended

package sandbox

import (
	"slices"
	"strings"
)

// Without begins the argument of a worker that names the layers which it leaves out, joined by commas. Only programs that
// are built with the tag undefended know it: tests see that an attack succeeds without the layer that stops it.
const Without = "without="

// leftOut reports whether an argument says that a layer is left out.
func leftOut(args []string, layer string) bool {
	for _, a := range args {
		if names, ok := strings.CutPrefix(a, Without); ok && slices.Contains(strings.Split(names, ","), layer) {
			return true
		}
	}
	return false
}
