package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
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

// What cannot be undone goes by a plan, which is asked about; only verbs that the help of plans names do at once what they are told.
func TestWhatIsDoneAtOnce(t *testing.T) {
	help := strings.Join(atOnce(), "\n")
	var walk func(words []string, v verb)
	walk = func(words []string, v verb) {
		for _, sub := range v.verbs {
			word, _, _ := strings.Cut(sub.use, " ")
			walk(append(slices.Clone(words), word), sub)
		}
		if v.run == nil || len(words) != 2 {
			return
		}
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		if v.flags != nil {
			v.flags(fs)
		}
		if planned := fs.Lookup("yes") != nil && fs.Lookup("dry-run") != nil; v.atOnce && !planned {
			t.Errorf("%v has no flags of plans", words)
		}
		if named := regexp.MustCompile(`(?m)^  ` + words[0] + ` .*\b` + words[1] + `\b`).MatchString(help); named != v.atOnce {
			t.Errorf("%v: named as done at once: %v", words, named)
		}
	}
	walk(nil, (&app{}).table())
	for _, args := range [][]string{
		{"actor", "kill", "troupe/x", "--reason", "r"}, {"worker", "kill", "w", "--reason", "r"}, {"queue", "purge", "q", "--reason", "r"},
		{"queue", "pause", "q"}, {"dead", "drop", "d"}, {"job", "cancel", "--selector", "state=running", "--reason", "r"},
	} {
		s := newSeenServer()
		c := newSeen(t, s)
		if code := c.main(args); code != exitUsage || !strings.Contains(c.err.String(), "nobody to ask") {
			t.Errorf("%v: exit code %d\n%s", args, code, c.err.String())
		}
	}
}

// What 'troupe explain' has people type is a command that there is.
func TestAdviceCanBeTyped(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "actors", "inspect", "explain", "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	advice := regexp.MustCompile(`"troupe ([a-z -]+)`)
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range advice.FindAllStringSubmatch(string(text), -1) {
			seen++
			v := (&app{}).table()
			for _, w := range strings.Fields(m[1]) {
				i := slices.IndexFunc(v.verbs, func(v verb) bool { return v.use == w || strings.HasPrefix(v.use, w+" ") })
				if i < 0 {
					break
				}
				v = v.verbs[i]
			}
			if v.run == nil {
				t.Errorf("%s: there is no command %q", filepath.Base(file), m[0][1:])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands are advised", seen)
	}
}
