//go:build !undefended

package store

// unverified reports whether digests of parts are not looked at: never.
func unverified() bool { return false }
