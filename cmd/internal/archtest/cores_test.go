package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// impure is what an actor may use in its shell only: the clock, since one that jumps must not move what a core decides,
// chance, and the outside.
var (
	impureTime    = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
	impureImports = []string{"math/rand", "math/rand/v2", "crypto/rand", "os", "io", "net", "net/http", "log", "github.com/rs/zerolog"}
)

// TestCoresArePure looks at all files of each actor but its shell. An actor is a package that has a core.
func TestCoresArePure(t *testing.T) {
	all, actors := files(t, ".go"), 0
	for name := range all {
		dir := path.Dir(filepath.ToSlash(name))
		if !strings.HasPrefix(dir, "actors/") || path.Base(filepath.ToSlash(name)) != "core.go" {
			continue
		}
		actors++
		for other, b := range all {
			base := path.Base(filepath.ToSlash(other))
			if path.Dir(filepath.ToSlash(other)) != dir || base == "shell.go" || strings.HasSuffix(base, "_test.go") {
				continue
			}
			for _, what := range impurities(t, other, b) {
				t.Errorf("%s uses %s, which belongs into the shell", other, what)
			}
		}
	}
	if actors < 3 {
		t.Errorf("only %d actors found", actors)
	}
}

func impurities(t *testing.T, name string, b []byte) (found []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, b, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range f.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil && (slices.Contains(impureImports, p) || p == "time" && i.Name != nil) {
			found = append(found, i.Path.Value)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "a goroutine")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(impureTime, n.Sel.Name) {
				found = append(found, "time."+n.Sel.Name)
			}
		}
		return true
	})
	return found
}

// TestImpuritiesAreFound gives each kind of it to the rule.
func TestImpuritiesAreFound(t *testing.T) {
	for body, want := range map[string]int{
		"import \"time\"\nvar x = time.Second":                          0,
		"import \"time\"\nvar x = time.Now()":                           1,
		"import clock \"time\"\nvar x = clock.Now()":                    1,
		"import \"time\"\nvar x = time.Since":                           1,
		"import \"math/rand/v2\"\nvar x = rand.Int()":                   1,
		"func f() { go f() }":                                           1,
		"import \"time\"\nfunc f() { go f(); <-time.After(time.Hour) }": 2,
	} {
		if found := impurities(t, "x.go", []byte("package x\n"+body)); len(found) != want {
			t.Errorf("%s: %v, want %d", body, found, want)
		}
	}
}
