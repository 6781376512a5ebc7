//go:build !undefended

package wire

// isExtra reports whether an argument is one of a worker that leaves layers of its sandbox out: there is none.
func isExtra(string) bool { return false }

// unsealed reports whether the memory of rings is left unsealed: never.
func unsealed() bool { return false }

// trusting: positions of the other side are believed. They are not.
const trusting = false
