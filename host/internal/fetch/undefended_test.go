//go:build undefended

package fetch

import (
	"sync/atomic"
	"testing"
)

// TestUndefendedRedirects: a gateway has the host ask a service of its own machine.
func TestUndefendedRedirects(t *testing.T) {
	anyGateway = true
	defer func() { anyGateway = false }()
	for _, to := range []string{"http://127.0.0.1:{port}", "http://localhost:{port}", "http://changes.example:{port}"} {
		if asked, err := redirected(t, to, rebinding(new(atomic.Int64), "127.0.0.1")); err != nil || asked == 0 {
			t.Errorf("%s: %v, asked %d times", to, err, asked)
		}
	}
}
