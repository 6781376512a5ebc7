package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/troupehost/troupe/actors/fault"
)

// HashOfFile begins an argument that stands for the hash of a file, which becomes a blob of the app.
const HashOfFile = "sha256-of-file:"

// Description says what Build makes a manifest of. Paths mean whatever the reader of files makes of them.
type Description struct {
	Version       uint32            // 0: 1 without terms, 2 with
	WasmCode      string            // path of the code
	Args          []string          // HashOfFile and a path stand for the hash of the file
	Env           map[string]string // in the manifest sorted by key
	OnDemand      bool
	Resizable     bool
	MaxQueryBytes uint32
	Label         string
	Deps          []string // paths of more blobs
	OutputDir     string   // for the caller; Build takes no notice
	Terms         *Terms
}

type jsonDescription struct {
	Version      uint32            `json:"version"`
	WasmCode     string            `json:"wasm_code"`
	Args         []string          `json:"args"`
	Env          map[string]string `json:"env_vars"`
	OnDemand     bool              `json:"on_demand"`
	Resizable    bool              `json:"resizable"`
	MaxQuerySize uint32            `json:"max_query_size"`
	Label        string            `json:"label"`
	Deps         []string          `json:"deps"`
	OutputDir    string            `json:"output_dir"`
	Terms        *jsonTerms        `json:"terms"`
}

// ParseDescription reads a description in JSON, or in TOML with the same keys. Keys may be left out.
//
// # Errors
//
// caller.manifest_too_large, and caller.manifest_invalid, which names the key or the line.
func ParseDescription(b []byte, inTOML bool) (*Description, error) {
	if len(b) > MaxTextBytes {
		return nil, tooLarge(len(b))
	}
	if inTOML {
		var err error
		if b, err = fromTOML(b); err != nil {
			return nil, err
		}
	}
	var j jsonDescription
	if err := decodeStrictly(b, &j); err != nil {
		return nil, err
	}
	d := &Description{
		Version: j.Version, WasmCode: j.WasmCode, Args: j.Args, Env: j.Env, OnDemand: j.OnDemand, Resizable: j.Resizable,
		MaxQueryBytes: j.MaxQuerySize, Label: j.Label, Deps: j.Deps, OutputDir: j.OutputDir,
	}
	if j.Terms != nil {
		var err error
		if d.Terms, err = j.Terms.terms(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// fromTOML turns TOML into JSON, so that both are read by the same rules.
func fromTOML(b []byte) ([]byte, error) {
	var v map[string]any
	if err := toml.Unmarshal(b, &v); err != nil {
		if e, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, column := e.Position()
			err = fmt.Errorf("line %d, column %d: %s", line, column, fault.Quote(e.Error()))
		}
		return nil, malformed(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil, malformed(err)
	}
	return out, nil
}

// Built is what Build made.
type Built struct {
	Manifest *Manifest
	Encoded  []byte
	JSON     []byte // manifest.json
	CID      string // of JSON
	Blobs    []BuiltBlob
}

// BuiltBlob is a blob that the app needs. Those of a Built are in the order of the manifest.
type BuiltBlob struct {
	Hash  string
	CID   string
	Bytes []byte
}

// Build makes the manifest, whose blobs are the code, the files that arguments name, and the dependencies, sorted by hash and
// each once. The same description and files give the same bytes. read is called once for each mention of a file.
//
// # Errors
//
// Those of Validate; caller.not_found and caller.invalid_request for a file that is not there or cannot be read, unless read
// returns a fault of its own.
func Build(d *Description, read func(path string) ([]byte, error)) (*Built, error) {
	blobs := map[string]BuiltBlob{}
	blobOf := func(key, path string) (string, error) {
		if path == "" {
			return "", invalid(key, "names no file")
		}
		b, err := read(path)
		if err != nil {
			return "", unreadable(path, err)
		}
		sum := sha256.Sum256(b)
		hash := "sha256:" + hex.EncodeToString(sum[:])
		if _, ok := blobs[hash]; !ok {
			blobs[hash] = BuiltBlob{hash, CID(b), b}
		}
		return hash, nil
	}
	m := &Manifest{
		Version: d.Version, OnDemand: d.OnDemand, Resizable: d.Resizable, MaxQueryBytes: d.MaxQueryBytes, Label: d.Label, Terms: d.Terms,
	}
	if m.Version == 0 {
		m.Version = Version1
		if m.Terms != nil {
			m.Version = Version2
		}
	}
	if m.Version == Version2 && m.Terms == nil {
		m.Terms = &Terms{}
	}
	var err error
	if m.CodeHash, err = blobOf("wasm_code", d.WasmCode); err != nil {
		return nil, err
	}
	for i, a := range d.Args {
		if path, ok := strings.CutPrefix(a, HashOfFile); ok {
			if a, err = blobOf(fmt.Sprintf("args[%d]", i), path); err != nil {
				return nil, err
			}
		}
		m.Args = append(m.Args, a)
	}
	for i, path := range d.Deps {
		if _, err := blobOf(fmt.Sprintf("deps[%d]", i), path); err != nil {
			return nil, err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(d.Env)) {
		m.Env = append(m.Env, Pair{k, d.Env[k]})
	}
	out := &Built{Manifest: m}
	for _, h := range slices.Sorted(maps.Keys(blobs)) {
		m.Blobs = append(m.Blobs, Pair{h, blobs[h].CID})
		out.Blobs = append(out.Blobs, blobs[h])
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	out.Encoded = m.Encode()
	if out.JSON, err = m.JSON(); err != nil {
		return nil, err
	}
	out.CID = CID(out.JSON)
	return out, nil
}

func unreadable(path string, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	code := fault.CallerInvalid
	if errors.Is(err, fs.ErrNotExist) {
		code = fault.CallerNotFound
	}
	return fault.New(code, "read file", fault.Quote(path), err)
}
