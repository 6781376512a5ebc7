//go:build undefended

package wire

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUndefendedShortRingKillsItsReader: a ring without seals is cut short, and its reader is ended by the kernel. The
// test plays the reader too, in a process of its own.
func TestUndefendedShortRingKillsItsReader(t *testing.T) {
	const reader = "TROUPE_READER"
	if os.Getenv(reader) == "" {
		for without, dies := range map[string]bool{"seals": true, "": false} {
			cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$")
			cmd.Env = []string{reader + "=yes", "TROUPE_WITHOUT=" + without}
			out, err := cmd.CombinedOutput()
			if died := err != nil && strings.Contains(string(out), "SIGBUS"); died != dies || !dies && err != nil {
				t.Errorf("without %q: %v, %.300s", without, err, out)
			}
		}
		return
	}
	h, file, event, err := NewRing()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	defer event.Close()
	defer file.Close()
	if err := file.Truncate(0); err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	h.Hangup()
	_, _ = h.Receive()
}

// TestUndefendedPositionsAreBelieved: one that goes back ends the reader, and one that is too far has it read again what it
// has read before.
func TestUndefendedPositionsAreBelieved(t *testing.T) {
	for name, row := range map[string]struct {
		by    uint64
		fools func(h *HostRing) bool
	}{
		"back": {^uint64(0), func(h *HostRing) (panics bool) {
			defer func() { panics = recover() != nil }()
			_, _ = h.in.take(make([]byte, 10), must(h.in.there()))
			return false
		}},
		"ahead": {2 * ringBytes, func(h *HostRing) bool {
			var f Frame
			err := h.Next(&f)
			return err == nil && f.Type == TypeOutput && len(f.Output.Data) == 57
		}},
	} {
		for _, trusting = range []bool{false, true} {
			h, w := rings(t)
			old := &Output{Data: make([]byte, 57)} // a frame of 64 bytes
			for range ringBytes/64 + 10 {          // until frames stand everywhere
				if err := errors.Join(w.Send(old), h.Next(new(Frame))); err != nil {
					t.Fatal(err)
				}
			}
			if h.in.at%64 != 0 {
				t.Fatalf("position %d", h.in.at)
			}
			*w.out.out.tail += row.by
			if fooled := row.fools(h); fooled != trusting {
				t.Errorf("%s, believed %v: fooled %v", name, trusting, fooled)
			}
		}
	}
	trusting = false
}

func must(n int, err error) int {
	if err != nil {
		return 0
	}
	return n
}

// TestUndefendedReaderInPlaceIsFooled: a reader that parses where the bytes lie has checked other bytes than it acts on.
func TestUndefendedReaderInPlaceIsFooled(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		h, w := rings(t)
		if inPlace {
			h.reader.fill = func([]byte) (int, error) {
				n, err := h.in.there()
				h.reader.buf = h.in.mem // in place of a copy
				h.in.at += int64(n)
				return n, err
			}
		}
		if err := w.Send(&Output{Data: []byte("good")}); err != nil {
			t.Fatal(err)
		}
		var f Frame
		if err := h.Next(&f); err != nil || string(f.Output.Data) != "good" {
			t.Fatalf("%q, %v", f.Output.Data, err)
		}
		at := strings.Index(string(w.out.out.mem[:100]), "good")
		copy(w.out.out.mem[at:], "evil")
		if fooled := string(f.Output.Data) == "evil"; fooled != inPlace {
			t.Errorf("in place %v: %q", inPlace, f.Output.Data)
		}
	}
}
