package archtest

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/troupehost/troupe/"

// leaves may be imported by everything below cmd.
var leaves = []string{"actors/fault", "actors/run", "actors/inspect", "artifacts", "artifacts/sealed"}

// allowed is the import table: of our own packages, what each may import, leaves named only where they are all.
var allowed = map[string][]string{
	"actors/fault":   {},
	"actors/run":     {"actors/fault"},
	"actors/inspect": {},
	"artifacts":      {"actors/fault", "actors/run"},
	"artifacts/sealed": {
		"actors/fault",
	},
	"artifacts/wasm":          {"actors/fault", "artifacts"},
	"artifacts/wasm/wasmgen":  {},
	"artifacts/wasm/wasmtest": {},
	"artifacts/db":            {"actors/fault", "artifacts/db/failpoint"},
	"artifacts/blob":          {"actors/fault", "artifacts/db"},
	"artifacts/store":         {"leaves", "artifacts/db", "artifacts/db/failpoint"},

	"artifacts/db/failpoint": {},

	"actors/kernel":  {"actors/fault", "actors/inspect"},
	"actors/sim":     {"actors/fault", "actors/inspect"},
	"actors/prepare": {"leaves", "actors/kernel"},
	"actors/execute": {"leaves", "actors/kernel"},
	"actors/cache":   {"leaves", "actors/kernel", "actors/prepare", "actors/execute"},
	"actors/jobs":    {"leaves", "actors/kernel", "actors/cache"},

	"host/wire":             {"leaves", "host/abi", "artifacts/wasm"}, // abi: the calls that it must agree on; wasm: the instrumentation, and policies
	"host/sandbox":          {"leaves"},
	"host/abi":              {"leaves"},
	"host/engine":           {"leaves", "host/abi", "artifacts/wasm", "host/wire"}, // wire: the versions that it must agree on
	"host/worker":           {"leaves", "host/wire", "host/sandbox", "host/engine", "host/abi"},
	"host/internal/lanes":   {"leaves", "actors/execute"},
	"host/internal/metrics": {"leaves"},
	"host/internal/pool":    {"leaves", "host/wire", "artifacts/wasm", "host/sandbox", "actors/prepare", "actors/execute"},
	"host": {"leaves", "actors/kernel", "actors/prepare", "actors/execute", "actors/cache", "actors/jobs", "artifacts/blob", "artifacts/db", "artifacts/store",
		"artifacts/wasm", "host/wire", "host/sandbox", "host/abi", "host/internal/lanes", "host/internal/metrics", "host/internal/pool"},

	"host/control/api":    {"leaves", "host"},
	"host/control/client": {"leaves", "host/control/api", "host"},
	"host/control":        {"leaves", "host", "host/control/api"},

	"cmd/troupe-worker":     {"host/wire", "host/worker"},
	"cmd/internal/archtest": {},
	"cmd/internal/cli":      {"leaves", "host", "host/control", "host/control/api", "host/control/client", "host/wire", "host/abi", "host/sandbox", "artifacts/db", "artifacts/wasm"},
	"cmd/internal/gasfit":   {},
	"cmd/troupe":            {"cmd/internal/cli"},
}

// sole names the only importer of a library, and why.
var sole = map[string]struct{ importer, why string }{
	"github.com/asynkron/protoactor-go":        {"actors/kernel", "the library is frozen; everything else uses our kernel"},
	"github.com/dgraph-io/badger":              {"artifacts/db", "a full disk or a damaged file kills who uses it unguarded"},
	"github.com/tetratelabs/wazero":            {"host/engine", "the engine runs in workers only, behind one interface"},
	"github.com/prometheus":                    {"host/internal/metrics", "one registry per host, and never the default one"},
	"github.com/asynkron/protoactor-go/remote": {"", "any peer can stop any actor"},
}

// besides names who else imports such a library, and why.
var besides = map[string]map[string]string{
	"github.com/tetratelabs/wazero": {"cmd/internal/gasfit": "it measures the engine itself, and is part of no product"},
}

// never lists what must not be linked into a package, however far away it is imported.
var never = map[string][]string{
	"cmd/troupe-worker": {"github.com/dgraph-io/badger", "github.com/asynkron/protoactor-go", "github.com/rs/zerolog", module + "actors/kernel", "net/http"},
	"host":              {"github.com/tetratelabs/wazero", module + "host/engine", module + "host/worker", module + "host/control"},
	"cmd/troupe":        {"github.com/tetratelabs/wazero"},
}

type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	c := exec.Command("go", "list", "-json=ImportPath,Name,Dir,Imports,Deps,GoFiles", "./...")
	c.Dir = root(t)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]pkg{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			found[strings.TrimPrefix(p.ImportPath, module)] = p
		}
	}
	if len(found) < 15 {
		t.Fatalf("only %d packages found", len(found))
	}
	return found
}

func TestImportTable(t *testing.T) {
	for path, p := range packages(t) {
		if strings.HasPrefix(path, "testdata/") {
			continue
		}
		may, known := allowed[path]
		if !known {
			t.Errorf("%s is not in the import table", path)
			continue
		}
		if slices.Contains(may, "leaves") {
			may = append(slices.Clone(may), leaves...)
		}
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, module); ok && !slices.Contains(may, own) {
				t.Errorf("%s imports %s, which the import table does not allow", path, own)
			}
			for library, s := range sole {
				if strings.HasPrefix(i, library) && path != s.importer && besides[library][path] == "" {
					t.Errorf("%s imports %s: only %q may, since %s", path, i, s.importer, s.why)
				}
			}
		}
		for _, library := range never[path] {
			for _, d := range p.Deps {
				if d == library || strings.HasPrefix(d, library+"/") {
					t.Errorf("%s links %s", path, d)
				}
			}
		}
	}
	for path := range allowed {
		if _, ok := packages(t)[path]; !ok {
			t.Errorf("the import table names %s, which does not exist", path)
		}
	}
}
