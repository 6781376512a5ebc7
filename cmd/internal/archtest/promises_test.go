package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promised is how many rows each table has that says what is done and which test shows it. A row is added, never taken
// away.
var promised = map[string]map[string]int{
	"host/RATIONALE.md": {"Which behaviours are easily left out, and where are they?": 20},
	"host/CHECKLIST.md": {
		"Requests to the host": 12, "Artifacts on disk": 4, "Prepare queue": 7, "Execute queue": 5, "Workers": 7, "Real processes together": 15,
		"Faults of processes": 6, "Verdicts": 5, "Measured": 1, "Bars": 12,
	},
}

// source is what the Go files of one directory declare, by the names that tables use.
type source struct {
	declared map[string]bool // T, F, T.M, of files that are no tests
	tests    map[string]bool // of functions that are tests: whether they may be skipped
}

var reference = regexp.MustCompile("`([a-z0-9/-]+)\\.([A-Za-z0-9_./]+)`")

func TestPromisesAreKept(t *testing.T) {
	sources := declarations(t)
	for file, sections := range promised {
		rows := map[string]int{}
		section := ""
		for n, line := range strings.Split(string(files(t, ".md")[filepath.FromSlash(file)]), "\n") {
			if title, ok := strings.CutPrefix(line, "## "); ok {
				section = title
			}
			cells := strings.Split(strings.Trim(line, "|"), "|")
			if sections[section] == 0 || !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| Behaviour ") {
				continue
			}
			rows[section]++
			for column, cell := range cells[1:] {
				found := reference.FindAllStringSubmatch(cell, -1)
				if len(found) == 0 {
					t.Errorf("%s:%d: nothing is named in %q", file, n+1, cell)
				}
				for _, m := range found {
					s := sources[m[1]]
					name, _, _ := strings.Cut(m[2], "/")
					isTest := column == len(cells)-2
					skipped, exists := s.tests[name]
					switch {
					case isTest && !exists:
						t.Errorf("%s:%d: there is no test %s", file, n+1, m[0])
					case isTest && skipped:
						t.Errorf("%s:%d: %s may be skipped", file, n+1, m[0])
					case !isTest && !s.declared[m[2]]:
						t.Errorf("%s:%d: %s is not declared", file, n+1, m[0])
					}
				}
			}
		}
		for section, want := range sections {
			if rows[section] != want {
				t.Errorf("%s, %q: %d rows, want %d", file, section, rows[section], want)
			}
		}
	}
}

func declarations(t *testing.T) map[string]source {
	t.Helper()
	sources := map[string]source{}
	for name, b := range files(t, ".go") {
		dir := path.Dir(filepath.ToSlash(name))
		s, ok := sources[dir]
		if !ok {
			s = source{declared: map[string]bool{}, tests: map[string]bool{}}
			sources[dir] = s
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, b, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && !strings.HasSuffix(name, "_test.go") {
						s.declared[ts.Name.Name] = true
					}
				}
			case *ast.FuncDecl:
				switch receiver := receiverOf(d); {
				case !strings.HasSuffix(name, "_test.go"):
					s.declared[receiver+d.Name.Name] = true
				case receiver == "" && regexp.MustCompile("^(Test|Benchmark|Fuzz)").MatchString(d.Name.Name):
					s.tests[d.Name.Name] = s.tests[d.Name.Name] || skips(d)
				}
			}
		}
	}
	return sources
}

// receiverOf returns "T." for a method of T or *T.
func receiverOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	x := d.Recv.List[0].Type
	if star, ok := x.(*ast.StarExpr); ok {
		x = star.X
	}
	if id, ok := x.(*ast.Ident); ok {
		return id.Name + "."
	}
	return "?."
}

// skips reports whether a test may say that it is skipped.
func skips(d *ast.FuncDecl) (found bool) {
	ast.Inspect(d, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && (sel.Sel.Name == "Skip" || sel.Sel.Name == "Skipf" || sel.Sel.Name == "SkipNow") {
			found = true
		}
		return true
	})
	return found
}
