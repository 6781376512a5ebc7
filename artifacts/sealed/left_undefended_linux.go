//go:build undefended

package sealed

import (
	"os"
	"slices"
	"strings"
)

// leftOut are the seals that a file does not get: all of them, if the environment of a program that is built with the tag
// undefended says so. Tests see then that an attack succeeds which seals stop.
func leftOut() int {
	if slices.Contains(strings.Split(os.Getenv("TROUPE_WITHOUT"), ","), "seals") {
		return seals
	}
	return 0
}
