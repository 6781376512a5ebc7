//go:build undefended

package calls

// Defences that tests leave out.
var anyAddress, anyRight bool
