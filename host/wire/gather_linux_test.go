package wire

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestGather(t *testing.T) {
	big := bytes.Repeat([]byte("x"), MaxChunk-1)
	out := func(s string) Output { return Output{Data: []byte(s)} }
	errs := func(s string) Output { return Output{Stderr: true, Data: []byte(s)} }
	for name, tt := range map[string]struct {
		sent   []Message
		broken string // what comes after sent
		want   []Message
		frames []int64
	}{
		"alone":           {sent: []Message{out("a")}, want: []Message{out("a")}, frames: []int64{0}},
		"three":           {sent: []Message{out("a"), out("bc"), out("d")}, want: []Message{out("abcd")}, frames: []int64{2}},
		"two streams":     {sent: []Message{out("a"), errs("b"), errs("c"), out("d")}, want: []Message{out("a"), errs("bc"), out("d")}, frames: []int64{0, 1, 0}},
		"something else":  {sent: []Message{out("a"), out("b"), NeedStdin{Max: 1}, out("c")}, want: []Message{out("ab"), NeedStdin{Max: 1}, out("c")}, frames: []int64{1, 0, 0}},
		"an empty one":    {sent: []Message{out("a"), out(""), out("b")}, want: []Message{out("a"), out(""), out("b")}, frames: []int64{0, 0, 0}},
		"up to a chunk":   {sent: []Message{Output{Data: big}, out("a"), out("b")}, want: []Message{Output{Data: append(bytes.Clone(big), 'a')}, out("b")}, frames: []int64{1, 0}},
		"over a chunk":    {sent: []Message{Output{Data: big}, out("ab")}, want: []Message{Output{Data: big}, out("ab")}, frames: []int64{0, 0}},
		"half a frame":    {sent: []Message{out("a"), out("b")}, broken: "\x09\x00\x00\x00\x44\x00\x07abc", want: []Message{out("ab")}, frames: []int64{1}},
		"half a header":   {sent: []Message{out("a"), out("b")}, broken: "\x09\x00", want: []Message{out("ab")}, frames: []int64{1}},
		"a broken frame":  {sent: []Message{out("a"), out("b")}, broken: "\x03\x00\x00\x00\x44\x07\x01c", want: []Message{out("ab")}, frames: []int64{1}},
		"a longer length": {sent: []Message{out("a"), out("b")}, broken: "\xff\xff\xff\xff\x44\x00\x01c", want: []Message{out("ab")}, frames: []int64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			var b []byte
			for _, m := range tt.sent {
				f, err := Encode(m)
				if err != nil {
					t.Fatal(err)
				}
				b = append(b, f...)
			}
			b = append(b, tt.broken...)
			r := reader{fill: bytes.NewReader(b).Read, buf: make([]byte, MaxFrame)}
			var got []Message
			var frames []int64
			for range tt.want {
				m, err := r.next()
				if err != nil {
					t.Fatal(err)
				}
				more := int64(0)
				if o, ok := m.(Output); ok {
					o, more = r.gather(o)
					o.Data = bytes.Clone(o.Data)
					m = o
				}
				got, frames = append(got, m), append(frames, more)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.frames, frames); d != "" {
				t.Error(d)
			}
			if m, err := r.next(); err == nil {
				t.Errorf("then came %#v", m)
			}
		})
	}
}

// TestGatherDoesNotWait: only what has arrived is gathered.
func TestGatherDoesNotWait(t *testing.T) {
	h, w := pair(t)
	if err := w.Send(Output{Data: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(w.fd, []byte{0}); err != nil { // the beginning of another
		t.Fatal(err)
	}
	if err := h.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	m, err := h.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if o, more := h.Gather(m.(Output)); string(o.Data) != "a" || more != 0 {
		t.Errorf("%q and %d more", o.Data, more)
	}
}
