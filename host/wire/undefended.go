//go:build undefended

package wire

import (
	"os"
	"slices"
	"strings"
)

// isExtra reports whether an argument is one of a worker that leaves layers of its sandbox out, for tests.
func isExtra(a string) bool { return strings.HasPrefix(a, "without=") }

// unsealed reports whether the memory of rings is left unsealed, as the environment says: tests see what happens then.
func unsealed() bool {
	return slices.Contains(strings.Split(os.Getenv("TROUPE_WITHOUT"), ","), "seals")
}

// trusting: positions of the other side are believed. Tests set it.
var trusting bool
