package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestFlagsAreCompleted(t *testing.T) {
	for _, row := range []struct {
		args  string // the last word is what was typed
		want  []string
		never string
	}{
		{"run --nan ", []string{"default", "canonical"}, ""},
		{"submit --nan ", []string{"default", "canonical"}, ""},
		{"run --isolation ", []string{"reset", "process"}, ""},
		{"run -o ", []string{"table", "wide", "json"}, ""},
		{"artifact check --missing-imports ", []string{"refuse", "trap"}, ""},
		{"artifact check --wasm-features ", []string{"wasm2", "all", "simd", "exceptions"}, ""},
		{"serve --wasm-features wasm2,", []string{"wasm2,tail-calls"}, "wasm2,wasm2"},
		{"serve --wasm-caps ", []string{"locals=", "functions="}, ""},
		{"artifact check --wasm-caps locals=7,f", []string{"locals=7,functions="}, "locals=7,locals="},
	} {
		c := newConsole(t, &fakeHost{})
		if code := c.main(append([]string{"__complete"}, strings.Split(row.args, " ")...)); code != 0 {
			t.Errorf("%s: exit code %d", row.args, code)
		}
		got := strings.Split(c.out.String(), "\n")
		for _, w := range row.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %q is not offered: %q", row.args, w, got)
			}
		}
		if row.never != "" && slices.Contains(got, row.never) {
			t.Errorf("%s: %q is offered", row.args, row.never)
		}
	}
}
