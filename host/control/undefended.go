//go:build undefended

package control

// Defences that tests leave out.
var anyBody, anyLobby bool
