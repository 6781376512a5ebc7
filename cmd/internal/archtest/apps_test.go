package archtest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The rows of host/APPS.md, by section.
func appRows() map[string][]string {
	var rows []string
	for n := 1; n <= 50; n++ {
		rows = append(rows, fmt.Sprintf("W%d", n))
	}
	rows = append(rows, "W83")
	for n := 20; n <= 25; n++ {
		rows = append(rows, fmt.Sprintf("S%d", n))
	}
	for n := 40; n <= 48; n++ {
		rows = append(rows, fmt.Sprintf("S%d", n))
	}
	var calls []string
	for _, id := range []string{
		"101 102 103 104 105 106 109 110 111 112 113 201 202 203 204 210 211 212 213 214 215 220 240 242 243 244 250 251 252 253 254 255 260 261 262 263",
	} {
		calls = append(calls, strings.Fields(id)...)
	}
	return map[string][]string{
		"What apps must be seen to do": rows,
		"Host calls":                   calls,
		"Operations": strings.Fields(`User.Info User.Query User.EncryptedQuery Operation.Info Operation.WorkerInit Operation.WorkerExit Operation.SignRegisterInfo
			Operation.SignEndpoints Operation.SignWorkerDescription Operation.BlobPut Operation.BlobExists Operation.BlobRemove Operation.AppDeploy Operation.AppRemove
			Operation.AppStart Operation.AppStop Operation.AppResize Operation.AppMetrics Operation.AppList Operation.AppRemoveAll Operation.AppQuery
			Operation.AppEncryptedQuery Operation.SetBenchApp`),
	}
}

// TestAppTable: each row says what we do, and names a test that exists and is not skipped, or says why it is left out.
func TestAppTable(t *testing.T) {
	sources := declarations(t)
	got := map[string][]string{}
	section := ""
	for n, line := range strings.Split(string(files(t, ".md")[filepath.FromSlash("host/APPS.md")]), "\n") {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = title
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| Row ") || len(appRows()[section]) == 0 {
			continue
		}
		id := strings.Trim(strings.TrimSpace(cells[0]), "`")
		got[section] = append(got[section], id)
		if len(cells) != 3 || strings.TrimSpace(cells[1]) == "" {
			t.Errorf("APPS.md:%d: a row has three cells", n+1)
			continue
		}
		last := cells[len(cells)-1]
		if strings.HasPrefix(strings.TrimSpace(cells[1]), "left out:") {
			continue
		}
		found := reference.FindAllStringSubmatch(last, -1)
		if len(found) == 0 {
			t.Errorf("APPS.md:%d: %s names no test", n+1, id)
		}
		for _, m := range found {
			name, _, _ := strings.Cut(m[2], "/")
			skipped, exists := sources[m[1]].tests[name]
			if !exists || skipped {
				t.Errorf("APPS.md:%d: %s: exists %v, may be skipped %v", n+1, m[0], exists, skipped)
			}
		}
	}
	for section, want := range appRows() {
		if !slices.Equal(got[section], want) {
			t.Errorf("%q: rows %v\nwant %v", section, got[section], want)
		}
	}
}
