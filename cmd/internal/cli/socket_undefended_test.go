//go:build undefended && unix

package cli

import "testing"

// Where the directory of a socket is not looked at, a stranger takes the socket away.
func TestUndefendedSocketIsTakenAway(t *testing.T) {
	if !stranger(t, socketIn(t, 0o777)) {
		t.Error("it could not be taken away")
	}
}
