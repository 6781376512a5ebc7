package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestCopiedCommands parses each command line that the consoles offer to copy. The files are written by the tests of the consoles.
func TestCopiedCommands(t *testing.T) {
	for _, console := range []string{"webui", "tui"} {
		text, err := os.ReadFile(filepath.Join("..", console, "testdata", "commands.txt"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			words, err := shellWords(strings.TrimSuffix(line, "\n"))
			if err != nil || len(words) < 2 || words[0] != "troupe" {
				t.Errorf("%s: %q: %v", console, line, err)
				continue
			}
			if err := parseOnly(t, words[1:]); err != nil {
				t.Errorf("%s: %s%v", console, line, err)
			}
		}
		if n < 20 {
			t.Errorf("%s: %d lines", console, n)
		}
	}
}

// parseOnly finds the command of a line and gives it its flags and arguments, and stops there.
func parseOnly(t *testing.T, words []string) error {
	c := newConsole(t, &fakeHost{})
	cmd, rest, err := c.tree(t.Context()).Find(words)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.HasSubCommands() {
		return unknown(cmd, strings.Join(cmd.Flags().Args(), " "))
	}
	run := cmd.Args
	if run == nil {
		run = cobra.ArbitraryArgs
	}
	return run(cmd, cmd.Flags().Args())
}

// shellWords parts a line as a shell would, of which single quotes and backslashes are enough here.
func shellWords(line string) (words []string, err error) {
	var w strings.Builder
	begun, quoted, escaped := false, false, false
	for _, r := range line {
		switch {
		case escaped:
			escaped = false
			w.WriteRune(r)
		case quoted && r != '\'':
			w.WriteRune(r)
		case r == '\'':
			quoted, begun = !quoted, true
		case r == '\\':
			escaped, begun = true, true
		case r == ' ':
			if begun {
				words = append(words, w.String())
			}
			w.Reset()
			begun = false
		case strings.ContainsRune("\"$`&|;<>(){}*?#~!", r):
			return nil, os.ErrInvalid
		default:
			begun = true
			w.WriteRune(r)
		}
	}
	if quoted || escaped {
		return nil, os.ErrInvalid
	}
	if begun {
		words = append(words, w.String())
	}
	return words, nil
}
