//go:build !undefended

package wire

// isExtra reports whether an argument is one of a worker that leaves layers of its sandbox out: there is none.
func isExtra(string) bool { return false }
