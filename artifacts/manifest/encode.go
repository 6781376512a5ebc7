package manifest

import (
	"fmt"
	"math"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
)

// Versions of the encoding.
const (
	Version1 = 1 // the original's
	Version2 = 2 // ends in Terms
)

// MaxBytes is the size that an encoded manifest may have.
const MaxBytes = 16 << 10

// Encode returns the bytes that the address is the hash of. Terms are encoded from version 2 on, absent ones as those that are
// all zero. Only of a manifest that Validate accepts does Decode give it back.
func (m *Manifest) Encode() []byte {
	var e scale.Encoder
	e.U32(m.Version)
	e.String(m.CodeHash)
	e.Strings(m.Args)
	encodePairs(&e, m.Env)
	e.Bool(m.OnDemand)
	e.Bool(m.Resizable)
	e.U32(m.MaxQueryBytes)
	e.String(m.Label)
	encodePairs(&e, m.Blobs)
	if m.Version >= Version2 {
		var none Terms
		t := m.Terms
		if t == nil {
			t = &none
		}
		t.encode(&e)
	}
	return e.Encoded()
}

// Decode reads a manifest. Its meaning is left to Validate.
//
// # Errors
//
// caller.manifest_too_large, caller.manifest_version, and caller.manifest_invalid for bytes that are no encoding.
func Decode(b []byte) (*Manifest, error) {
	if len(b) > MaxBytes {
		return nil, tooLarge(len(b))
	}
	d := scale.NewDecoder(b)
	m := &Manifest{Version: d.U32()}
	if d.Err() == nil && m.Version != Version1 && m.Version != Version2 {
		return nil, unknownVersion(m.Version)
	}
	m.CodeHash = d.String(MaxBytes)
	m.Args = d.Strings(MaxBytes, MaxBytes)
	m.Env = decodePairs(d)
	m.OnDemand = d.Bool()
	m.Resizable = d.Bool()
	m.MaxQueryBytes = d.U32()
	m.Label = d.String(MaxBytes)
	m.Blobs = decodePairs(d)
	if m.Version == Version2 {
		m.Terms = decodeTerms(d)
	}
	if err := d.End(); err != nil {
		return nil, fault.New(fault.CallerManifest, "decode manifest", "", err)
	}
	return m, nil
}

func tooLarge(n int) error {
	return fault.New(fault.CallerManifestTooLarge, "manifest", "", fmt.Errorf("%d bytes", n))
}

func unknownVersion(v uint32) error {
	return fault.New(fault.CallerManifestVersion, "manifest", "", fmt.Errorf("version %d", v))
}

func (t *Terms) encode(e *scale.Encoder) {
	e.U64(t.Limits.Gas)
	e.U64(t.Limits.InitGas)
	encodeDuration(e, t.Limits.CPU)
	encodeDuration(e, t.Limits.Wall)
	e.U64(t.Limits.MemoryBytes)
	e.U64(t.Limits.OutputBytes)
	e.U64(t.Limits.StackValues)
	e.U8(uint8(t.Entry))
	e.String(t.EntryName)
	e.U8(uint8(t.Reuse))
	e.U8(uint8(t.Restart.Policy))
	encodeDuration(e, t.Restart.MinRun)
	encodeDuration(e, t.Restart.BackoffMin)
	encodeDuration(e, t.Restart.BackoffMax)
	e.U32(t.Restart.Max)
	encodeDuration(e, t.Schedule.Start)
	encodeDuration(e, t.Schedule.Period)
	e.U32(t.Schedule.Repeats)
	encodeDuration(e, t.Schedule.Duration)
	e.U32(t.Weight)
	encodeDuration(e, t.QueryTimeout)
	e.U32(t.Queue)
	encodeDuration(e, t.IdleTimeout)
	e.Bool(t.Deterministic)
	e.Bool(t.CanonicalNaNs)
	e.Bool(t.InitOnce)
	e.Bool(t.Grants.HTTP)
	e.Strings(t.Grants.Names)
	e.Strings(t.Grants.Egress)
	e.Len(len(t.Grants.Listen))
	for _, p := range t.Grants.Listen {
		e.U16(p.From)
		e.U16(p.To)
	}
	e.U64(t.Grants.KVBytes)
	encodeCapabilities(e, t.Grants.Channels)
	encodeCapabilities(e, t.Grants.Topics)
}

func decodeTerms(d *scale.Decoder) *Terms {
	t := &Terms{}
	t.Limits.Gas = d.U64()
	t.Limits.InitGas = d.U64()
	t.Limits.CPU = decodeDuration(d)
	t.Limits.Wall = decodeDuration(d)
	t.Limits.MemoryBytes = d.U64()
	t.Limits.OutputBytes = d.U64()
	t.Limits.StackValues = d.U64()
	t.Entry = Entry(d.Enum(uint8(Service)))
	t.EntryName = d.String(MaxBytes)
	t.Reuse = Reuse(d.Enum(uint8(Process)))
	t.Restart.Policy = RestartPolicy(d.Enum(uint8(RestartNever)))
	t.Restart.MinRun = decodeDuration(d)
	t.Restart.BackoffMin = decodeDuration(d)
	t.Restart.BackoffMax = decodeDuration(d)
	t.Restart.Max = d.U32()
	t.Schedule.Start = decodeDuration(d)
	t.Schedule.Period = decodeDuration(d)
	t.Schedule.Repeats = d.U32()
	t.Schedule.Duration = decodeDuration(d)
	t.Weight = d.U32()
	t.QueryTimeout = decodeDuration(d)
	t.Queue = d.U32()
	t.IdleTimeout = decodeDuration(d)
	t.Deterministic = d.Bool()
	t.CanonicalNaNs = d.Bool()
	t.InitOnce = d.Bool()
	t.Grants.HTTP = d.Bool()
	t.Grants.Names = d.Strings(MaxBytes, MaxBytes)
	t.Grants.Egress = d.Strings(MaxBytes, MaxBytes)
	if n := d.Len(MaxBytes, 4); n > 0 {
		t.Grants.Listen = make([]Ports, n)
		for i := range t.Grants.Listen {
			t.Grants.Listen[i] = Ports{d.U16(), d.U16()}
		}
	}
	t.Grants.KVBytes = d.U64()
	t.Grants.Channels = decodeCapabilities(d)
	t.Grants.Topics = decodeCapabilities(d)
	return t
}

func encodePairs(e *scale.Encoder, list []Pair) {
	e.Len(len(list))
	for _, p := range list {
		e.String(p.Key)
		e.String(p.Value)
	}
}

func decodePairs(d *scale.Decoder) []Pair {
	n := d.Len(MaxBytes, 2)
	if n == 0 {
		return nil
	}
	list := make([]Pair, n)
	for i := range list {
		list[i] = Pair{d.String(MaxBytes), d.String(MaxBytes)}
	}
	return list
}

func encodeCapabilities(e *scale.Encoder, list []Capability) {
	e.Len(len(list))
	for _, c := range list {
		e.String(c.Name)
		e.U8(c.Rights)
	}
}

func decodeCapabilities(d *scale.Decoder) []Capability {
	n := d.Len(MaxBytes, 2)
	if n == 0 {
		return nil
	}
	list := make([]Capability, n)
	for i := range list {
		list[i] = Capability{d.String(MaxBytes), d.U8()}
	}
	return list
}

// Durations are whole milliseconds, as the original counts running time.
func encodeDuration(e *scale.Encoder, v time.Duration) { e.U64(uint64(v / time.Millisecond)) }

func decodeDuration(d *scale.Decoder) time.Duration {
	ms := d.U64()
	if ms > uint64(math.MaxInt64/time.Millisecond) {
		d.Fail("a duration of more than 292 years")
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}
