package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

// attackerArg0 makes of the test binary a worker that was taken over: it confines itself as every worker does, is loaded,
// and then does one thing that it must not do.
const attackerArg0 = "troupe-attacker"

// attack is one thing that a worker must not do.
type attack struct {
	name string
	// stoppedBy are the layers that stop it, each of them alone.
	stoppedBy []string
	// try returns nil if it got through. It may be killed in the middle.
	try func(*arena) error
	// root: only root has what a worker without these layers could misuse.
	root bool
	// sibling: it is after another worker.
	sibling bool
	// seen says whether the host sees it. An attack without it knows by itself.
	seen func(testing.TB, *arena) bool
}

// arena is what the attackers are after. It is passed on the command line.
type arena struct {
	Dir     string // holds the files below; everybody may look into it
	Secret  string // a file
	Program string // exits with gotOut
	Setuid  string // exits with gotOut if it became another user
	Host    int    // process id of the host
	Sibling int    // and of another worker
	TCP     int    // port of a service on the loopback device
	UDP     int
	Socket  string // path of a unix socket
	Hidden  string // name of an abstract unix socket
	Segment int    // id of shared memory of System V
	Leaked  int    // number of a descriptor that the host left open
	Domain  string // domain name to set

	files    []*os.File              // that came with Load
	artifact map[string]*sealed.File // the same files, in the host
}

// changed reports whether the artifact is another than what was handed over.
func (a *arena) changed() bool {
	for name, f := range a.artifact {
		b := make([]byte, len(name))
		if _, err := f.ReadAt(b, 0); err != nil || string(b) != name {
			return true
		}
	}
	return false
}

const (
	// secret is the word that must not be found.
	secret = "the secret of the host"
	// gotOut is the exit status of a program that should not have been run.
	gotOut = 42
	// siblingAt is where a sibling keeps the secret.
	siblingAt = 0x600000000000

	verdictThrough = "got through"
	verdictStopped = "was stopped"
)

// attackMain is the life of the attacker.
func attackMain() int {
	prey := &arena{}
	if err := json.Unmarshal([]byte(os.Args[2]), prey); err != nil {
		return 1
	}
	held, _ := sandbox.Apply(attackerBox())
	conn := wire.NewWorkerConn(wire.Socket)
	l := &liar{conn: conn}
	hello, ok := l.next().(wire.Hello)
	if !ok {
		return 1
	}
	ready := wire.Ready{BuildID: wire.BuildID(), CPU: "attacker", Held: held}
	if hello.Probe && sealAttacker(held) == nil {
		ready.Held = append(ready.Held, sandbox.NoExec)
	}
	if l.say(ready); hello.Probe {
		l.next()
	}
	if _, ok := l.next().(wire.Load); !ok {
		return 1
	}
	prey.files = taken(conn)
	if err := sealAttacker(held); err != nil && !errors.Is(err, sandbox.ErrLeftOut) {
		return 1
	}
	if os.Args[1] == lieStill {
		b, err := mapAt(siblingAt)
		if err != nil {
			return 1
		}
		copy(b, secret)
		l.say(wire.Loaded{})
		l.next()
		return 0
	}
	for _, a := range attacks() {
		if a.name != os.Args[1] {
			continue
		}
		verdict := verdictThrough
		if err := a.try(prey); err != nil {
			verdict = verdictStopped + ": " + err.Error()
		}
		l.say(wire.Failed{Code: "attack", Message: verdict})
	}
	l.next()
	return 0
}

// lieStill is the part of a sibling.
const lieStill = "lie still"

// attacks are all that are tried with every defence in its place, and again with none of the layers that stop them.
func attacks() []attack {
	return slices.Concat(fileAttacks(), processAttacks(), networkAttacks(), kernelAttacks(), memoryAttacks())
}

// assault lets an attacker loose and returns what came of it: "got through", "was stopped: why", or how it died.
func assault(t testing.TB, a attack, prey *arena, without ...string) string {
	t.Helper()
	r := newRigConfig(t, "", attackerConfig(t, a.name, prey, without))
	binding := r.pretended(t)
	prey.artifact = r.shelf.keys[binding.Key]
	_, err := r.Start(t.Context(), binding)
	f := fault.From(err)
	if f == nil {
		t.Fatal("loaded")
	}
	text := f.Error()
	if a.seen != nil && strings.Contains(text, verdictThrough) && !a.seen(t, prey) {
		return verdictStopped + ": the host does not see it"
	}
	if _, tail, ok := strings.Cut(text, verdictStopped); ok {
		return verdictStopped + tail
	}
	if strings.Contains(text, verdictThrough) || strings.Contains(text, fmt.Sprint("exit status ", gotOut)) {
		return verdictThrough
	}
	if f.Code != fault.SuspectArtifact {
		t.Errorf("%s: %v", a.name, f)
	}
	return text
}

func attackerConfig(t testing.TB, part string, prey *arena, without []string) Config {
	t.Helper()
	told, err := json.Marshal(prey)
	if err != nil {
		t.Fatal(err)
	}
	leaveLayersOut(t, without)
	return Config{argv: []string{attackerArg0, part, string(told)}}
}

// attackerBox is how a real worker is confined.
func attackerBox() sandbox.Config {
	return sandbox.Config{Keep: wire.Socket, MaxFileBytes: 4 << 30, Args: os.Args[3:]}
}

// sealAttacker does what a real worker does when it is loaded.
func sealAttacker(held []string) error {
	if !slices.Contains(held, sandbox.Seccomp) {
		return sandbox.ErrLeftOut
	}
	return sandbox.Seal(attackerBox())
}

// taken returns the files that came with the last message, however many they are.
func taken(conn *wire.WorkerConn) []*os.File {
	for n := range wire.MaxParts {
		if files, err := conn.TakeFiles(n); err == nil && n > 0 {
			return files
		}
	}
	return nil
}

// mapAt maps a page at an address of our choice.
func mapAt(addr uintptr) ([]byte, error) {
	p, err := unix.MmapPtr(-1, 0, ptr(addr), uintptr(os.Getpagesize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		return nil, err
	}
	return bytesAt(p, os.Getpagesize()), nil
}

// errNothing: the attack was let through, and brought nothing.
var errNothing = errors.New("nothing there")

// TestAttacksFail: none of them gets through, and the host goes on.
func TestAttacksFail(t *testing.T) {
	prey := newArena(t)
	withSibling(t, prey)
	r := newRig(t, "")
	b := r.prepared(t, adder())
	names := map[string]bool{}
	for _, a := range attacks() {
		if names[a.name] {
			t.Errorf("two attacks are named %q", a.name)
		}
		names[a.name] = true
		if raceDetector && strings.HasPrefix(a.name, "maps ") && slices.Equal(a.stoppedBy, []string{sandbox.Rlimits}) {
			continue // no worker of such a build has a limit of memory
		}
		t.Run(a.name, func(t *testing.T) {
			if got := assault(t, a, prey); got == verdictThrough {
				t.Error(got)
			} else {
				t.Log(got)
			}
		})
	}
	r.worker(t, b).Close()
	prey.check(t)
}

// TestEveryLayerIsAttacked: a layer that nobody attacks may as well not be there.
func TestEveryLayerIsAttacked(t *testing.T) {
	attacked := map[string]bool{}
	for _, a := range attacks() {
		for _, l := range a.stoppedBy {
			attacked[l] = true
		}
	}
	for _, l := range elsewhere {
		attacked[l] = true
	}
	r := newRig(t, "")
	held := strings.Split(r.Facts().Sandbox, "+")
	for _, l := range held {
		if !attacked[l] {
			t.Errorf("no attack on %s", l)
		}
	}
	t.Logf("layers held: %s", strings.Join(held, " "))
	t.Logf("layers attacked: %s", strings.Join(slices.Sorted(maps.Keys(attacked)), " "))
}

// elsewhere are the layers that have an attack of another kind.
var elsewhere = []string{sandbox.DeathSig}
