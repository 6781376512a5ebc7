package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// The JSON form of a manifest: the names of the original, and pairs as arrays of two.
type jsonManifest struct {
	Version       uint32     `json:"version"`
	CodeHash      string     `json:"code_hash"`
	Args          []string   `json:"args"`
	Env           [][]string `json:"env_vars"`
	OnDemand      bool       `json:"on_demand"`
	Resizable     bool       `json:"resizable"`
	MaxQueryBytes uint32     `json:"max_query_size"`
	Label         string     `json:"label"`
	Blobs         [][]string `json:"required_blobs"`
	Terms         *jsonTerms `json:"terms,omitempty"`
}

type jsonTerms struct {
	Limits        jsonLimits   `json:"limits,omitzero"`
	Entry         jsonEntry    `json:"entry,omitzero"`
	EntryName     string       `json:"entry_name,omitempty"`
	Reuse         jsonReuse    `json:"reuse,omitzero"`
	Restart       jsonRestart  `json:"restart,omitzero"`
	Schedule      jsonSchedule `json:"schedule,omitzero"`
	Weight        uint32       `json:"weight,omitzero"`
	QueryTimeout  jsonDuration `json:"query_timeout,omitzero"`
	Queue         uint32       `json:"queue,omitzero"`
	IdleTimeout   jsonDuration `json:"idle_timeout,omitzero"`
	Deterministic bool         `json:"deterministic,omitzero"`
	CanonicalNaNs bool         `json:"canonical_nans,omitzero"`
	InitOnce      bool         `json:"init_once,omitzero"`
	Grants        jsonGrants   `json:"grants,omitzero"`
}

type jsonLimits struct {
	Gas         uint64       `json:"gas,omitzero"`
	InitGas     uint64       `json:"init_gas,omitzero"`
	CPU         jsonDuration `json:"cpu,omitzero"`
	Wall        jsonDuration `json:"wall,omitzero"`
	MemoryBytes uint64       `json:"memory_bytes,omitzero"`
	OutputBytes uint64       `json:"output_bytes,omitzero"`
	StackValues uint64       `json:"stack_values,omitzero"`
}

type jsonRestart struct {
	Policy     jsonPolicy   `json:"policy,omitzero"`
	MinRun     jsonDuration `json:"min_run,omitzero"`
	BackoffMin jsonDuration `json:"backoff_min,omitzero"`
	BackoffMax jsonDuration `json:"backoff_max,omitzero"`
	Max        uint32       `json:"max,omitzero"`
}

type jsonSchedule struct {
	Start    jsonDuration `json:"start,omitzero"`
	Period   jsonDuration `json:"period,omitzero"`
	Repeats  uint32       `json:"repeats,omitzero"`
	Duration jsonDuration `json:"duration,omitzero"`
}

type jsonGrants struct {
	HTTP     bool             `json:"http,omitzero"`
	Names    []string         `json:"names,omitempty"`
	Egress   []string         `json:"egress,omitempty"`
	Listen   [][]uint16       `json:"listen,omitempty"`
	KVBytes  uint64           `json:"kv_bytes,omitzero"`
	Channels []jsonCapability `json:"channels,omitempty"`
	Topics   []jsonCapability `json:"topics,omitempty"`
}

// IsZero is asked by omitzero: lists that are empty and not nil count as none.
func (g jsonGrants) IsZero() bool {
	return !g.HTTP && g.KVBytes == 0 && len(g.Names)+len(g.Egress)+len(g.Listen)+len(g.Channels)+len(g.Topics) == 0
}

type jsonCapability struct {
	Name   string     `json:"name"`
	Rights jsonRights `json:"rights"`
}

type (
	jsonEntry    Entry
	jsonReuse    Reuse
	jsonPolicy   RestartPolicy
	jsonRights   uint8
	jsonDuration time.Duration
)

func (e jsonEntry) MarshalText() ([]byte, error)  { return []byte(Entry(e).String()), nil }
func (r jsonReuse) MarshalText() ([]byte, error)  { return []byte(Reuse(r).String()), nil }
func (p jsonPolicy) MarshalText() ([]byte, error) { return []byte(RestartPolicy(p).String()), nil }

func (e *jsonEntry) UnmarshalText(b []byte) error  { return parseName(e, entryNames, b) }
func (r *jsonReuse) UnmarshalText(b []byte) error  { return parseName(r, reuseNames, b) }
func (p *jsonPolicy) UnmarshalText(b []byte) error { return parseName(p, restartNames, b) }

func parseName[T ~uint8](out *T, names []string, b []byte) error {
	i := slices.Index(names, string(b))
	if i < 0 {
		return fmt.Errorf("%q is none of %s", fault.Quote(string(b)), strings.Join(names, ", "))
	}
	*out = T(i)
	return nil
}

func (d jsonDuration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *jsonDuration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is no duration such as 10s or 1h30m", fault.Quote(string(b)))
	}
	*d = jsonDuration(v)
	return nil
}

var rightNames = []string{"send", "recv", "close"} // by bit

func (r jsonRights) MarshalJSON() ([]byte, error) {
	list := []string{}
	for i, n := range rightNames {
		if r&(1<<i) != 0 {
			list = append(list, n)
		}
	}
	if r>>len(rightNames) != 0 {
		return nil, fmt.Errorf("rights %#x", uint8(r))
	}
	return json.Marshal(list)
}

func (r *jsonRights) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("rights must be a list of %s", strings.Join(rightNames, ", "))
	}
	*r = 0
	for _, n := range list {
		i := slices.Index(rightNames, n)
		if i < 0 {
			return fmt.Errorf("%q is none of %s", fault.Quote(n), strings.Join(rightNames, ", "))
		}
		*r |= 1 << i
	}
	return nil
}

// MarshalJSON returns the JSON form, in the order and with the spaces that JSON documents.
func (m *Manifest) MarshalJSON() ([]byte, error) { return m.JSON() }

// JSON returns the JSON form: keys in the order of the encoding, two spaces for each level, no end of line. The bytes of
// version 1 are those that the original's build tool wrote, so that the file has the same CID.
func (m *Manifest) JSON() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"version\": %d,\n  \"code_hash\": ", m.Version)
	writeString(&b, m.CodeHash)
	b.WriteString(",\n  \"args\": ")
	writeList(&b, len(m.Args), "  ", func(i int) { writeString(&b, m.Args[i]) })
	b.WriteString(",\n  \"env_vars\": ")
	writePairs(&b, m.Env)
	fmt.Fprintf(&b, ",\n  \"on_demand\": %t,\n  \"resizable\": %t,\n  \"max_query_size\": %d,\n  \"label\": ", m.OnDemand, m.Resizable, m.MaxQueryBytes)
	writeString(&b, m.Label)
	b.WriteString(",\n  \"required_blobs\": ")
	writePairs(&b, m.Blobs)
	if m.Terms != nil {
		b.WriteString(",\n  \"terms\": ")
		var terms bytes.Buffer
		e := json.NewEncoder(&terms)
		e.SetEscapeHTML(false)
		e.SetIndent("  ", "  ")
		if err := e.Encode(termsToJSON(m.Terms)); err != nil {
			return nil, fault.New(fault.CallerManifest, "manifest to JSON", "", err)
		}
		b.Write(bytes.TrimSpace(terms.Bytes()))
	}
	b.WriteString("\n}")
	return b.Bytes(), nil
}

func writePairs(b *bytes.Buffer, list []Pair) {
	writeList(b, len(list), "  ", func(i int) {
		writeList(b, 2, "    ", func(j int) { writeString(b, [2]string{list[i].Key, list[i].Value}[j]) })
	})
}

func writeList(b *bytes.Buffer, n int, indent string, element func(i int)) {
	if n == 0 {
		b.WriteString("[]")
		return
	}
	for i := range n {
		b.WriteString(map[bool]string{true: "[\n", false: ",\n"}[i == 0] + indent + "  ")
		element(i)
	}
	b.WriteString("\n" + indent + "]")
}

// writeString escapes what must be escaped and nothing else.
func writeString(b *bytes.Buffer, s string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	b.WriteByte('"')
	for _, r := range s {
		switch esc, ok := short[r]; {
		case ok:
			b.WriteString(esc)
		case r < 0x20:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// UnmarshalJSON reads the JSON form. What is left out is zero, and version 1 is not assumed. The meaning is left to Validate.
//
// # Errors
//
// caller.manifest_too_large, and caller.manifest_invalid for keys that are unknown, repeated or spelt in another case, with
// their path, and for values of another type.
func (m *Manifest) UnmarshalJSON(b []byte) error {
	var j jsonManifest
	if err := decodeStrictly(b, &j); err != nil {
		return err
	}
	out := Manifest{
		Version: j.Version, CodeHash: j.CodeHash, Args: j.Args, OnDemand: j.OnDemand, Resizable: j.Resizable,
		MaxQueryBytes: j.MaxQueryBytes, Label: j.Label,
	}
	if len(out.Args) == 0 {
		out.Args = nil
	}
	var err error
	if out.Env, err = toPairs("env_vars", j.Env); err != nil {
		return err
	}
	if out.Blobs, err = toPairs("required_blobs", j.Blobs); err != nil {
		return err
	}
	if j.Terms != nil {
		if out.Terms, err = j.Terms.terms(); err != nil {
			return err
		}
	}
	*m = out
	return nil
}

func toPairs(field string, list [][]string) ([]Pair, error) {
	var out []Pair
	for i, p := range list {
		if len(p) != 2 {
			return nil, invalid(fmt.Sprintf("%s[%d]", field, i), "must be an array of two texts")
		}
		out = append(out, Pair{p[0], p[1]})
	}
	return out, nil
}

func termsToJSON(t *Terms) *jsonTerms {
	j := &jsonTerms{
		Limits: jsonLimits{
			Gas: t.Limits.Gas, InitGas: t.Limits.InitGas, CPU: jsonDuration(t.Limits.CPU), Wall: jsonDuration(t.Limits.Wall),
			MemoryBytes: t.Limits.MemoryBytes, OutputBytes: t.Limits.OutputBytes, StackValues: t.Limits.StackValues,
		},
		Entry: jsonEntry(t.Entry), EntryName: t.EntryName, Reuse: jsonReuse(t.Reuse),
		Restart: jsonRestart{
			Policy: jsonPolicy(t.Restart.Policy), MinRun: jsonDuration(t.Restart.MinRun), BackoffMin: jsonDuration(t.Restart.BackoffMin),
			BackoffMax: jsonDuration(t.Restart.BackoffMax), Max: t.Restart.Max,
		},
		Schedule: jsonSchedule{
			Start: jsonDuration(t.Schedule.Start), Period: jsonDuration(t.Schedule.Period), Repeats: t.Schedule.Repeats,
			Duration: jsonDuration(t.Schedule.Duration),
		},
		Weight: t.Weight, QueryTimeout: jsonDuration(t.QueryTimeout), Queue: t.Queue, IdleTimeout: jsonDuration(t.IdleTimeout),
		Deterministic: t.Deterministic, CanonicalNaNs: t.CanonicalNaNs, InitOnce: t.InitOnce,
		Grants: jsonGrants{HTTP: t.Grants.HTTP, Names: t.Grants.Names, Egress: t.Grants.Egress, KVBytes: t.Grants.KVBytes},
	}
	for _, p := range t.Grants.Listen {
		j.Grants.Listen = append(j.Grants.Listen, []uint16{p.From, p.To})
	}
	for _, c := range t.Grants.Channels {
		j.Grants.Channels = append(j.Grants.Channels, jsonCapability{c.Name, jsonRights(c.Rights)})
	}
	for _, c := range t.Grants.Topics {
		j.Grants.Topics = append(j.Grants.Topics, jsonCapability{c.Name, jsonRights(c.Rights)})
	}
	return j
}

func (j *jsonTerms) terms() (*Terms, error) {
	t := &Terms{
		Limits: Limits{
			Gas: j.Limits.Gas, InitGas: j.Limits.InitGas, CPU: time.Duration(j.Limits.CPU), Wall: time.Duration(j.Limits.Wall),
			MemoryBytes: j.Limits.MemoryBytes, OutputBytes: j.Limits.OutputBytes, StackValues: j.Limits.StackValues,
		},
		Entry: Entry(j.Entry), EntryName: j.EntryName, Reuse: Reuse(j.Reuse),
		Restart: Restart{
			Policy: RestartPolicy(j.Restart.Policy), MinRun: time.Duration(j.Restart.MinRun), BackoffMin: time.Duration(j.Restart.BackoffMin),
			BackoffMax: time.Duration(j.Restart.BackoffMax), Max: j.Restart.Max,
		},
		Schedule: Schedule{
			Start: time.Duration(j.Schedule.Start), Period: time.Duration(j.Schedule.Period), Repeats: j.Schedule.Repeats,
			Duration: time.Duration(j.Schedule.Duration),
		},
		Weight: j.Weight, QueryTimeout: time.Duration(j.QueryTimeout), Queue: j.Queue, IdleTimeout: time.Duration(j.IdleTimeout),
		Deterministic: j.Deterministic, CanonicalNaNs: j.CanonicalNaNs, InitOnce: j.InitOnce,
		Grants: Grants{HTTP: j.Grants.HTTP, KVBytes: j.Grants.KVBytes},
	}
	t.Grants.Names = append(t.Grants.Names, j.Grants.Names...)
	t.Grants.Egress = append(t.Grants.Egress, j.Grants.Egress...)
	for i, p := range j.Grants.Listen {
		if len(p) != 2 {
			return nil, invalid(fmt.Sprintf("terms.grants.listen[%d]", i), "must be an array of two ports")
		}
		t.Grants.Listen = append(t.Grants.Listen, Ports{p[0], p[1]})
	}
	for _, c := range j.Grants.Channels {
		t.Grants.Channels = append(t.Grants.Channels, Capability{c.Name, uint8(c.Rights)})
	}
	for _, c := range j.Grants.Topics {
		t.Grants.Topics = append(t.Grants.Topics, Capability{c.Name, uint8(c.Rights)})
	}
	return t, nil
}
