package host

import (
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/artifacts/wasm"
)

func TestFaultsOfTheEngineAreShown(t *testing.T) {
	for _, row := range []struct {
		goarch   string
		features wasm.Features
		want     []string
	}{
		{"amd64", wasm.Wasm2, nil},
		{"amd64", wasm.AllFeatures &^ wasm.Exceptions, nil},
		{"amd64", wasm.AllFeatures, []string{"engine.exceptions"}},
		{"amd64", wasm.Exceptions, []string{"engine.exceptions"}},
		{"arm64", wasm.Wasm2, []string{"engine.arm64"}},
		{"arm64", wasm.AllFeatures, []string{"engine.exceptions", "engine.arm64"}},
	} {
		var got []string
		for _, w := range engineWarnings(row.goarch, wasm.Policy{Features: row.features}) {
			got = append(got, w.code)
			if w.message == "" || w.hint == "" || strings.HasSuffix(w.message, ".") {
				t.Errorf("%+v", w)
			}
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s with %v: %v, want %v", row.goarch, row.features, got, row.want)
		}
	}
	if p, err := ParsePolicy("", ""); err != nil || p.Features&wasm.Exceptions != 0 {
		t.Errorf("exceptions are not off by default: %+v, %v", p, err)
	}
}
