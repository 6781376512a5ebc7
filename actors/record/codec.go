package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
)

const (
	maxBytes = 4 << 10 // a longer byte slice is its digest
	maxDepth = 10_000
)

var (
	typeTime  = reflect.TypeFor[time.Time]()
	typeFault = reflect.TypeFor[*fault.Error]()
	typeError = reflect.TypeFor[error]()

	errContinuation = errors.New("the state holds a function that the core made")
	errDamaged      = errors.New("the recording is damaged")
	errDeep         = errors.New("values are nested too deeply")
)

// token stands for what has an identity and no content.
type token struct {
	id      uint64
	outside bool // it came with an input or was there in the beginning
}

// session is what the values of one segment have in common.
type session struct {
	types   *Types
	tokens  map[any]token
	next    uint64
	forged  map[uint64]any // decoding: by token
	digests map[unsafe.Pointer][sha256.Size]byte
	before  *session // encoding a checkpoint: that of the segment before
	outside bool     // what is met now came from outside of the core
	unknown map[reflect.Type]struct{}
}

func newSession(t *Types) *session {
	return &session{types: t, tokens: map[any]token{}, forged: map[uint64]any{}, digests: map[unsafe.Pointer][sha256.Size]byte{},
		unknown: map[reflect.Type]struct{}{}}
}

// token returns the number of an identity.
func (s *session) token(identity any) uint64 {
	t, ok := s.tokens[identity]
	if !ok {
		t = token{id: s.next, outside: s.outside}
		s.next++
		s.tokens[identity] = t
	}
	return t.id
}

// open gives access to a field that is not exported. v is addressable.
func open(v reflect.Value) reflect.Value {
	if v.CanInterface() || !v.CanAddr() {
		return v
	}
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
}

// addressable is v or a copy of it.
func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return open(v)
	}
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	return c
}

type pointer struct {
	at  unsafe.Pointer
	typ reflect.Type
}

// encoder writes one value.
type encoder struct {
	*session
	out   []byte
	seen  map[pointer]uint64
	depth int
	err   error
}

// encode returns the bytes of a value, to which v is addressable.
func (s *session) encode(v reflect.Value) ([]byte, error) {
	return (&encoder{session: s, seen: map[pointer]uint64{}}).whole(v)
}

func (e *encoder) whole(v reflect.Value) (out []byte, err error) {
	defer func() { // recording must not fail what it records
		if r := recover(); r != nil {
			err = fmt.Errorf("it cannot be encoded: %v", r)
		}
	}()
	e.value(addressable(v))
	return e.out, e.err
}

func (e *encoder) uint(n uint64) { e.out = binary.AppendUvarint(e.out, n) }
func (e *encoder) int(n int64)   { e.out = binary.AppendVarint(e.out, n) }
func (e *encoder) text(s string) { e.uint(uint64(len(s))); e.out = append(e.out, s...) }

func (e *encoder) flag(b bool) {
	if b {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

func (e *encoder) value(v reflect.Value) {
	if e.err != nil {
		return
	}
	if e.depth++; e.depth > maxDepth {
		e.err = errDeep
	}
	defer func() { e.depth-- }()
	if v.Type() == typeTime {
		e.time(v)
		return
	}
	if v.Type() == typeFault {
		e.fault(v.Interface().(*fault.Error)) //nolint:errcheck,revive // it is that type
		return
	}
	if r, ok := v.Addr().Interface().(kernel.Opaque); ok {
		identity, attempt := r.Identity()
		if e.flag(identity != nil); identity != nil {
			e.uint(e.token(identity))
			e.uint(uint64(attempt))
		}
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		e.flag(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.int(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		e.uint(v.Uint())
	case reflect.Float32, reflect.Float64:
		e.out = binary.BigEndian.AppendUint64(e.out, math.Float64bits(v.Float()))
	case reflect.Complex64, reflect.Complex128:
		c := v.Complex()
		e.out = binary.BigEndian.AppendUint64(e.out, math.Float64bits(real(c)))
		e.out = binary.BigEndian.AppendUint64(e.out, math.Float64bits(imag(c)))
	case reflect.String:
		e.text(v.String())
	case reflect.Slice:
		e.slice(v)
	case reflect.Array:
		for i := range v.Len() {
			e.value(open(v.Index(i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			e.value(open(v.Field(i)))
		}
	case reflect.Map:
		e.mapping(v)
	case reflect.Pointer:
		e.pointer(v)
	case reflect.Interface:
		e.dynamic(v)
	case reflect.Func:
		e.function(v)
	default: // chan, unsafe.Pointer
		if e.flag(!v.IsNil()); !v.IsNil() {
			e.uint(e.token(v.UnsafePointer()))
		}
	}
}

func (e *encoder) slice(v reflect.Value) {
	if v.IsNil() {
		e.uint(0)
		return
	}
	e.uint(uint64(v.Len()) + 1)
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b := v.Bytes()
		if len(b) > maxBytes {
			d := e.digest(b)
			e.out = append(e.out, d[:]...)
			return
		}
		e.out = append(e.out, b...)
		return
	}
	for i := range v.Len() {
		e.value(open(v.Index(i)))
	}
}

func (s *session) digest(b []byte) [sha256.Size]byte {
	if d, ok := s.digests[unsafe.Pointer(unsafe.SliceData(b))]; ok {
		return d
	}
	return sha256.Sum256(b)
}

func (e *encoder) mapping(v reflect.Value) {
	if v.IsNil() {
		e.uint(0)
		return
	}
	e.uint(uint64(v.Len()) + 1)
	type entry struct {
		key     []byte
		k, elem reflect.Value
	}
	all := make([]entry, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		k := addressable(it.Key())
		b, err := e.encode(k) // pointers within a key are written anew
		if err != nil {
			e.err = err
			return
		}
		all = append(all, entry{b, k, addressable(it.Value())})
	}
	slices.SortFunc(all, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
	for _, x := range all {
		e.value(x.k)
		e.value(x.elem)
	}
}

func (e *encoder) pointer(v reflect.Value) {
	if v.IsNil() {
		e.uint(0)
		return
	}
	p := pointer{v.UnsafePointer(), v.Type()}
	if n, ok := e.seen[p]; ok {
		e.uint(n + 2)
		return
	}
	e.seen[p] = uint64(len(e.seen))
	e.uint(1)
	e.value(v.Elem())
}

func (e *encoder) function(v reflect.Value) {
	if e.flag(!v.IsNil()); v.IsNil() {
		return
	}
	identity := any(*(*unsafe.Pointer)(unsafe.Pointer(v.UnsafeAddr())))
	if e.before != nil && !e.before.tokens[identity].outside {
		e.err = errContinuation
		return
	}
	e.uint(e.token(identity))
}

// Of an interface.
const (
	isNil = iota
	isKnown
	isError
	isToken
)

func (e *encoder) dynamic(v reflect.Value) {
	if v.IsNil() {
		e.uint(isNil)
		return
	}
	x := v.Elem()
	if err, ok := v.Interface().(error); ok && (v.Type() == typeError || x.Type() == typeFault) {
		e.uint(isError)
		e.fault(fault.From(err))
		return
	}
	if n, ok := e.types.number[x.Type()]; ok {
		e.uint(isKnown)
		e.uint(uint64(n))
		e.value(addressable(x))
		return
	}
	e.uint(isToken)
	e.unknown[x.Type()] = struct{}{}
	switch {
	case x.Kind() == reflect.Pointer || x.Kind() == reflect.Map || x.Kind() == reflect.Chan:
		e.uint(e.token(x.UnsafePointer()))
	case x.Comparable():
		e.uint(e.token(v.Interface()))
	default: // it has no identity that could be kept
		e.uint(e.token(new(byte)))
	}
}

func (e *encoder) fault(f *fault.Error) {
	if e.flag(f != nil); f == nil {
		return
	}
	e.text(string(f.Code))
	e.text(f.Op)
	e.text(f.Subject)
	e.text(f.Hint)
	e.int(int64(f.RetryAfter))
	if e.flag(f.Err != nil); f.Err != nil {
		e.text(f.Err.Error())
	}
}

// rawTime is time.Time as it is in memory.
type rawTime struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

func (e *encoder) time(v reflect.Value) {
	t := (*rawTime)(unsafe.Pointer(v.UnsafeAddr()))
	e.uint(t.wall)
	e.int(t.ext)
	switch t.loc {
	case nil:
		e.uint(0)
	case time.Local:
		e.uint(1)
	default:
		e.uint(2)
		e.text(t.loc.String())
	}
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errDamaged}, args...)...)
}
