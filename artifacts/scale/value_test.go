package scale

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

// number encodes itself.
type number struct{ lo, hi uint64 }

func (n *number) EncodeScale(e *Encoder) { e.U128(n.lo, n.hi) }
func (n *number) DecodeScale(d *Decoder) { n.lo, n.hi = d.U128() }

type inner struct {
	A uint8
	B *uint16
}

type all struct {
	Flag    bool
	Small   uint8
	Compact uint64 `scale:"compact"`
	Signed  int64
	Text    string `scale:"max=4"`
	Data    []byte `scale:"max=4"`
	Fixed   [3]byte
	Pairs   [2]uint16
	List    []inner `scale:"max=2"`
	Own     number
	Maybe   *number
	Skipped int `scale:"-"`
}

var sample = all{Flag: true, Small: 7, Compact: 300, Signed: -2, Text: "ab", Data: []byte{1}, Fixed: [3]byte{4, 5, 6}, Pairs: [2]uint16{1, 2},
	List: []inner{{A: 9}, {A: 8, B: new(uint16)}}, Own: number{1, 2}, Maybe: &number{3, 0}}

const encoded = "01" + "07" + "b104" + "feffffffffffffff" + "086162" + "0401" + "040506" + "01000200" + "08" + "0900" + "08010000" +
	"01000000000000000200000000000000" + "01" + "03000000000000000000000000000000"

func TestValues(t *testing.T) {
	b := Marshal(sample)
	if got := hex.EncodeToString(b); got != encoded {
		t.Fatalf("got  %s\nwant %s", got, encoded)
	}
	if same := Marshal(&sample); string(same) != string(b) {
		t.Error("a pointer to a value is encoded otherwise")
	}
	var back all
	if err := Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, back, cmp.AllowUnexported(number{})); diff != "" {
		t.Error(diff)
	}
}

// TestAPointerInsideIsAnOption has a value whose type is a pointer: its address tells it from a pointer to a value.
func TestAPointerInsideIsAnOption(t *testing.T) {
	var none *number
	if b := Marshal(&none); string(b) != "\x00" {
		t.Errorf("none is %x", b)
	}
	some := &number{1, 0}
	b := Marshal(&some)
	var back *number
	if err := Unmarshal(b, &back); err != nil || back == nil || *back != *some {
		t.Errorf("%x, %v, %v", b, back, err)
	}
}

func TestBadValues(t *testing.T) {
	good := Marshal(sample)
	for name, b := range map[string][]byte{
		"nothing": nil, "cut": good[:len(good)-1], "more": append(append([]byte(nil), good...), 0),
		"text too long":  append(append([]byte(nil), good[:12]...), 0x14, 'a', 'b', 'c', 'd', 'e'),
		"no such bool":   append([]byte{2}, good[1:]...),
		"a wide compact": append([]byte{1, 7, 0x02, 0, 0, 0}, good[4:]...),
	} {
		var v all
		if err := Unmarshal(b, &v); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var small struct {
		N uint8 `scale:"compact"`
	}
	if err := Unmarshal([]byte{0x01, 0x04}, &small); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("256 in a byte: %v", err)
	}
}

func TestTypesWithoutAnEncoding(t *testing.T) {
	for _, v := range []any{map[string]int{}, 1.5, 7, struct {
		A uint8 `scale:"wrong"`
	}{}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T has an encoding", v)
				}
			}()
			Marshal(v)
		}()
	}
}

// FuzzValue has no input make trouble, and what is read be written as it was.
func FuzzValue(f *testing.F) {
	f.Add(Marshal(sample))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v all
		if Unmarshal(b, &v) == nil && string(Marshal(v)) != string(b) {
			t.Errorf("%x is written as %x", b, Marshal(v))
		}
	})
}
