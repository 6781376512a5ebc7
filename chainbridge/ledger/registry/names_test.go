package registry

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNames compares the errors and events that the pallet lists with those in its source.
func TestNames(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	failed, emitted := regexp.MustCompile(`fail\("(\w+)"`), regexp.MustCompile(`(?:c\.Emit\(name, |event :?= )"(\w+)"`)
	found := map[*regexp.Regexp][]string{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*regexp.Regexp{failed, emitted} {
			for _, m := range r.FindAllSubmatch(b, -1) {
				found[r] = append(found[r], string(m[1]))
			}
		}
	}
	p := Pallet()
	for r, listed := range map[*regexp.Regexp][]string{failed: p.Errors, emitted: p.Events} {
		got := slices.Compact(slices.Sorted(slices.Values(found[r])))
		if diff := cmp.Diff(slices.Sorted(slices.Values(listed)), got); diff != "" {
			t.Errorf("listed and used differ (-listed +used):\n%s", diff)
		}
	}
}
