package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What a script observes must stand in the help of the verb, and each exit code must be observed by some script.
func TestScriptsObserveDocumentedExits(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	line := regexp.MustCompile(`(?m)^(?:exits (\d+)|exec) (?:nobody |sh -c ')?troupe\b(.*)$`)
	seen := map[int]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllStringSubmatch(string(text), -1) {
			code, _ := strconv.Atoi(m[1]) // nothing after exec: 0
			if strings.Contains(m[2], "--guest-exit") && code != exitOurs {
				continue // the guest's own
			}
			seen[code] = true
			name, documented := verbOf(strings.Fields(m[2]))
			if !slices.Contains(documented, code) {
				t.Errorf("%s: exit code %d is not documented for %s, only %v: %s", filepath.Base(file), code, name, documented, m[0])
			}
		}
	}
	for _, code := range allExits() {
		if !seen[code] && code != exitBug { // whoever can script a bug should fix it
			t.Errorf("no script observes exit code %d", code)
		}
	}
}

// Each verb is run by some script, to a good end or not.
func TestEveryVerbHasAScript(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	ran := map[string]bool{}
	line := regexp.MustCompile(`(?m)^(?:! )?(?:exits \d+|exec|until \S+|until '[^']*') (?:nobody |sh -c '(?:.*?[|;&] ?)?)?troupe\b(.*)$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllStringSubmatch(string(text), -1) {
			name, _ := verbOf(strings.Fields(m[1]))
			ran[name] = true
		}
	}
	var walk func(name string, v verb)
	walk = func(name string, v verb) {
		if v.run != nil && !ran[name] {
			t.Errorf("no script runs '%s'", name)
		}
		for _, sub := range v.verbs {
			word, _, _ := strings.Cut(sub.use, " ")
			walk(name+" "+word, sub)
		}
	}
	walk("troupe", (&app{}).table())
}

// verbOf returns the verb that a command line calls, and the exit codes in its help.
func verbOf(words []string) (string, []int) {
	v := (&app{}).table()
	name := "troupe"
	for _, w := range words {
		i := slices.IndexFunc(v.verbs, func(v verb) bool { return v.use == w || strings.HasPrefix(v.use, w+" ") })
		if i >= 0 {
			v, name = v.verbs[i], name+" "+w
		}
	}
	return name, v.exits
}
