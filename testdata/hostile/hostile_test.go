package hostile

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCorpusIsWhole(t *testing.T) {
	seen, kinds := map[string]bool{}, map[string]int{}
	for _, c := range Cases() {
		if c.Name == "" || c.Kind == "" || c.Why == "" || seen[c.Name] {
			t.Errorf("%+.80v: it has no name, kind or reason of its own", c)
		}
		if c.Text == "" && c.Name != "empty" {
			t.Errorf("%s is empty", c.Name)
		}
		seen[c.Name] = true
		kinds[c.Kind]++
		// These must be what they claim, or all tests that use them show nothing.
		switch c.Kind {
		case "ansi", "control", "separator", "bidi", "invisible", "combining", "invalid":
			if Inert(c.Text, 1<<20) == nil && c.Name != "combining-first" {
				t.Errorf("%s is inert as it is", c.Name)
			}
		}
	}
	for _, k := range strings.Fields("ansi control separator bidi invisible combining invalid wide plain long markup template csv json shell query") {
		if kinds[k] == 0 {
			t.Errorf("the corpus has nothing of kind %s", k)
		}
	}
}

func TestInertKnowsPlainText(t *testing.T) {
	for _, s := range []string{"", "plain", "ünïcode", "日本語", "e\u0301\u0323", "a\ufffdb…", "<b>&\"'"} {
		if err := Inert(s, 64); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	if Inert(strings.Repeat("x", 65), 64) == nil {
		t.Error("a long line is inert")
	}
	for _, c := range Cases() {
		if !utf8.ValidString(c.Text) && Inert(c.Text, 1<<20) == nil {
			t.Errorf("%s: invalid UTF-8 is inert", c.Name)
		}
	}
}
