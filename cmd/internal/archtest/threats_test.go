package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const threats = "host/THREATS.md"

// otherDefences is how many defences there are beside the layers of the sandbox. A row is added, never taken away.
const otherDefences = 25

// TestEveryDefenceIsAttacked reads the table of threats: each layer of the sandbox and each other defence has a test that
// attacks it, which is never skipped, and one that gets through without it.
func TestEveryDefenceIsAttacked(t *testing.T) {
	sources := declarations(t)
	undefended := undefendedTests(t)
	drill := drillNames(t)
	missing := layers(t)
	others, section := 0, ""
	for n, line := range strings.Split(string(files(t, ".md")[filepath.FromSlash(threats)]), "\n") {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = title
		}
		if section != "Defences" || !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| Defence ") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 3 {
			t.Errorf("%s:%d: %d cells", threats, n+1, len(cells))
			continue
		}
		if m := regexp.MustCompile("^ Layer `([a-z]+)`").FindStringSubmatch(cells[0]); m == nil {
			others++
		} else if !missing[m[1]] {
			t.Errorf("%s:%d: there is no layer %s, or it has two rows", threats, n+1, m[1])
		} else {
			delete(missing, m[1])
		}
		for column, cell := range cells[1:] {
			m := reference.FindStringSubmatch(cell)
			if m == nil {
				t.Errorf("%s:%d: no test is named in %q", threats, n+1, cell)
				continue
			}
			name, sub, _ := strings.Cut(m[2], "/")
			skipped, exists := sources[m[1]].tests[name]
			switch {
			case !exists:
				t.Errorf("%s:%d: there is no test %s", threats, n+1, m[0])
			case skipped:
				t.Errorf("%s:%d: %s may be skipped", threats, n+1, m[0])
			case undefended[m[1]+"."+name] != (column == 1):
				t.Errorf("%s:%d: %s belongs into the other column: a test is of the tag undefended if it leaves a defence out", threats, n+1, m[0])
			case sub != "" && !drill[sub]:
				t.Errorf("%s:%d: there is no attack %q", threats, n+1, sub)
			}
		}
	}
	for layer := range missing {
		t.Errorf("%s: the layer %s has no row", threats, layer)
	}
	if others != otherDefences {
		t.Errorf("%s: %d other defences, want %d", threats, others, otherDefences)
	}
}

// layers are the constants of the sandbox that name its layers.
func layers(t *testing.T) map[string]bool {
	t.Helper()
	b := files(t, ".go")[filepath.FromSlash("host/sandbox/layers.go")]
	f, err := parser.ParseFile(token.NewFileSet(), "layers.go", b, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, s := range g.Specs {
				for _, v := range s.(*ast.ValueSpec).Values {
					if text, err := strconv.Unquote(v.(*ast.BasicLit).Value); err == nil {
						out[text] = true
					}
				}
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("no layers")
	}
	return out
}

// undefendedTests are the tests of files that leave defences out, as directory.Test.
func undefendedTests(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for name, b := range files(t, "_test.go") {
		if !strings.HasPrefix(string(b), "//go:build undefended") {
			continue
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(b, -1) {
			out[path.Dir(filepath.ToSlash(name))+"."+string(m[1])] = true
		}
	}
	return out
}

// drillNames are the names of the attacks of a worker that was taken over, as the names of tests are written.
func drillNames(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for name, b := range files(t, "_test.go") {
		if !strings.HasPrefix(filepath.ToSlash(name), "host/internal/pool/attack_") {
			continue
		}
		for _, m := range regexp.MustCompile(`\{name: "([^"]+)"`).FindAllSubmatch(b, -1) {
			out[strings.ReplaceAll(string(m[1]), " ", "_")] = true
		}
	}
	return out
}
