package tui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/host/control/bundle/bundletest"
)

// TestCommands holds the command lines that Y copies against a file, each line of which package cli parses.
func TestCommands(t *testing.T) {
	var all []string
	m, _ := NewModel(Mono, "overview", "", "", bundletest.At)
	for _, s := range m.specs {
		for _, q := range []string{"", "state!=idle path~\"it's\""} {
			m.here = place{view: s, query: q, sort: -1}
			all = append(all, m.equivalent())
		}
		if s.kind == "" {
			continue
		}
		for tab := range tabsOf(s.kind) {
			m.here = place{view: s, open: &opening{kind: s.kind, id: "one/it's", tab: tab}}
			all = append(all, m.equivalent())
		}
	}
	m.here = place{view: m.specs[0], open: &opening{kind: "cause", id: strings.Repeat("ab", 16)}}
	all = append(all, m.equivalent())
	have, file := strings.Join(all, "\n")+"\n", filepath.Join("testdata", "commands.txt")
	if *update {
		if err := os.WriteFile(file, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), have); diff != "" {
		t.Errorf("pass -update if this is meant: %s", diff)
	}
}
