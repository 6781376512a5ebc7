//go:build undefended

package pool

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/host/sandbox"
)

func leaveLayersOut(t testing.TB, layers []string) {
	t.Setenv(EnvWithout, strings.Join(layers, ","))
}

// open reports whether an attack can be tried with its layers left out: some need what only root has.
func (a attack) open(t *testing.T) bool {
	t.Helper()
	if a.root && os.Geteuid() != 0 {
		t.Logf("%s: only root has what it wants", a.name)
		return false
	}
	return true
}

// TestUndefendedAttacksSucceed leaves out all layers that stop an attack: then it gets through, so it is an attack.
func TestUndefendedAttacksSucceed(t *testing.T) {
	for _, a := range attacks() {
		if !a.open(t) {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			prey := newArena(t)
			if a.sibling {
				withSibling(t, prey, a.stoppedBy...)
			}
			if got := assault(t, a, prey, a.stoppedBy...); got != verdictThrough {
				t.Errorf("without %v it %s", a.stoppedBy, got)
			}
		})
	}
}

// needs are the layers without which another cannot be.
var needs = map[string][]string{
	sandbox.Root: {sandbox.MountNS}, sandbox.Landlock: {sandbox.NoNewPrivs}, sandbox.Seccomp: {sandbox.NoNewPrivs},
	sandbox.NoExec: {sandbox.Seccomp, sandbox.NoNewPrivs},
}

// TestUndefendedEachLayerStopsAlone leaves out all layers but one: that one stops the attack.
func TestUndefendedEachLayerStopsAlone(t *testing.T) {
	held := append(newRig(t, "").Facts().Held, "seals")
	for _, a := range attacks() {
		if len(a.stoppedBy) == 1 || !a.open(t) { // TestAttacksFail shows the same
			continue
		}
		for _, layer := range a.stoppedBy {
			if !slices.Contains(held, layer) {
				t.Logf("%s does not hold here", layer)
				continue
			}
			t.Run(layer+" "+a.name, func(t *testing.T) {
				prey := newArena(t)
				others := slices.DeleteFunc(slices.Clone(a.stoppedBy), func(l string) bool {
					return l == layer || slices.Contains(needs[layer], l)
				})
				if a.sibling {
					withSibling(t, prey, others...)
				}
				if got := assault(t, a, prey, others...); got == verdictThrough {
					t.Errorf("without %v it %s", others, got)
				}
			})
		}
	}
}
