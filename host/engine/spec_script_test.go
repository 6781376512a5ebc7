package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// integrationTests returns the folder of the engine's own integration tests, which its module carries.
var integrationTests = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		return "", fmt.Errorf("where the engine's source is: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test"), nil
})

func integrationFolder(t testing.TB, elems ...string) string {
	t.Helper()
	dir, err := integrationTests()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{dir}, elems...)...)
}

func readFile(t testing.TB, elems ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elems...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// script is a file of the specification's tests, as wast2json and wasm-tools write them.
type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type       string     `json:"type"`
	Line       int        `json:"line"`
	Name       string     `json:"name"` // of module and register
	Filename   string     `json:"filename"`
	ModuleType string     `json:"module_type"` // "text" or "binary"; empty means binary
	As         string     `json:"as"`
	Text       string     `json:"text"` // why it is refused, or traps
	Action     action     `json:"action"`
	Expected   []constant `json:"expected"`
}

type action struct {
	Type   string     `json:"type"` // "invoke" or "get"
	Module string     `json:"module"`
	Field  string     `json:"field"`
	Args   []constant `json:"args"`
}

// constant is an argument or an expected result. Value is a string, a list of strings for a vector, or nothing for any
// reference that is not null.
type constant struct {
	Type  string          `json:"type"`
	Lane  string          `json:"lane_type"`
	Value json.RawMessage `json:"value"`
}

// pattern is what a lane of a result must be.
type pattern int

const (
	exact      pattern = iota
	canonical          // a NaN with nothing but the topmost bit in its payload, of either sign
	arithmetic         // a NaN with the topmost bit in its payload
	reference          // any reference but null
)

// lane is a part of a value: bits of a certain width at a place in the words of the engine.
type lane struct {
	word, shift, width int
	bits               uint64
	pattern            pattern
}

var widths = map[string]int{
	"i8": 8, "i16": 16, "i32": 32, "i64": 64, "f32": 32, "f64": 64,
	"externref": 64, "funcref": 64, "exnref": 64, "refnull": 64,
}

// lanes lays constants out as the engine does: a word for each, two for a vector.
func lanes(constants []constant) (all []lane, words int, err error) {
	for _, c := range constants {
		kind, texts := c.Type, []string{""}
		switch {
		case c.Type == "v128":
			kind = c.Lane
			err = json.Unmarshal(c.Value, &texts)
		case len(c.Value) > 0:
			err = json.Unmarshal(c.Value, &texts[0])
		}
		width := widths[kind]
		if err != nil || width == 0 || c.Type == "v128" && len(texts)*width != 128 {
			return nil, 0, fmt.Errorf("constant %s %s %s: %v", c.Type, c.Lane, c.Value, err)
		}
		for i, text := range texts {
			at := i * width
			l := lane{word: words + at/64, shift: at % 64, width: width}
			if l.bits, l.pattern, err = bitsOf(kind, text, width); err != nil {
				return nil, 0, err
			}
			all = append(all, l)
		}
		words += max(1, len(texts)*width/64)
	}
	return all, words, nil
}

func bitsOf(kind, text string, width int) (uint64, pattern, error) {
	switch {
	case text == "nan:canonical":
		return 0, canonical, nil
	case text == "nan:arithmetic":
		return 0, arithmetic, nil
	case text == "null" || kind == "refnull":
		return 0, exact, nil
	case text == "" && strings.HasSuffix(kind, "ref"):
		return 0, reference, nil
	case strings.HasPrefix(text, "-"):
		n, err := strconv.ParseInt(text, 10, width)
		return uint64(n) & (1<<width - 1), exact, err
	}
	n, err := strconv.ParseUint(text, 10, width)
	if kind == "externref" { // null is 0 to the engine, so that number n is n+1
		n++
	}
	return n, exact, err
}

// encode makes the words that the engine takes as arguments.
func encode(args []constant) ([]uint64, error) {
	all, n, err := lanes(args)
	if err != nil {
		return nil, err
	}
	words := make([]uint64, n)
	for _, l := range all {
		words[l.word] |= l.bits << l.shift
	}
	return words, nil
}

// mismatch holds results against what is expected and says where they differ, or "". With strict, a NaN that arithmetic made
// must be the positive canonical one.
func mismatch(results []uint64, expected []constant, strict bool) string {
	all, n, err := lanes(expected)
	switch {
	case err != nil:
		return err.Error()
	case n != len(results):
		return fmt.Sprintf("%d words of results, not %d", len(results), n)
	}
	for i, l := range all {
		got := results[l.word] >> l.shift
		if l.width < 64 {
			got &= 1<<l.width - 1
		}
		if !l.admits(got, strict) {
			return fmt.Sprintf("lane %d is %#x, not %#x (pattern %d, strict %t)", i, got, l.bits, l.pattern, strict)
		}
	}
	return ""
}

func (l lane) admits(got uint64, strict bool) bool {
	quiet, sign := uint64(0x7ff8<<48), uint64(1<<63)
	if l.width == 32 {
		quiet, sign = 0x7fc00000, 1<<31
	}
	switch {
	case l.pattern == exact:
		return got == l.bits
	case l.pattern == reference:
		return got != 0
	case strict:
		return got == quiet
	case l.pattern == canonical:
		return got&^sign == quiet
	}
	return got&quiet == quiet
}

func TestNaNPatternsOfTheSpecification(t *testing.T) {
	f32 := func(value string) []constant { return []constant{{Type: "f32", Value: json.RawMessage(value)}} }
	for _, c := range []struct {
		got    uint64
		want   string
		strict bool
		match  bool
	}{
		{0x7fc00000, `"nan:canonical"`, false, true},
		{0xffc00000, `"nan:canonical"`, false, true},
		{0xffc00000, `"nan:canonical"`, true, false},
		{0x7fc00001, `"nan:canonical"`, false, false},
		{0x7fc00001, `"nan:arithmetic"`, false, true},
		{0x7fc00001, `"nan:arithmetic"`, true, false},
		{0x7fa00000, `"nan:arithmetic"`, false, false},
		{0x7fa00000, `"2141192192"`, true, true},
		{0x80000000, `"0"`, false, false},
	} {
		if got := mismatch([]uint64{c.got}, f32(c.want), c.strict) == ""; got != c.match {
			t.Errorf("%#x as %s, strict %t: %t", c.got, c.want, c.strict, got)
		}
	}
	vector := []constant{{Type: "v128", Lane: "f64", Value: json.RawMessage(`["1", "nan:canonical"]`)}}
	if s := mismatch([]uint64{1, 0x7ff8 << 48}, vector, true); s != "" {
		t.Error(s)
	}
	if s := mismatch([]uint64{1, 0x7ff0 << 48}, vector, false); s == "" {
		t.Error("infinity is no NaN")
	}
}
