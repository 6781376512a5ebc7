package record

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"time"
	"unsafe"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
)

// maxEmpty bounds slices of what takes no bytes.
const maxEmpty = 1 << 16

// decoder reads one value. It trusts nothing: a recording may come from anywhere.
type decoder struct {
	*session
	in    []byte
	made  []reflect.Value // pointers, by number
	depth int
	err   error
}

// decode fills v, which is addressable, from the bytes of one value.
func (s *session) decode(b []byte, v reflect.Value) error {
	d := decoder{session: s, in: b}
	d.value(v)
	if d.err == nil && len(d.in) > 0 {
		d.err = damaged("%d bytes too many", len(d.in))
	}
	return d.err
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = damaged(format, args...)
	}
	d.in = nil
}

func (d *decoder) uint() uint64 {
	n, k := binary.Uvarint(d.in)
	if k <= 0 {
		d.fail("it is cut")
		return 0
	}
	d.in = d.in[k:]
	return n
}

func (d *decoder) int() int64 {
	n, k := binary.Varint(d.in)
	if k <= 0 {
		d.fail("it is cut")
		return 0
	}
	d.in = d.in[k:]
	return n
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.in)) {
		d.fail("it is cut")
		return nil
	}
	b := d.in[:n]
	d.in = d.in[n:]
	return b
}

func (d *decoder) text() string { return string(d.bytes(d.uint())) }

func (d *decoder) flag() bool { return d.uint() == 1 }

func (d *decoder) fixed() float64 {
	b := d.bytes(8)
	if len(b) < 8 {
		return 0
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b))
}

func (d *decoder) value(v reflect.Value) {
	if d.err != nil {
		return
	}
	if d.depth++; d.depth > maxDepth {
		d.err = errDeep
	}
	defer func() { d.depth-- }()
	if v.Type() == typeTime {
		d.time(v)
		return
	}
	if v.Type() == typeFault {
		if f := d.fault(); f != nil {
			v.Set(reflect.ValueOf(f))
		}
		return
	}
	if r, ok := v.Addr().Interface().(kernel.Opaque); ok {
		if d.flag() {
			id := d.uint()
			d.keep(id, r.Forge(d.forged[id], uint8(d.uint())))
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(d.flag())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(d.int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(d.uint())
	case reflect.Float32, reflect.Float64:
		v.SetFloat(d.fixed())
	case reflect.Complex64, reflect.Complex128:
		re := d.fixed()
		v.SetComplex(complex(re, d.fixed()))
	case reflect.String:
		v.SetString(d.text())
	case reflect.Slice:
		d.slice(v)
	case reflect.Array:
		for i := range v.Len() {
			d.value(open(v.Index(i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			d.value(open(v.Field(i)))
		}
	case reflect.Map:
		d.mapping(v)
	case reflect.Pointer:
		d.pointer(v)
	case reflect.Interface:
		d.dynamic(v)
	default:
		if d.flag() {
			d.opaque(d.uint(), v)
		}
	}
}

// keep remembers what stands for a token.
func (d *decoder) keep(id uint64, identity any) {
	d.forged[id] = identity
	d.tokens[identity] = token{id: id, outside: true}
	d.next = max(d.next, id+1)
}

func (d *decoder) slice(v reflect.Value) {
	n := d.uint()
	if n == 0 {
		return
	}
	n--
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if n > maxBytes {
			if n > 1<<30 {
				d.fail("a slice of %d bytes", n)
				return
			}
			var sum [sha256.Size]byte
			copy(sum[:], d.bytes(sha256.Size))
			b := make([]byte, n)
			d.digests[unsafe.Pointer(unsafe.SliceData(b))] = sum
			v.SetBytes(b)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), int(n), int(n)))
		copy(v.Bytes(), d.bytes(n))
		return
	}
	if n > uint64(len(d.in))+maxEmpty { // what has a content takes a byte at least
		d.fail("a slice of %d", n)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, int(min(n, 64)))) // it grows with what is there, not with what is said
	for i := range int(n) {
		v.Grow(1)
		v.SetLen(i + 1)
		if d.value(open(v.Index(i))); d.err != nil {
			return
		}
	}
}

func (d *decoder) mapping(v reflect.Value) {
	n := d.uint()
	if n == 0 {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for range n - 1 {
		k, x := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		d.value(k)
		if d.value(x); d.err != nil {
			return
		}
		if !k.Comparable() {
			d.fail("a key that is none")
			return
		}
		v.SetMapIndex(k, x)
	}
}

func (d *decoder) pointer(v reflect.Value) {
	switch n := d.uint(); {
	case n == 0:
	case n == 1:
		p := reflect.New(v.Type().Elem())
		d.made = append(d.made, p)
		v.Set(p)
		d.value(p.Elem())
	case n-2 < uint64(len(d.made)) && d.made[n-2].Type() == v.Type():
		v.Set(d.made[n-2])
	default:
		d.fail("a pointer to nothing")
	}
}

func (d *decoder) dynamic(v reflect.Value) {
	switch d.uint() {
	case isNil:
	case isError:
		if f := d.fault(); f != nil && typeFault.AssignableTo(v.Type()) {
			v.Set(reflect.ValueOf(f))
		}
	case isKnown:
		n := d.uint()
		t, ok := d.types.at(n)
		if !ok {
			d.fail("a type that is not known: %s", d.types.name(n))
			return
		}
		x := reflect.New(t).Elem()
		if d.value(x); d.err != nil {
			return
		}
		if !t.AssignableTo(v.Type()) {
			d.fail("a %v for a %v", t, v.Type())
			return
		}
		v.Set(x)
	default:
		d.opaque(d.uint(), v)
	}
}

// opaque makes something that can be told from others, and that does nothing.
func (d *decoder) opaque(id uint64, v reflect.Value) {
	if d.err != nil {
		return
	}
	if old, ok := d.forged[id].(*forgery); ok && old.v.Type().AssignableTo(v.Type()) {
		v.Set(old.v)
		return
	}
	f := &forgery{}
	switch t := v.Type(); t.Kind() {
	case reflect.Func:
		f.v = reflect.MakeFunc(t, func([]reflect.Value) []reflect.Value {
			out := make([]reflect.Value, t.NumOut())
			for i := range out {
				out[i] = reflect.Zero(t.Out(i))
			}
			return out
		})
	case reflect.Chan:
		f.v = reflect.MakeChan(reflect.ChanOf(reflect.BothDir, t.Elem()), 0).Convert(t)
	case reflect.Interface:
		s := reflect.ValueOf(&standIn{id})
		if !s.Type().AssignableTo(t) {
			return // nothing can stand in for it: the effects will say if it matters
		}
		f.v = s
	default:
		return
	}
	v.Set(f.v)
	d.forged[id] = f
	t := token{id: id, outside: true}
	switch v.Kind() {
	case reflect.Func:
		d.tokens[*(*unsafe.Pointer)(unsafe.Pointer(v.UnsafeAddr()))] = t
	case reflect.Interface:
		d.tokens[v.Elem().UnsafePointer()] = t
	default:
		d.tokens[v.UnsafePointer()] = t
	}
	d.next = max(d.next, id+1)
}

type forgery struct{ v reflect.Value }

// standIn is what stands for a reader, a writer and the like in a replay. It is empty.
type standIn struct{ id uint64 }

var errStandIn = errors.New("this only stands in for something of the recorded host")

func (*standIn) Read([]byte) (int, error)  { return 0, errStandIn }
func (*standIn) Write([]byte) (int, error) { return 0, errStandIn }
func (*standIn) Close() error              { return nil }

func (d *decoder) fault() *fault.Error {
	if !d.flag() {
		return nil
	}
	f := fault.New(fault.Code(d.text()), d.text(), d.text(), nil)
	f.Hint = d.text()
	f.RetryAfter = time.Duration(d.int())
	if d.flag() {
		f.Err = errors.New(d.text())
	}
	return f
}

func (d *decoder) time(v reflect.Value) {
	t := (*rawTime)(unsafe.Pointer(v.UnsafeAddr()))
	t.wall, t.ext = d.uint(), d.int()
	switch d.uint() {
	case 0:
	case 1:
		t.loc = time.Local
	default:
		name := d.text()
		loc, err := time.LoadLocation(name)
		if err != nil {
			loc = time.FixedZone(name, 0)
		}
		t.loc = loc
	}
}
