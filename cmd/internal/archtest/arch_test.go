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
	"actors/fault":           {},
	"actors/run":             {"actors/fault"},
	"actors/inspect":         {},
	"actors/inspect/query":   {"actors/fault", "actors/inspect"},
	"actors/inspect/explain": {"leaves"},
	"actors/record":          {"leaves", "actors/kernel"},
	"artifacts":              {"actors/fault", "actors/run"},
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
	"artifacts/scale":        {"actors/fault"},
	"artifacts/manifest":     {"leaves", "artifacts/scale"},

	"actors/meter": {"leaves", "artifacts/scale", "artifacts/manifest"},

	"actors/kernel":  {"actors/fault", "actors/inspect"},
	"actors/sim":     {"actors/fault", "actors/inspect"},
	"actors/prepare": {"leaves", "actors/kernel"},
	"actors/execute": {"leaves", "actors/kernel"},
	"actors/cache":   {"leaves", "actors/kernel", "actors/prepare", "actors/execute"},
	"actors/jobs":    {"leaves", "actors/kernel", "actors/cache"},

	"actors/sessions": {"leaves", "actors/kernel", "actors/cache", "actors/jobs", "actors/meter", "artifacts/manifest"},

	"actors/chain":        {"leaves", "actors/kernel"},
	"actors/chain/report": {"leaves", "actors/kernel", "actors/chain", "actors/meter", "artifacts/scale", "artifacts/manifest"},
	"actors/chain/follow": {"leaves", "actors/kernel", "actors/chain", "actors/sessions", "actors/meter", "artifacts/manifest"},

	"chainbridge/ledger/state":       {"leaves", "artifacts/scale"},
	"chainbridge/ledger/pallet":      {"leaves", "artifacts/scale", "actors/meter", "chainbridge/ledger/state"},
	"chainbridge/ledger/machine":     {"leaves", "chainbridge/ledger/pallet", "chainbridge/ledger/state"},
	"chainbridge/ledger/accounts":    {"leaves", "artifacts/scale", "actors/meter", "chainbridge/ledger/pallet", "chainbridge/ledger/state"},
	"chainbridge/ledger/governance":  {"leaves", "artifacts/scale", "actors/meter", "chainbridge/ledger/pallet", "chainbridge/ledger/state", "chainbridge/ledger/accounts"},
	"chainbridge/ledger/registry":    {"leaves", "artifacts/scale", "actors/meter", "chainbridge/ledger/pallet", "chainbridge/ledger/state", "chainbridge/ledger/accounts"},
	"chainbridge/ledger/market":      {"leaves", "artifacts/scale", "artifacts/manifest", "actors/meter", "chainbridge/ledger/pallet", "chainbridge/ledger/state", "chainbridge/ledger/accounts", "chainbridge/ledger/registry", "chainbridge/ledger/computation"},
	"chainbridge/ledger/fixed":       {"leaves", "artifacts/scale"},
	"chainbridge/ledger/computation": {"leaves", "artifacts/scale", "actors/meter", "chainbridge/ledger/pallet", "chainbridge/ledger/state", "chainbridge/ledger/fixed", "chainbridge/ledger/accounts", "chainbridge/ledger/registry"},
	"chainbridge/ledger/compute": {"chainbridge/ledger/pallet", "chainbridge/ledger/compute/credits", "chainbridge/ledger/compute/ip", "chainbridge/ledger/compute/nodes",
		"chainbridge/ledger/compute/plans", "chainbridge/ledger/compute/requests"},
	"chainbridge/ledger/compute/credits":  {"chainbridge/ledger/pallet", "chainbridge/ledger/state", "chainbridge/ledger/accounts"},
	"chainbridge/ledger/compute/ip":       {"artifacts/scale", "chainbridge/ledger/pallet", "chainbridge/ledger/state"},
	"chainbridge/ledger/compute/nodes":    {"leaves", "artifacts/scale", "actors/meter", "chainbridge/ledger/pallet", "chainbridge/ledger/state", "chainbridge/ledger/accounts", "chainbridge/ledger/compute/credits"},
	"chainbridge/ledger/compute/requests": {"leaves", "artifacts/scale", "actors/meter", "chainbridge/ledger/pallet", "chainbridge/ledger/state", "chainbridge/ledger/compute/credits", "chainbridge/ledger/compute/ip", "chainbridge/ledger/compute/nodes"},
	"chainbridge/ledger/compute/plans": {"leaves", "artifacts/scale", "chainbridge/ledger/pallet", "chainbridge/ledger/state", "chainbridge/ledger/accounts", "chainbridge/ledger/compute/credits",
		"chainbridge/ledger/compute/nodes", "chainbridge/ledger/compute/requests"},
	"chainbridge/ledger": {"leaves", "artifacts/scale", "actors/meter", "chainbridge/ledger/machine", "chainbridge/ledger/pallet", "chainbridge/ledger/state", "chainbridge/ledger/accounts",
		"chainbridge/ledger/governance", "chainbridge/ledger/registry", "chainbridge/ledger/market", "chainbridge/ledger/computation", "chainbridge/ledger/compute"},
	"chainbridge/devchain": {"leaves", "artifacts/scale", "actors/chain", "artifacts/db", "artifacts/db/failpoint", "chainbridge/ledger", "chainbridge/ledger/machine", "chainbridge/ledger/pallet", "chainbridge/ledger/state"},
	"chainbridge/fake":     {"leaves", "actors/chain"},
	"chainbridge":          {"leaves", "chainbridge/devchain", "chainbridge/ledger", "chainbridge/ledger/computation", "chainbridge/ledger/pallet"},

	"host/guest":            {},
	"host/guest/handler":    {"host/guest"},
	"host/internal/appdata": {"leaves", "artifacts/db", "artifacts/blob", "artifacts/manifest", "artifacts/scale", "actors/meter", "actors/sessions"},
	"host/internal/outbox":  {"leaves", "artifacts/db", "actors/chain"},
	"host/internal/reach":   {},
	"host/internal/fetch":   {"leaves", "artifacts/manifest", "host/internal/reach"},
	"host/internal/agent":   {"leaves", "actors/chain/follow"},
	"host/internal/calls":   {"leaves", "host/abi", "actors/meter", "artifacts/manifest", "host/internal/reach"},
	"host/internal/ingress": {"leaves", "host/abi", "host/internal/calls", "host/internal/origin", "host/internal/reach", "actors/meter", "artifacts/manifest"},
	"actors/keys":           {"leaves", "actors/meter", "artifacts/manifest", "artifacts/scale"},
	"host/internal/origin":  {"leaves", "actors/meter", "artifacts/manifest", "artifacts/scale"},
	"host/internal/turns":   {"leaves"},
	"host/wire":             {"leaves", "host/abi", "artifacts/wasm"}, // abi: the calls that it must agree on; wasm: the instrumentation, and policies
	"host/sandbox":          {"leaves"},
	"host/abi":              {"leaves"},
	"host/engine":           {"leaves", "host/abi", "artifacts/wasm", "host/wire"}, // wire: the versions that it must agree on
	"host/worker":           {"leaves", "host/wire", "host/sandbox", "host/engine", "host/abi"},
	"host/internal/lanes":   {"leaves", "actors/execute"},
	"host/internal/metrics": {"leaves"},
	"host/internal/pool":    {"leaves", "host/abi", "host/wire", "artifacts/wasm", "host/sandbox", "actors/prepare", "actors/execute"},
	"host": {"leaves", "actors/kernel", "actors/record", "actors/prepare", "actors/execute", "actors/cache", "actors/jobs", "artifacts/blob", "artifacts/db", "artifacts/store",
		"artifacts/wasm", "artifacts/scale", "artifacts/manifest", "actors/meter", "actors/sessions", "actors/keys", "actors/chain", "actors/chain/report", "actors/chain/follow", "host/wire", "host/sandbox", "host/abi", "host/internal/appdata", "host/internal/calls",
		"host/internal/backup", "host/internal/logs", "host/internal/watch", "actors/inspect/explain", "host/internal/ingress", "host/internal/agent", "host/internal/fetch", "host/internal/reach", "host/internal/origin", "host/internal/turns", "host/internal/lanes", "host/internal/metrics", "host/internal/outbox", "host/internal/pool"},

	"host/internal/backup":           {"leaves", "artifacts/db", "artifacts/db/failpoint"},
	"host/internal/logs":             {"leaves"},
	"host/internal/watch":            {"leaves"},
	"host/control/api":               {"leaves", "host"},
	"host/control/audit":             {"leaves", "host/control/api", "host"},
	"host/control/bundle":            {"leaves", "host", "host/control/api", "actors/meter", "actors/chain"}, // both: words of the interface that it implements
	"host/control/bundle/bundletest": {"leaves", "host", "host/control/api"},
	"host/control/client":            {"leaves", "host/control/api", "host"},
	"host/control":                   {"leaves", "host", "artifacts/manifest", "host/control/api", "host/control/audit", "host/control/bundle", "actors/meter", "actors/chain", "actors/inspect/query"},

	"cmd/troupe-worker":     {"host/wire", "host/worker"},
	"cmd/internal/archtest": {},
	"cmd/internal/cli": {"leaves", "host", "host/control", "host/control/api", "host/control/client", "host/wire", "host/abi", "host/sandbox", "artifacts/db", "artifacts/wasm", "artifacts/manifest", "actors/meter", "actors/keys", "actors/chain", "chainbridge", "chainbridge/devchain", "chainbridge/ledger",
		"actors/inspect/query", "actors/record", "host/control/bundle", "cmd/internal/settings", "cmd/internal/systemd", "cmd/internal/tui", "cmd/internal/webui"},
	"cmd/internal/gasfit":        {},
	"cmd/troupe":                 {"cmd/internal/cli"},
	"cmd/internal/settings":      {"leaves"},
	"cmd/internal/systemd":       {"leaves"},
	"cmd/internal/tui":           {"leaves", "host", "host/control/api", "host/control/client", "actors/inspect/query"},
	"cmd/internal/webui":         {"leaves", "host", "host/control/api", "host/control/client", "actors/inspect/query"},
	"cmd/internal/webui/webtest": {"leaves"},
}

// sole names the only importer of a library, and why.
var sole = map[string]struct{ importer, why string }{
	"github.com/asynkron/protoactor-go":        {"actors/kernel", "the library is frozen; everything else uses our kernel"},
	"github.com/dgraph-io/badger":              {"artifacts/db", "a full disk or a damaged file kills who uses it unguarded"},
	"github.com/tetratelabs/wazero":            {"host/engine", "the engine runs in workers only, behind one interface"},
	"github.com/prometheus":                    {"host/internal/metrics", "one registry per host, and never the default one"},
	"github.com/ChainSafe/go-schnorrkel":       {"actors/meter", "keys are made, kept and used behind one interface"},
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
