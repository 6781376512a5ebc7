package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
)

// What 'ipfs add' says of these files. 400 pieces have two levels above them, the upper of which has three links.
func TestKnownCIDs(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		cid  string
	}{
		{"empty", nil, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"},
		{"text", []byte("hello world"), "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"},
		{"line", []byte("hello world\n"), "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"},
		{"1 MiB", make([]byte, 1<<20), "QmVkbauSDEaMP4Tkq6Epm9uW75mWm136n81YH8fGtfwdHU"},
		{"10 MiB", make([]byte, 10<<20), "QmaJ6kN9fW3TKpVkpf1NuW7cjhHjNp5Jwr3cQuHzsoZWkJ"},
		{"100 MiB", make([]byte, 100<<20), "Qmca3PNFKuZnYkiVv1FpcV1AfDUm4qCSHoYjPTBqDAsyk8"},
	} {
		if got := CID(c.b); got != c.cid {
			t.Errorf("%s: %s, want %s", c.name, got, c.cid)
		}
	}
}

// A second description of the tree, written from its top: a node of some height takes up to links to the power of height pieces.
func TestTreeFromTheTop(t *testing.T) {
	pb := func(b []byte, field int, v any) []byte {
		switch v := v.(type) {
		case uint64:
			return binary.AppendUvarint(append(b, byte(field<<3)), v)
		case []byte:
			return append(binary.AppendUvarint(append(b, byte(field<<3|2)), uint64(len(v))), v...)
		}
		panic(v)
	}
	const chunk, links = 3, 4
	var tree func(b []byte, height int) (hash []byte, total uint64)
	tree = func(b []byte, height int) ([]byte, uint64) {
		file := pb(nil, 1, uint64(2))
		if height == 0 {
			if len(b) > 0 {
				file = pb(file, 2, b)
			}
			enc := pb(nil, 1, pb(file, 3, uint64(len(b))))
			sum := sha256.Sum256(enc)
			return sum[:], uint64(len(enc))
		}
		below := chunk
		for range height - 1 {
			below *= links
		}
		var enc []byte
		var total uint64
		file = pb(file, 3, uint64(len(b)))
		for len(b) > 0 {
			part := b[:min(below, len(b))]
			b = b[len(part):]
			hash, size := tree(part, height-1)
			link := pb(nil, 1, append([]byte{0x12, 32}, hash...))
			enc = pb(enc, 2, pb(pb(link, 2, []byte{}), 3, size))
			file = pb(file, 4, uint64(len(part)))
			total += size
		}
		enc = pb(enc, 1, file)
		sum := sha256.Sum256(enc)
		return sum[:], total + uint64(len(enc))
	}
	for n := range 200 {
		b := bytes.Repeat([]byte{1, 2, 5, 7, 11}, 40)[:n]
		height, most := 0, chunk
		for n > most {
			height++
			most *= links
		}
		hash, _ := tree(b, height)
		if got, want := cidOf(b, chunk, links), base58(append([]byte{0x12, 32}, hash...)); got != want {
			t.Fatalf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func TestCIDsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, n := range []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 2 * chunkBytes, maxLinks * chunkBytes, maxLinks*chunkBytes + 1} {
		cid := CID(make([]byte, n))
		if other, ok := seen[cid]; ok || len(cid) != 46 || cid[:2] != "Qm" {
			t.Errorf("%d bytes: %s (also %s)", n, cid, other)
		}
		seen[cid] = fmt.Sprint(n)
	}
}

func BenchmarkCID(b *testing.B) {
	data := make([]byte, 4<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		CID(data)
	}
}
