package appdata

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// A record is a version, its fields in order, numbers big-endian, bytes behind their length, and a checksum.
const version = 1

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errRecord  = errors.New("the record does not verify")
)

type encoder []byte

func (e *encoder) u8(n uint8)       { *e = append(*e, n) }
func (e *encoder) u32(n uint32)     { *e = binary.BigEndian.AppendUint32(*e, n) }
func (e *encoder) u64(n uint64)     { *e = binary.BigEndian.AppendUint64(*e, n) }
func (e *encoder) fixed(b [32]byte) { *e = append(*e, b[:]...) }
func (e *encoder) bytes(b []byte)   { e.u32(uint32(len(b))); *e = append(*e, b...) }

func (e *encoder) time(t time.Time) {
	n := int64(math.MinInt64)
	if !t.IsZero() {
		n = t.UnixNano()
	}
	e.u64(uint64(n))
}

func (e *encoder) wide(n meter.Uint128) { e.u64(n.Hi); e.u64(n.Lo) }

func (e encoder) done() []byte {
	return binary.BigEndian.AppendUint32(e, crc32.Checksum(e, castagnoli))
}

// decoder reads a record; after a field that is not there all others are zero, and done says so.
type decoder struct {
	b   []byte
	bad bool
}

func open(b []byte) *decoder {
	n := len(b) - 4
	if n < 1 || crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]) || b[0] != version {
		return &decoder{bad: true}
	}
	return &decoder{b: b[1:n]}
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return make([]byte, min(max(n, 0), 32))
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) u8() uint8           { return d.take(1)[0] }
func (d *decoder) u32() uint32         { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) u64() uint64         { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) fixed() [32]byte     { return [32]byte(d.take(32)) }
func (d *decoder) wide() meter.Uint128 { return meter.Uint128{Hi: d.u64(), Lo: d.u64()} }

// bytes returns a copy, nil for none.
func (d *decoder) bytes() []byte { return append([]byte(nil), d.take(int(d.u32()))...) }

func (d *decoder) time() time.Time {
	n := int64(d.u64())
	if n == math.MinInt64 || d.bad {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func (d *decoder) done() error {
	if d.bad || len(d.b) > 0 {
		return errRecord
	}
	return nil
}

func encodeSession(s sessions.WorkerSession) []byte {
	e := encoder{version}
	e.fixed(s.ID)
	e.fixed(s.CNonce)
	e.bytes(s.PNonce)
	e.bytes(s.Recipient)
	e.u64(s.SN)
	e.time(s.Opened)
	return e.done()
}

func decodeSession(b []byte) (sessions.WorkerSession, error) {
	d := open(b)
	s := sessions.WorkerSession{ID: d.fixed(), CNonce: d.fixed(), PNonce: d.bytes(), Recipient: d.bytes(), SN: d.u64(), Opened: d.time()}
	return s, d.done()
}

// Marks of a record.
const (
	markBench uint8 = 1 << iota
	markHeld
)

// encodeRecord leaves out the progress, which has a record of its own.
func encodeRecord(r sessions.Record) []byte {
	e := encoder{version}
	e.fixed(r.Address)
	e.fixed(r.Session)
	e.bytes(r.Manifest)
	e.bytes(r.Config)
	e.bytes([]byte(r.Tenant))
	e.time(r.Deployed)
	e.u64(r.Sequence)
	e.u8(uint8(r.Reuse))
	e.u8(uint8(r.Entry))
	e.u32(r.Wanted)
	var marks uint8
	if r.Bench {
		marks |= markBench
	}
	if r.Held {
		marks |= markHeld
	}
	e.u8(marks)
	return e.done()
}

func decodeRecord(b []byte) (r sessions.Record, err error) {
	d := open(b)
	r.Address, r.Session = d.fixed(), d.fixed()
	r.Manifest, r.Config, r.Tenant = d.bytes(), d.bytes(), string(d.bytes())
	r.Deployed, r.Sequence = d.time(), d.u64()
	r.Reuse, r.Entry = manifest.Reuse(d.u8()), manifest.Entry(d.u8())
	r.Wanted = d.u32()
	marks := d.u8()
	r.Bench, r.Held = marks&markBench != 0, marks&markHeld != 0
	d.bad = d.bad || marks&^(markBench|markHeld) != 0
	return r, d.done()
}

func encodeProgress(p sessions.Progress) []byte {
	e := make(encoder, 0, 256)
	e.u8(version)
	m := p.Totals
	e.fixed(m.Address)
	e.fixed(m.Session)
	for _, n := range []uint64{m.RunningTimeMS, m.Gas, m.NetworkIngress, m.NetworkEgress, m.StorageRead, m.StorageWrite, m.Tip, m.Starts} {
		e.u64(n)
	}
	e.wide(m.StorageUsed)
	e.wide(m.MemoryUsed)
	e.u64(p.GasRest)
	for _, n := range []uint64{p.Runs, p.Complete, p.TimedOut, p.Skipped} {
		e.u64(n)
	}
	e.bytes([]byte(p.LastEnd))
	e.time(p.LastAt)
	e.u64(p.Restarts)
	return e.done()
}

func decodeProgress(b []byte) (p sessions.Progress, err error) {
	d := open(b)
	m := &p.Totals
	m.Address, m.Session = d.fixed(), d.fixed()
	for _, n := range []*uint64{&m.RunningTimeMS, &m.Gas, &m.NetworkIngress, &m.NetworkEgress, &m.StorageRead, &m.StorageWrite, &m.Tip, &m.Starts} {
		*n = d.u64()
	}
	m.StorageUsed, m.MemoryUsed = d.wide(), d.wide()
	p.GasRest, p.Runs = d.u64(), d.u64()
	p.Complete, p.TimedOut, p.Skipped = d.u64(), d.u64(), d.u64()
	p.LastEnd, p.LastAt, p.Restarts = string(d.bytes()), d.time(), d.u64()
	return p, d.done()
}
