//go:build undefended

package wire

import "strings"

// isExtra reports whether an argument is one of a worker that leaves layers of its sandbox out, for tests.
func isExtra(a string) bool { return strings.HasPrefix(a, "without=") }
