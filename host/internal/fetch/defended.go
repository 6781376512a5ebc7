//go:build !undefended

package fetch

// Defences that tests leave out to see what happens then. None is left out here.
const anyGateway = false // a redirect leads anywhere
