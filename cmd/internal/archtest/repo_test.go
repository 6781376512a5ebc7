package archtest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/wire"
)

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// files returns the text files of the repository by their path from the root, without what is built or hidden.
func files(t *testing.T, suffix string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	base := root(t)
	err := filepath.WalkDir(base, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(base, path)
		if e.IsDir() && (rel == ".git" || rel == ".bin") {
			return filepath.SkipDir
		}
		if !e.Type().IsRegular() || rel == ".git" || !strings.HasSuffix(path, suffix) {
			return nil
		}
		found[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("%d files like %s: %v", len(found), suffix, err)
	}
	return found
}

func TestTopLevel(t *testing.T) {
	may := []string{"actors", "artifacts", "host", "chainbridge", "cmd", "testdata", "go.mod", "go.sum", "Makefile", "README.md",
		"LICENSE", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(may, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

func TestGoFiles(t *testing.T) {
	sleep := "time." + "Sleep("
	for path, b := range files(t, ".go") {
		if n := bytes.Count(b, []byte("\n")); n > 600 && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s has %d lines: cut it at 600", path, n)
		}
		if strings.HasSuffix(path, "_test.go") && bytes.Contains(b, []byte(sleep)) {
			t.Errorf("%s sleeps: use virtual time", path)
		}
	}
}

func TestNoLocalPaths(t *testing.T) {
	local := regexp.MustCompile(`(^|[^a-zA-Z0-9._-])/(work|root|home/[a-z]+)/`)
	for path, b := range files(t, "") {
		if bytes.IndexByte(b[:min(len(b), 1000)], 0) >= 0 {
			continue
		}
		for n, line := range bytes.Split(b, []byte("\n")) {
			if local.Match(line) {
				t.Errorf("%s:%d has a path of somebody's machine: %.80s", path, n+1, line)
			}
		}
	}
}

func TestOnePackageCommentInItsPlace(t *testing.T) {
	for path, p := range packages(t) {
		if strings.HasPrefix(path, "testdata/") {
			continue
		}
		place := "doc.go"
		if p.Name == "main" {
			place = "main.go"
		}
		var in []string
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				in = append(in, name)
			}
		}
		if !slices.Equal(in, []string{place}) {
			t.Errorf("%s: package comments in %v, want one in %s", path, in, place)
		}
	}
}

func TestEngineVersionIsThatOfTheModule(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/tetratelabs/" + wire.EngineVersion + "\n"; !bytes.Contains(mod, []byte(want)) {
		t.Errorf("go.mod has no line %q", want)
	}
}

func TestGuestChecksums(t *testing.T) {
	dir := filepath.Join(root(t), "testdata", "guests")
	f, err := os.Open(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	listed := map[string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		want, name, ok := strings.Cut(lines.Text(), "  ")
		if !ok {
			t.Fatalf("line %q", lines.Text())
		}
		listed[name] = true
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is not what SHA256SUMS says: run make testdata", name)
		}
	}
	have, err := filepath.Glob(filepath.Join(dir, "*.wasm"))
	if err != nil || len(have) < 20 {
		t.Fatalf("%d guests, %v", len(have), err)
	}
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		name := filepath.Base(path)
		if !listed[name] {
			t.Errorf("%s is not in SHA256SUMS", name)
		}
		if !bytes.Contains(readme, []byte(strings.TrimSuffix(name, ".wasm"))) {
			t.Errorf("%s is not in the guests' README", name)
		}
	}
}

// TestEveryCodeIsRegisteredAndUsed compares the constants of the error codes with the registry and with their uses.
func TestEveryCodeIsRegisteredAndUsed(t *testing.T) {
	all := files(t, ".go")
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", all[filepath.FromSlash("actors/fault/codes.go")], 0)
	if err != nil {
		t.Fatal(err)
	}
	registered := map[string]bool{}
	for _, c := range fault.Codes() {
		registered[string(c)] = true
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		lit, ok := v.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		n++
		name, code := v.Names[0].Name, strings.Trim(lit.Value, `"`)
		if !registered[code] {
			t.Errorf("%s (%s) is not in the registry", name, code)
		}
		use := regexp.MustCompile(fmt.Sprintf(`\b%s\b`, name))
		used := false
		for path, b := range all {
			if !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(filepath.ToSlash(path), "actors/fault/") && use.Match(b) {
				used = true
			}
		}
		if !used {
			t.Errorf("%s (%s) is used nowhere outside of actors/fault", name, code)
		}
		return true
	})
	if n != len(registered) {
		t.Errorf("%d constants, %d registered codes", n, len(registered))
	}
}
