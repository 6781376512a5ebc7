package wire

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/artifacts"
)

func TestSnapshotPartsComeBack(t *testing.T) {
	image := bytes.Repeat([]byte{7}, artifacts.SnapshotPage)
	want := Snapshotted{MemoryBytes: 1 << 16, ImageBytes: int64(len(image)), HeapFree: []uint32{1}, Globals: []uint64{2, 3}}
	end, err := want.End()
	if err != nil {
		t.Fatal(err)
	}
	part := slices.Concat(image, end)
	got, back, err := SplitSnapshot(part)
	if d := cmp.Diff(want, got); err != nil || d != "" || !bytes.Equal(back, image) {
		t.Fatalf("%v %s", err, d)
	}
	for n := range part {
		if n > len(end) && n < len(part)-len(end) {
			continue // pages of the image
		}
		if _, _, err := SplitSnapshot(part[:n]); err == nil {
			t.Errorf("cut to %d bytes it is a snapshot", n)
		}
	}
	for n := range end { // each byte of the end, changed: it is refused, or says something else
		bad := bytes.Clone(part)
		bad[len(image)+n] ^= 0xff
		if m, _, err := SplitSnapshot(bad); err == nil && cmp.Equal(m, want) {
			t.Errorf("byte %d means nothing", n)
		}
	}
	if _, err := (Snapshotted{Globals: make([]uint64, MaxGlobals+1)}).End(); err == nil {
		t.Error("more globals than are read")
	}
}
