package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// The reference in the tree is what the table says.
func TestReferenceIsCurrent(t *testing.T) {
	c := newConsole(t, &fakeHost{})
	if code := c.main([]string{"docs", "markdown"}); code != 0 {
		t.Fatal(code, c.err.String())
	}
	file := filepath.Join("..", "..", "REFERENCE.md")
	if *update {
		if err := os.WriteFile(file, c.out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, c.out.Bytes()) {
		t.Error("cmd/REFERENCE.md is not what 'troupe docs markdown' prints: make it anew")
	}
}

// Each command has a page, and none has a line that roff would take for a request by accident.
func TestManualPages(t *testing.T) {
	dir := t.TempDir()
	c := newConsole(t, &fakeHost{})
	if code := c.main([]string{"docs", "man", dir}); code != 0 {
		t.Fatal(code, c.err.String())
	}
	known := []string{".TH", ".SH", ".TP", ".B", ".BR"}
	for _, p := range c.pages(t.Context()) {
		text, err := os.ReadFile(filepath.Join(dir, p.name()+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		for line := range strings.Lines(string(text)) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if strings.HasPrefix(word, ".") && !slices.Contains(known, word) || strings.HasPrefix(word, "'") || word == "" {
				t.Errorf("%s: %q", p.name(), line)
			}
		}
		if strings.Count(string(text), ".SH ") < 3 {
			t.Errorf("%s has no more than\n%s", p.name(), text)
		}
	}
	if _, err := exec.LookPath("man"); err == nil {
		cmd := exec.CommandContext(t.Context(), "man", "--warnings", "-E", "UTF-8", "-l", filepath.Join(dir, "troupe-actor-list.1"))
		cmd.Env = append(os.Environ(), "MANWIDTH=100", "PAGER=cat")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("TROUPE-ACTOR-LIST(1)")) {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// The table is whole: each verb has words, examples and exit codes, names are told apart, and what is a list has a view if it takes
// a selector.
func TestTableIsWhole(t *testing.T) {
	a := newConsole(t, &fakeHost{}).app
	for _, p := range a.pages(context.Background()) {
		where := p.command.CommandPath()
		if p.short == "" || strings.HasSuffix(p.short, ".") || len(p.examples) == 0 || len(p.examples)%2 != 0 || len(p.exits) == 0 {
			t.Errorf("%s: %q, %d lines of examples, exit codes %v", where, p.short, len(p.examples), p.exits)
		}
		for i := 0; i < len(p.examples); i += 2 {
			if !strings.Contains(p.examples[i], "troupe ") {
				t.Errorf("%s: the example %q does not run it", where, p.examples[i])
			}
		}
		if !slices.Contains(p.exits, exitOK) || !slices.Contains(p.exits, exitUsage) {
			t.Errorf("%s: exit codes %v", where, p.exits)
		}
		if f := p.command.Flags().Lookup("selector"); f != nil && p.view == "" && p.command.Flags().Lookup("view") == nil {
			t.Errorf("%s takes a selector of no view", where)
		}
		names := map[string]bool{}
		for _, sub := range p.verbs {
			name, _, _ := strings.Cut(sub.use, " ")
			if names[name] {
				t.Errorf("%s has two verbs %s", where, name)
			}
			names[name] = true
		}
	}
}

// Whatever a host answers, a verb ends with a code that its help explains, and each code that it explains can come.
func TestExitCodesOfWhatIsSeen(t *testing.T) {
	deeds := [][]string{
		{"actor", "pause", "troupe/x"}, {"actor", "resume", "troupe/x"}, {"actor", "restart", "troupe/x"}, {"actor", "kill", "troupe/x", "--reason", "r"}, {"actor", "log-level", "info", "troupe/x"},
		{"worker", "recycle", "w"}, {"worker", "kill", "w", "--reason", "r"}, {"queue", "pause", "q"}, {"queue", "resume", "q"}, {"queue", "purge", "q", "--reason", "r"},
		{"dead", "replay", "d"}, {"dead", "drop", "d"}, {"node", "gc"}, {"chain", "pause"}, {"chain", "resume"}, {"artifact", "retry", strings.Repeat("a", 64)},
		{"artifact", "raise", strings.Repeat("a", 64)}, {"app", "restart", strings.Repeat("a", 64)}, {"app", "start", strings.Repeat("a", 64)},
	}
	for i := range deeds {
		deeds[i] = append(deeds[i], "--yes")
	}
	all := deeds
	for name, args := range seenReads {
		if name != "artifact_list_selected" { // it would start a host of its own
			all = append(all, args)
		}
	}
	all = append(all, []string{"node", "snapshot", "--out", filepath.Join(t.TempDir(), "b")})
	for _, args := range all {
		name, documented := verbOf(args)
		seen := map[int]bool{exitOK: true, exitConflict: true, exitSome: true} // of TestDeeds
		for want, code := range map[int]fault.Code{
			exitNotFound: fault.CallerNotFound, exitDenied: fault.CallerDenied, exitBusy: fault.BusyQueueFull, exitHost: fault.HostDiskIO, exitBug: fault.BugPanic,
		} {
			s := newSeenServer()
			s.fault = fault.New(code, "", "", nil)
			c := newSeen(t, s)
			got := c.main(args)
			if seen[got] = true; got != want || !slices.Contains(documented, got) && got != exitNotFound {
				t.Errorf("%s: exit code %d for %s, documented are %v\n%s", name, got, code, documented, c.err.String())
			}
		}
		c := newConsole(t, &fakeHost{})
		seen[c.main(args)] = true // 3
		c = newSeen(t, newSeenServer())
		seen[c.main(append(slices.Clone(args), "--nonsense"))] = true // 2
		c = newSeen(t, newSeenServer())
		c.app.out.w = fullDisk{}
		seen[c.main(append(slices.Clone(args), "-o", "json"))] = true // 1
		c = newSeen(t, newSeenServer())
		c.app.out.w = closedPipe{}
		seen[c.main(append(slices.Clone(args), "-o", "json"))] = true // 7
		for _, code := range documented {
			if !seen[code] {
				t.Errorf("%s: exit code %d is documented and never comes", name, code)
			}
		}
	}
}
