//go:build undefended

package webui

import (
	"testing"
	"time"
)

// A link that is not remembered to be used opens the console to whoever sees it later.
func TestUndefendedLinkOpensTwice(t *testing.T) {
	g := &gate{now: time.Now, idle: time.Hour}
	token, _ := g.invite()
	for range 2 {
		g.used = false
		if cookie, key, err := g.enter(t.Context(), token, ""); err != nil || cookie == "" || key == "" {
			t.Error(err)
		}
	}
}
