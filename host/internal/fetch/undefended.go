//go:build undefended

package fetch

// Defences that tests leave out.
var anyGateway bool
