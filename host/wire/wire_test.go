package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

var samples = []Message{
	Hello{BuildID: "b", Probe: true},
	Ready{BuildID: "b", CPU: "amd64", Held: []string{"env", "fds"}},
	Prepare{MaxInflatedBytes: 1 << 40},
	Prepared{Module: artifacts.Module{Exports: []artifacts.Export{{Name: "f"}}}, Parts: []PartRange{{Name: "code", Offset: 7, Bytes: 9}}},
	Load{}, Loaded{},
	Failed{Code: fault.GuestInvalid, Message: "m"},
	Run{Run: 3, Entry: run.Entry{Mode: run.Bytes, Name: "n", Args: []string{"a", ""}, Env: []string{"K=V"}}, MemoryBytes: 1, OutputBytes: 2,
		InputBytes: 3, Imports: run.TrapMissing, Determinism: run.RealWorld},
	Input{Data: []byte("in")},
	Stdin{Data: []byte{}, EOF: true},
	Output{Stderr: true, Data: []byte("out")},
	NeedStdin{Max: 5},
	Result{Data: []byte("r")},
	Finished{Run: 3, Code: fault.GuestExit, Message: "x", Exited: true, Exit: -1, MemoryPeakBytes: 65536},
}

func TestEachMessageComesBack(t *testing.T) {
	seen := map[Type]bool{}
	for _, m := range samples {
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(Type(b[4]), b[headerSize:])
		if err != nil {
			t.Errorf("%T: %v", m, err)
			continue
		}
		if d := cmp.Diff(m, got); d != "" {
			t.Errorf("%T: %s", m, d)
		}
		seen[m.Type()] = true
		for n := range len(b) - headerSize { // no message may be cut or continued
			if _, err := Decode(m.Type(), b[headerSize:headerSize+n]); !errors.Is(err, ErrFrame) {
				t.Errorf("%T cut at %d: %v", m, n, err)
			}
		}
		if _, err := Decode(m.Type(), append(bytes.Clone(b[headerSize:]), 0)); !errors.Is(err, ErrFrame) {
			t.Errorf("%T with a byte too many: %v", m, err)
		}
	}
	for typ := TypeHello; typ <= TypeStdin; typ++ {
		if !seen[typ] {
			t.Errorf("no sample of type %d", typ)
		}
	}
	for typ := TypeReady; typ <= TypeFinished; typ++ {
		if !seen[typ] {
			t.Errorf("no sample of type %d", typ)
		}
	}
}

func TestSenderRefusesWhatIsTooLarge(t *testing.T) {
	if _, err := Encode(Output{Data: make([]byte, MaxFrame)}); !errors.Is(err, ErrFrame) {
		t.Errorf("got %v", err)
	}
}

func TestHostileStreams(t *testing.T) {
	frame, err := Encode(Loaded{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		stream []byte
		want   error
	}{
		{"a length of 4 GiB", []byte{0xff, 0xff, 0xff, 0xff, byte(TypeOutput)}, ErrFrame},
		{"just too long", []byte{0, 0, 0x10, 0, byte(TypeOutput)}, ErrFrame},
		{"unknown type", []byte{0, 0, 0, 0, 200}, ErrFrame},
		{"a type of the other side is a message all the same", frame, nil},
		{"cut in the header", frame[:3], io.ErrUnexpectedEOF},
		{"cut in the payload", []byte{9, 0, 0, 0, byte(TypeResult), 1}, io.ErrUnexpectedEOF},
		{"nothing", nil, io.EOF},
		{"a list that claims more than is there", []byte{4, 0, 0, 0, byte(TypeReady), 0, 0, 0xff, 0x07}, ErrFrame},
	} {
		src := bytes.NewReader(row.stream)
		r := reader{fill: src.Read}
		allocs := testing.AllocsPerRun(1, func() {})
		_, err := r.next()
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		if len(r.buf) > 8<<10 || allocs > 0 {
			t.Errorf("%s: took %d bytes for a claim", row.name, len(r.buf))
		}
	}
}

func TestFramesArriveInPieces(t *testing.T) {
	var stream []byte
	for range 3 {
		for _, m := range samples {
			var err error
			if stream, err = AppendFrame(stream, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	src := bytes.NewReader(stream)
	r := reader{fill: func(p []byte) (int, error) { return src.Read(p[:min(len(p), 3)]) }}
	for n := range 3 * len(samples) {
		got, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(samples[n%len(samples)], got); d != "" {
			t.Fatal(d)
		}
	}
	if _, err := r.next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples {
		b, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[4], b[headerSize:])
	}
	f.Fuzz(func(t *testing.T, typ byte, p []byte) {
		m, err := Decode(Type(typ), p)
		if err != nil {
			return
		}
		b, err := Encode(m)
		if err != nil {
			return // a message that came in small may be over a limit in its own spelling
		}
		again, err := Decode(Type(typ), b[headerSize:])
		if err != nil {
			t.Fatalf("%T does not come back: %v", m, err)
		}
		if d := cmp.Diff(m, again); d != "" {
			t.Fatal(d)
		}
	})
}
