package scale

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

// The compact numbers of the codec's public description, and the edges of each width.
func TestCompact(t *testing.T) {
	for _, c := range []struct {
		value uint64
		hex   string
	}{
		{0, "00"}, {1, "04"}, {42, "a8"}, {63, "fc"}, {64, "0101"}, {69, "1501"}, {16383, "fdff"}, {16384, "02000100"},
		{65535, "feff0300"}, {1<<30 - 1, "feffffff"}, {1 << 30, "0300000040"}, {math.MaxUint32, "03ffffffff"},
		{1 << 32, "070000000001"}, {100000000000000, "0b00407a10f35a"}, {math.MaxUint64, "13ffffffffffffffff"},
	} {
		var e Encoder
		e.Compact(c.value)
		if got := hex.EncodeToString(e.Encoded()); got != c.hex {
			t.Errorf("%d is %s, want %s", c.value, got, c.hex)
		}
		d := NewDecoder(e.Encoded())
		if got := d.Compact(); got != c.value || d.End() != nil {
			t.Errorf("%s is %d (%v), want %d", c.hex, got, d.Err(), c.value)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	var e Encoder
	e.U8(1)
	e.U16(0x0203)
	e.U32(0x04050607)
	e.U64(0x08090a0b0c0d0e0f)
	e.U128(1, 2)
	e.Bool(true)
	e.Option(false)
	e.Bytes([]byte{9, 8})
	e.Bytes(nil)
	e.String("ä")
	e.Strings([]string{"a", ""})
	e.Raw([]byte{7, 7, 7})
	want := "01" + "0302" + "07060504" + "0f0e0d0c0b0a0908" + "0100000000000000" + "0200000000000000" + "01" + "00" +
		"080908" + "00" + "08c3a4" + "08" + "0461" + "00" + "070707"
	if got := hex.EncodeToString(e.Encoded()); got != want {
		t.Fatalf("encoded\n%s, want\n%s", got, want)
	}
	d := NewDecoder(e.Encoded())
	var fixed [3]byte
	got := []any{d.U8(), d.U16(), d.U32(), d.U64()}
	lo, hi := d.U128()
	got = append(got, lo, hi, d.Bool(), d.Option(), d.Bytes(2), d.Bytes(0), d.String(2), d.Strings(2, 1))
	d.Fixed(fixed[:])
	got = append(got, fixed)
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{uint8(1), uint16(0x0203), uint32(0x04050607), uint64(0x08090a0b0c0d0e0f), uint64(1), uint64(2), true,
		false, []byte{9, 8}, []byte(nil), "ä", []string{"a", ""}, [3]byte{7, 7, 7}}, got); diff != "" {
		t.Error(diff)
	}
}

// Everything that has another encoding, and everything that is out of its bounds, is refused.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		hex  string
		read func(d *Decoder)
	}{
		"two bytes for what fits one":   {"0100", func(d *Decoder) { d.Compact() }},
		"two bytes for 63":              {"fd00", func(d *Decoder) { d.Compact() }},
		"four bytes for what fits two":  {"feff0000", func(d *Decoder) { d.Compact() }},
		"big for what fits four":        {"03ffffff3f", func(d *Decoder) { d.Compact() }},
		"big with a zero on top":        {"07ffffffff00", func(d *Decoder) { d.Compact() }},
		"nine bytes":                    {"17ffffffffffffffffff", func(d *Decoder) { d.Compact() }},
		"half a compact of two bytes":   {"01", func(d *Decoder) { d.Compact() }},
		"half a compact of four bytes":  {"020001", func(d *Decoder) { d.Compact() }},
		"half a big compact":            {"03000000", func(d *Decoder) { d.Compact() }},
		"no compact":                    {"", func(d *Decoder) { d.Compact() }},
		"a bool of 2":                   {"02", func(d *Decoder) { d.Bool() }},
		"an option of 255":              {"ff", func(d *Decoder) { d.Option() }},
		"an enum past its end":          {"03", func(d *Decoder) { d.Enum(2) }},
		"text that is not UTF-8":        {"08c328", func(d *Decoder) { d.String(8) }},
		"text longer than its limit":    {"0c616263", func(d *Decoder) { d.String(2) }},
		"bytes longer than the input":   {"0c6162", func(d *Decoder) { d.Bytes(8) }},
		"a length of 2^64-1":            {"13ffffffffffffffff", func(d *Decoder) { d.Bytes(math.MaxInt) }},
		"elements that cannot be there": {"0800000000", func(d *Decoder) { d.Len(2, 4) }},
		"bytes after the end":           {"0000", func(d *Decoder) { d.U8() }},
		"a short number":                {"000000", func(d *Decoder) { d.U32() }},
		"a short wide number":           {"000000000000000000000000000000", func(d *Decoder) { d.U128() }},
		"what the reader refuses":       {"00", func(d *Decoder) { d.U8(); d.Fail("no") }},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := hex.DecodeString(c.hex)
			if err != nil {
				t.Fatal(err)
			}
			d := NewDecoder(in)
			c.read(d)
			if err := d.End(); !errors.Is(err, fault.CallerInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFirstFailureSticks(t *testing.T) {
	d := NewDecoder([]byte{2, 1, 1, 1, 1})
	d.Bool()
	first := d.Err()
	var fixed [2]byte
	d.Fixed(fixed[:])
	if d.U8() != 0 || d.Bytes(4) != nil || d.String(4) != "" || d.Strings(4, 4) != nil || d.Compact() != 0 || d.Bool() || fixed != [2]byte{} {
		t.Error("a value after a failure")
	}
	d.Fail("another")
	if first == nil || d.End() != first || d.Err() != first {
		t.Errorf("first %v, then %v", first, d.End())
	}
}

func TestDecodedSharesNothing(t *testing.T) {
	in := []byte{8, 1, 2}
	got := NewDecoder(in).Bytes(2)
	in[1] = 9
	if got[0] != 1 {
		t.Error("the bytes are those of the input")
	}
}

// A length must not make the decoder allocate more than the input can fill.
func TestHugeLengthAllocatesNothing(t *testing.T) {
	in := append([]byte{0x13, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, make([]byte, 100)...)
	d := NewDecoder(in)
	if d.Strings(math.MaxInt, math.MaxInt) != nil || d.Err() == nil {
		t.Error("taken")
	}
}

// FuzzDecode reads what the input itself says, and encodes what was read: it must be the bytes that were read.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0, 1}, []byte("abc"))
	f.Add([]byte{5, 6, 7, 8, 9, 10}, []byte{4, 0x61, 1, 0, 0x0c, 1, 2, 3})
	f.Fuzz(func(t *testing.T, script, in []byte) {
		d := NewDecoder(in)
		var e Encoder
		for _, op := range script {
			at := d.Offset()
			switch op % 9 {
			case 0:
				e.U8(d.U8())
			case 1:
				e.U32(d.U32())
			case 2:
				e.U64(d.U64())
			case 3:
				e.U128(d.U128())
			case 4:
				e.Bool(d.Bool())
			case 5:
				e.Compact(d.Compact())
			case 6:
				e.Bytes(d.Bytes(1 << 20))
			case 7:
				e.String(d.String(1 << 20))
			case 8:
				e.Strings(d.Strings(1<<10, 1<<10))
			}
			if d.Err() != nil {
				return
			}
			if !bytes.Equal(e.Encoded(), in[:d.Offset()]) {
				t.Fatalf("operation %d read %x, and wrote %x", op%9, in[at:d.Offset()], e.Encoded()[at:])
			}
		}
	})
}
