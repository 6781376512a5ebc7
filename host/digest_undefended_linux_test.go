//go:build undefended

package host

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// holdsNumber reports whether machine code holds a number.
func holdsNumber(code []byte, n uint32) bool {
	le := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	if runtime.GOARCH != "arm64" {
		return bytes.Contains(code, le(n))
	}
	for register := range uint32(31) { // its lower half is in one instruction
		for _, op := range []uint32{0x52800000, 0x72800000, 0xd2800000, 0xf2800000} {
			if bytes.Contains(code, le(op|n&0xffff<<5|register)) {
				return true
			}
		}
	}
	return false
}

// swap stores the parts of the artifact that holds one number in place of those of the other one, which are as long: the engine
// has a checksum of its own, which must fit.
func swap(t *testing.T, c *db.DB, into, from uint32) {
	t.Helper()
	const id = 1 + 8 // bytes of a key that name the artifact
	values, of := map[string][]byte{}, map[uint32]string{}
	err := c.Scan([]byte{chunksOf}, func(k, v []byte) error {
		values[string(k)] = slices.Clone(v)
		for _, n := range []uint32{into, from} {
			if holdsNumber(v, n) {
				of[n] = string(k[:id])
			}
		}
		return nil
	})
	if err != nil || len(of) != 2 {
		t.Fatalf("%d artifacts with machine code, %v", len(of), err)
	}
	swapped := 0
	for k, v := range values {
		tail, ok := strings.CutPrefix(k, of[into])
		if other := values[of[from]+tail]; ok && len(other) == len(v) {
			swapped++
			if err := c.Write(t.Context(), db.Op{Key: []byte(k), Value: other}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if swapped == 0 {
		t.Fatal("nothing fits")
	}
}

// TestUndefendedSwappedArtifactIsRun stores the artifact of one app in the place of another's: without the digest it
// is executed, with it the answer is right.
func TestUndefendedSwappedArtifactIsRun(t *testing.T) {
	const right, wrong = 0x01234567, 0x01234568
	app := func(answer int) Request {
		return Request{Entry: run.Entry{Mode: run.Invoke, Name: "f"}, Code: wasmtest.Module(
			wasmtest.Section(1, wasmtest.Vector([]byte{0x60, 0, 1, 0x7f})), wasmtest.Section(3, []byte{1, 0}),
			wasmtest.Section(7, wasmtest.Vector(append(wasmtest.Name("f"), 0, 0))),
			wasmtest.Section(10, wasmtest.Vector(wasmtest.Body(0, append([]byte{0x41}, wasmtest.S(answer)...)...))),
		)}
	}
	for without, want := range map[string]string{"": "19088743", "digest": "19088744"} {
		t.Setenv("TROUPE_WITHOUT", without)
		cfg := Config{DataDir: t.TempDir(), BallastBytes: NoLimit}
		ask := func(r ...Request) (last string) {
			t.Helper()
			h, err := Start(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range r {
				got, err := h.Execute(t.Context(), q)
				if err != nil || got.Verdict != "ok" {
					t.Fatalf("%s, %v", got.Message, err)
				}
				last = string(got.Result)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			return last
		}
		if got := ask(app(wrong), app(right)); got != "19088743" {
			t.Fatalf("at first %s", got)
		}
		d, err := db.OpenDir(db.DirConfig{Path: cfg.DataDir, Owner: db.Owner{PID: os.Getpid(), Kind: "test"}, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		swap(t, d.Cache, right, wrong)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if got := ask(app(right)); got != want {
			t.Errorf("without %q: %s, want %s", without, got, want)
		}
	}
}
