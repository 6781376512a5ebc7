package run

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Params is everything that changes a run, or which worker may do it, and nothing that changes the artifact. The table in
// the package comment of artifacts says of each setting where it belongs.
type Params struct {
	Tenant      string
	App         string // "" for bare code
	Entry       Entry
	Limits      Limits
	Imports     Imports
	Determinism Determinism
	Isolation   Isolation
}

// Hash returns 64 hex digits that name the parameters, defaults filled in. Two runs with the same artifact, parameters and
// input were asked for the same thing; those whose tenant, app, memory or isolation differ never share a worker.
func (p Params) Hash() string {
	if p.Entry.Mode == 0 {
		p.Entry.Mode = Command
	}
	l := p.Limits.WithDefaults()
	var space [512]byte // enough for most
	b := space[:0]
	num := func(v int64) { b = binary.LittleEndian.AppendUint64(b, uint64(v)) }
	text := func(s string) { num(int64(len(s))); b = append(b, s...) }
	list := func(l []string) {
		num(int64(len(l)))
		for _, s := range l {
			text(s)
		}
	}
	text("troupe run v3")
	text(p.Tenant)
	text(p.App)
	num(int64(p.Entry.Mode))
	text(p.Entry.Name)
	list(p.Entry.Args)
	list(p.Entry.Env)
	num(int64(l.CPU))
	num(int64(l.Wall))
	num(l.MemoryBytes)
	num(l.OutputBytes)
	num(l.Gas)
	num(l.InitGas)
	num(l.StackValues)
	num(int64(max(p.Imports, RefuseMissing)))
	num(int64(max(p.Determinism, Deterministic)))
	num(int64(max(p.Isolation, Reset)))
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
