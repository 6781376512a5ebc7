package webui

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// contrastOf is the ratio of WCAG 2 between two colours, each #rrggbb.
func contrastOf(a, b string) float64 {
	luminance := func(c string) float64 {
		n, err := strconv.ParseUint(strings.TrimPrefix(c, "#"), 16, 32)
		if err != nil || len(c) != 7 {
			return math.NaN()
		}
		part := func(v uint64) float64 {
			x := float64(v&255) / 255
			if x <= 0.04045 {
				return x / 12.92
			}
			return math.Pow((x+0.055)/1.055, 2.4)
		}
		return 0.2126*part(n>>16) + 0.7152*part(n>>8) + 0.0722*part(n)
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestContrast holds that each text can be read on what it stands on, in both themes: 4.5 for text, as WCAG AA has it, and 3 for marks.
func TestContrast(t *testing.T) {
	if got := contrastOf("#000000", "#ffffff"); got != 21 {
		t.Fatalf("black on white: %v", got)
	}
	css, err := assets.ReadFile("assets/app.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s):root([^{]*)\{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	themes := map[string]map[string]string{}
	for _, b := range blocks {
		name := "light"
		if strings.Contains(b[1], "light") { // where the system is dark
			name = "dark system"
		} else if strings.Contains(b[1], "dark") {
			name = "dark"
		}
		vars := map[string]string{}
		for _, m := range regexp.MustCompile(`--([\w-]+):\s*(#[0-9a-f]{6})\b`).FindAllStringSubmatch(b[2], -1) {
			vars[m[1]] = m[2]
		}
		if len(vars) > 0 {
			themes[name] = vars
		}
	}
	if fmt.Sprint(themes["dark"]) != fmt.Sprint(themes["dark system"]) {
		t.Error("dark by choice is another dark than that of the system")
	}
	grounds := []string{"paper", "panel", "sunk"}
	for _, name := range []string{"light", "dark"} {
		vars := themes[name]
		hold := func(text, ground string, least float64) {
			t.Helper()
			if got := contrastOf(vars[text], vars[ground]); !(got >= least) {
				t.Errorf("%s: --%s on --%s: %.2f, less than %.1f", name, text, ground, got, least)
			}
		}
		for _, g := range grounds {
			for _, text := range []string{"ink", "soft", "accent", "good", "busy", "warn", "bad", "violet"} {
				hold(text, g, 4.5)
			}
		}
		for _, tone := range []string{"good", "busy", "warn", "bad", "violet"} {
			hold(tone, tone+"-tint", 4.5)
			hold("ink", tone+"-tint", 4.5)
		}
		hold("ink", "tint", 4.5)
		hold("soft", "tint", 4.5)
		hold("accent", "tint", 4.5)
		hold("accent-ink", "accent", 4.5)
		hold("panel", "bad", 4.5) // a button that does harm
		hold("accent", "line", 3)
	}
}
