package manifest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/fault"
)

// Bounds of what a manifest says.
const (
	MaxLabelBytes = 64
	MaxNameBytes  = 256 // of an entry, and of a capability
	MaxCIDBytes   = 128
	MaxWeight     = 10_000
	MaxQueue      = 4096
	MaxKVBytes    = uint64(1) << 40
	MaxDelay      = 7 * 24 * time.Hour        // of timeouts, back-off and the duration of a scheduled run
	MaxScheduled  = 10 * 365 * 24 * time.Hour // of the start and the period of a schedule
	AllRights     = 7                         // of a channel: to send, to receive, to close
	TopicRights   = 3                         // of a topic: to publish, to subscribe
)

// Validate says whether the manifest makes sense by itself. Whether its blobs are there, and whether it goes with its code, is
// not asked here; see Resolve.
//
// # Errors
//
// caller.manifest_version, caller.manifest_conflict, caller.manifest_label, caller.manifest_too_large, in this order, then
// caller.manifest_invalid with the name of the first field that cannot be.
func (m *Manifest) Validate() error {
	if m.Version != Version1 && m.Version != Version2 {
		return unknownVersion(m.Version)
	}
	if err := m.validateConflicts(); err != nil {
		return err
	}
	if len(m.Label) > MaxLabelBytes || !clean(m.Label) {
		return fault.New(fault.CallerManifestLabel, "manifest", fault.Quote(m.Label), nil)
	}
	if n := len(m.Encode()); n > MaxBytes {
		return tooLarge(n)
	}
	if err := m.validateCode(); err != nil {
		return err
	}
	if m.Terms != nil {
		return m.validateTerms()
	}
	return nil
}

func (m *Manifest) validateConflicts() error {
	if m.OnDemand && m.Resizable {
		return conflicting("on_demand, and resizable")
	}
	t := m.Terms
	if t == nil {
		if m.Version >= Version2 {
			return invalid("terms", "are what version 2 is for")
		}
		return nil
	}
	s := t.Schedule
	switch {
	case m.Version < Version2:
		return conflicting("version %d, and terms", m.Version)
	case m.OnDemand && s != Schedule{}:
		return conflicting("on_demand, and a schedule")
	case m.Resizable && s != Schedule{}:
		return conflicting("resizable, and a schedule")
	case s.Period == 0 && s.Repeats > 1:
		return conflicting("schedule.repeats %d, and no schedule.period", s.Repeats)
	case t.EntryName != "" && (t.Entry == Command || t.Entry == Service):
		return conflicting("entry_name, and an entry of kind %s, which has none", t.Entry)
	}
	return m.conflict(t.Entry, t.Reuse, s)
}

// validateCode judges the fields of version 1. Repeated variables and blobs pass there, as they did, and not in version 2.
func (m *Manifest) validateCode() error {
	if err := validateHash("code_hash", m.CodeHash); err != nil {
		return err
	}
	for i, a := range m.Args {
		if !plain(a) {
			return invalid(fmt.Sprintf("args[%d]", i), "must be UTF-8 without NUL")
		}
	}
	keys := once[string]{}
	for i, e := range m.Env {
		field := fmt.Sprintf("env_vars[%d]", i)
		switch {
		case e.Key == "" || !plain(e.Key) || strings.Contains(e.Key, "="):
			return invalid(field, "has a name that is empty, or has '=' or NUL")
		case !plain(e.Value):
			return invalid(field, "must be UTF-8 without NUL")
		case !keys.add(e.Key) && m.Version >= Version2:
			return invalid(field, "is there twice: "+fault.Quote(e.Key))
		}
	}
	hashes := once[string]{}
	for i, b := range m.Blobs {
		field := fmt.Sprintf("required_blobs[%d]", i)
		if err := validateHash(field, b.Key); err != nil {
			return err
		}
		switch {
		case len(b.Value) > MaxCIDBytes || !clean(b.Value):
			return invalid(field, "has a CID that is none")
		case !hashes.add(b.Key) && m.Version >= Version2:
			return invalid(field, "is there twice: "+b.Key)
		}
	}
	return nil
}

func (m *Manifest) validateTerms() error {
	t := m.Terms
	switch {
	case t.Entry > Service:
		return invalid("terms.entry", t.Entry.String())
	case t.Reuse > Process:
		return invalid("terms.reuse", t.Reuse.String())
	case t.Restart.Policy > RestartNever:
		return invalid("terms.restart.policy", t.Restart.Policy.String())
	case len(t.EntryName) > MaxNameBytes || !clean(t.EntryName):
		return invalid("terms.entry_name", "is longer than 256 bytes, or has control characters")
	case t.Weight > MaxWeight:
		return invalid("terms.weight", "must be at most 10,000")
	case t.Queue > MaxQueue:
		return invalid("terms.queue", "must be at most 4096")
	}
	for _, d := range []struct {
		field string
		v     time.Duration
		most  time.Duration
	}{
		{"limits.cpu", t.Limits.CPU, math.MaxInt64}, {"limits.wall", t.Limits.Wall, math.MaxInt64}, // have ranges of their own, see below
		{"restart.min_run", t.Restart.MinRun, MaxDelay}, {"restart.backoff_min", t.Restart.BackoffMin, MaxDelay},
		{"restart.backoff_max", t.Restart.BackoffMax, MaxDelay},
		{"schedule.start", t.Schedule.Start, MaxScheduled}, {"schedule.period", t.Schedule.Period, MaxScheduled},
		{"schedule.duration", t.Schedule.Duration, MaxDelay},
		{"query_timeout", t.QueryTimeout, MaxDelay}, {"idle_timeout", t.IdleTimeout, MaxDelay},
	} {
		if d.v < 0 || d.v > d.most || d.v%time.Millisecond != 0 {
			return invalid("terms."+d.field, fmt.Sprintf("must be whole milliseconds from 0 to %s", d.most))
		}
	}
	if err := t.Limits.validate(); err != nil {
		return err
	}
	if r := m.Settled().Restart; r.BackoffMin > r.BackoffMax {
		return invalid("terms.restart.backoff_max", "is less than backoff_min")
	}
	return t.Grants.validate()
}

func (l Limits) validate() error {
	for _, n := range []struct {
		field string
		v     uint64
	}{{"gas", l.Gas}, {"init_gas", l.InitGas}, {"memory_bytes", l.MemoryBytes}, {"output_bytes", l.OutputBytes}, {"stack_values", l.StackValues}} {
		if n.v > math.MaxInt64 {
			return invalid("terms.limits."+n.field, "is too large")
		}
	}
	if err := l.Run().Validate(); err != nil {
		f, ok := errors.AsType[*fault.Error](err)
		if !ok {
			return err
		}
		return invalid("terms.limits", f.Hint)
	}
	return nil
}

func (g Grants) validate() error {
	names := once[string]{}
	for i, n := range g.Names {
		switch {
		case !hostName(n):
			return invalid(fmt.Sprintf("terms.grants.names[%d]", i), "must be a host name in lower case, without wildcards")
		case !names.add(n):
			return invalid(fmt.Sprintf("terms.grants.names[%d]", i), "is there twice: "+n)
		}
	}
	egress := once[Egress]{}
	for i, s := range g.Egress {
		field := fmt.Sprintf("terms.grants.egress[%d]", i)
		e, err := ParseEgress(s)
		if err != nil {
			return invalid(field, fault.From(err).Hint)
		}
		if !egress.add(e) {
			return invalid(field, "is there twice: "+fault.Quote(s))
		}
	}
	for i, p := range g.Listen {
		field := fmt.Sprintf("terms.grants.listen[%d]", i)
		if p.From == 0 || p.From > p.To {
			return invalid(field, "must be two ports from 1 to 65535, the lower one first")
		}
		for _, q := range g.Listen[:i] {
			if p.From <= q.To && q.From <= p.To {
				return invalid(field, "has ports of another range")
			}
		}
	}
	if g.KVBytes > MaxKVBytes {
		return invalid("terms.grants.kv_bytes", "must be at most 1 TiB")
	}
	names = once[string]{} // of channels and topics together: a guest asks for either by its name
	if err := validateCapabilities("channels", g.Channels, AllRights, names); err != nil {
		return err
	}
	return validateCapabilities("topics", g.Topics, TopicRights, names)
}

func validateCapabilities(kind string, list []Capability, rights uint8, names once[string]) error {
	for i, c := range list {
		field := fmt.Sprintf("terms.grants.%s[%d]", kind, i)
		switch {
		case c.Name == "" || len(c.Name) > MaxNameBytes || !clean(c.Name):
			return invalid(field, "has a name that is empty, longer than 256 bytes, or has control characters")
		case c.Rights == 0 || c.Rights&^rights != 0:
			return invalid(field, "has no rights, or some that there are not")
		case !names.add(c.Name):
			return invalid(field, "is there twice: "+c.Name)
		}
	}
	return nil
}

func invalid(field, why string) error {
	return fault.New(fault.CallerManifest, "manifest", field, errors.New(why))
}

// validateHash wants "sha256:" or "sha512:" and the digits in lower case, since the text itself is what blobs are looked up by.
func validateHash(field, s string) error {
	algorithm, digits, _ := strings.Cut(s, ":")
	sizes := map[string]int{"sha256": 32, "sha512": 64}
	if b, err := hex.DecodeString(digits); err != nil || len(b) == 0 || len(b) != sizes[algorithm] || strings.ToLower(digits) != digits {
		return invalid(field, "must be sha256: or sha512: and the hash in lower-case hex digits")
	}
	return nil
}

// clean says whether s is UTF-8 without control and invisible characters.
func clean(s string) bool {
	for len(s) > fault.MaxQuoted/2 { // Quote cuts what is longer
		cut := fault.MaxQuoted / 2
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		if cut == 0 || fault.Quote(s[:cut]) != s[:cut] {
			return false
		}
		s = s[cut:]
	}
	return fault.Quote(s) == s
}

func plain(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// once is a set.
type once[T comparable] map[T]struct{}

// add says whether v is new.
func (o once[T]) add(v T) bool {
	_, old := o[v]
	o[v] = struct{}{}
	return !old
}
