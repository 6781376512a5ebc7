//go:build !undefended

package calls

// Defences that tests leave out to see what happens then. None is left out here.
const (
	anyAddress = false // guests connect wherever they like
	anyRight   = false // capabilities have all rights
)
