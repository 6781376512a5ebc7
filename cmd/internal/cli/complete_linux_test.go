package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shellSetup are the shells that completion is for: how each is started without settings of a user, and told of it.
var shellSetup = map[string]struct{ start, source string }{
	"bash": {"bash --norc --noprofile -i", "source <(troupe completion bash)"},
	"zsh":  {"zsh -f -i", "autoload -Uz compinit && compinit -u -D && source <(troupe completion zsh)"},
	"fish": {"fish --no-config -i", "troupe completion fish | source"},
}

// TestCompletionInShells: in each shell, as somebody types, a verb, a flag's value, an id of the host that runs and a field of the query
// are completed; where there is nothing to offer nothing is said.
func TestCompletionInShells(t *testing.T) {
	for name, shell := range shellSetup {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				t.Skip("SKIPPED: completion is tried in a real " + name + ", and it is not installed")
			}
			home := t.TempDir()
			stop, err := newSeenServer().hold(filepath.Join(home, "data", "troupe"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stop)
			x := openTerminal(t, 120, 40, "HOME="+home+" XDG_DATA_HOME="+home+"/data XDG_CONFIG_HOME="+home+"/config PS1='$ ' PATH="+os.Getenv("PATH"), shell.start)
			x.keys("'"+shell.source+" && echo rea''dy", "Enter")
			x.sees("\nready")
			for _, row := range []struct{ typed, want string }{
				{"troupe queue pause exec", "troupe queue pause execute"},
				{"troupe actor mail", "troupe actor mailbox"},
				{"troupe run --nan can", "troupe run --nan canonical"},
				{"troupe actor list --selector state=bu", "troupe actor list --selector state=busy"},
				{"troupe actor list --selector=state=bu", "troupe actor list --selector=state=busy"},
			} {
				if name == "fish" && strings.Contains(row.typed, "--selector=") {
					continue // fish offers files there
				}
				x.keys("'"+row.typed).presses("Tab", row.want) // again, since an answer that is late is none
				x.never("command not found", "state=state")
				x.keys("C-a", "C-k", "'clear", "Enter")
				x.gone(row.want)
			}
			x.keys("'troupe worker kill nobody", "Tab", "'here")
			x.sees("troupe worker kill nobodyhere")
			x.keys("C-a", "C-k", "'exit", "Enter") // it writes its history until it has ended
			x.sees("ENDED")
		})
	}
}
