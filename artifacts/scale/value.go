package scale

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Value is what encodes itself where its Go type does not say how: numbers of 128 bits, enums with fields.
type Value interface {
	EncodeScale(e *Encoder)
	DecodeScale(d *Decoder)
}

// DefaultVector bounds the elements of vectors and the bytes of texts whose field names no bound.
const DefaultVector = 64 << 10

// Marshal returns the encoding of a value: structs field by field in their order, arrays as they are, slices and texts after
// their length, pointers as options. The tag `scale:"compact"` makes a number compact, and `scale:"-"` leaves a field out.
// Maps, interfaces, floats, int and uint have no encoding: for them it panics, as for any mistake in a type.
func Marshal(v any) []byte {
	var e Encoder
	Append(&e, v)
	return e.Encoded()
}

// Append appends what Marshal returns.
func Append(e *Encoder, v any) {
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Pointer {
		p := reflect.New(r.Type()) // so that methods of pointers are found
		p.Elem().Set(r)
		r = p
	}
	encode(e, r.Elem(), tag{})
}

// Unmarshal reads into the value that v points to what Marshal wrote, and nothing else. The tag `scale:"max=128"` bounds a vector
// or text.
//
// # Errors
//
// caller.invalid_request.
func Unmarshal(b []byte, v any) error {
	d := NewDecoder(b)
	Read(d, v)
	return d.End()
}

// Read reads one value into what v points to.
func Read(d *Decoder, v any) { decode(d, reflect.ValueOf(v).Elem(), tag{}) }

type tag struct {
	compact, skip bool
	max           int
}

func parseTag(s string) (t tag) {
	for part := range strings.SplitSeq(s, ",") {
		switch {
		case part == "compact":
			t.compact = true
		case part == "-":
			t.skip = true
		case strings.HasPrefix(part, "max="):
			n, err := strconv.Atoi(part[4:])
			if err != nil {
				panic("scale: tag " + s)
			}
			t.max = n
		case part != "":
			panic("scale: tag " + s)
		}
	}
	return t
}

func encode(e *Encoder, v reflect.Value, t tag) {
	if v.CanAddr() {
		if own, ok := v.Addr().Interface().(Value); ok {
			own.EncodeScale(e)
			return
		}
	}
	switch v.Kind() {
	case reflect.Bool:
		e.Bool(v.Bool())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		switch n := v.Uint(); {
		case t.compact:
			e.Compact(n)
		case v.Kind() == reflect.Uint8:
			e.U8(uint8(n))
		case v.Kind() == reflect.Uint16:
			e.U16(uint16(n))
		case v.Kind() == reflect.Uint32:
			e.U32(uint32(n))
		default:
			e.U64(n)
		}
	case reflect.Int64:
		e.U64(uint64(v.Int()))
	case reflect.String:
		e.String(v.String())
	case reflect.Pointer:
		e.Option(!v.IsNil())
		if !v.IsNil() {
			encode(e, v.Elem(), t)
		}
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			e.Raw(v.Bytes())
			return
		}
		for i := range v.Len() {
			encode(e, v.Index(i), t)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			e.Bytes(v.Bytes())
			return
		}
		e.Len(v.Len())
		for i := range v.Len() {
			encode(e, v.Index(i), t)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if ft := parseTag(v.Type().Field(i).Tag.Get("scale")); !ft.skip {
				encode(e, v.Field(i), ft)
			}
		}
	default:
		panic(fmt.Sprintf("scale: %s has no encoding", v.Type()))
	}
}

func decode(d *Decoder, v reflect.Value, t tag) {
	if d.Err() != nil {
		return
	}
	if own, ok := v.Addr().Interface().(Value); ok {
		own.DecodeScale(d)
		return
	}
	bound := t.max
	if bound == 0 {
		bound = DefaultVector
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(d.Bool())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(decodeUint(d, v, t))
	case reflect.Int64:
		v.SetInt(int64(d.U64()))
	case reflect.String:
		v.SetString(d.String(bound))
	case reflect.Pointer:
		v.SetZero()
		if d.Option() {
			v.Set(reflect.New(v.Type().Elem()))
			decode(d, v.Elem(), t)
		}
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			d.Fixed(v.Bytes())
			return
		}
		for i := range v.Len() {
			decode(d, v.Index(i), t)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(d.Bytes(bound))
			return
		}
		n := d.Len(bound, 1)
		v.SetZero()
		for range n {
			if d.Err() != nil {
				return
			}
			v.Grow(1)
			v.SetLen(v.Len() + 1)
			decode(d, v.Index(v.Len()-1), tag{})
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if ft := parseTag(v.Type().Field(i).Tag.Get("scale")); !ft.skip {
				decode(d, v.Field(i), ft)
			}
		}
	default:
		panic(fmt.Sprintf("scale: %s has no encoding", v.Type()))
	}
}

func decodeUint(d *Decoder, v reflect.Value, t tag) uint64 {
	if t.compact {
		n := d.Compact()
		if v.OverflowUint(n) {
			d.Fail("a number that is too large")
			return 0
		}
		return n
	}
	switch v.Kind() {
	case reflect.Uint8:
		return uint64(d.U8())
	case reflect.Uint16:
		return uint64(d.U16())
	case reflect.Uint32:
		return uint64(d.U32())
	default:
		return d.U64()
	}
}
