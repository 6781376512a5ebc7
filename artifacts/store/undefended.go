//go:build undefended

package store

import (
	"os"
	"slices"
	"strings"
)

// unverified reports whether digests of parts are not looked at, as the environment says: tests see what is run then.
func unverified() bool {
	return slices.Contains(strings.Split(os.Getenv("TROUPE_WITHOUT"), ","), "digest")
}
