//go:build !undefended

package control

// Defences that tests leave out to see what happens then. None is left out here.
const (
	anyBody  = false // bodies take what memory they like
	anyLobby = false // strangers have as many connections as they like
)
