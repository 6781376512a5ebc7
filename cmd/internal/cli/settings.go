package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/cmd/internal/settings"
	"github.com/troupehost/troupe/host/control/api"
)

// settle says which settings a verb is given beside its flags.
type settle uint8

const (
	settleShared settle = iota // the flags that all verbs share, from all sources
	settleEnv                  // those, from the environment alone: the verb works with a broken file, too
	settleAll                  // its own flags, too: they are settings; contexts do not matter
	settleLater                // the verb does it
)

const noFile = "none" // of --config

// sharedFlags are the flags that say where settings and hosts are, and what came of them.
type sharedFlags struct {
	config, context string
	socket, connect string
	connectCA       string
	connectCert     string
	connectKey      string
	connectToken    string

	systemConfig string          // default file of this user instead of one below HOME; "": none
	environ      func() []string // nil: nobody looks for misspelt variables
	flags        *pflag.FlagSet  // those of the root
	own          *pflag.FlagSet  // those of the verb
	values       []settings.Value
}

// addShared adds the flags that say where settings and hosts are.
func (a *app) addShared(p *pflag.FlagSet) {
	p.Var(word{&a.config, "FILE"}, "config", "file of settings; none reads none (default $XDG_CONFIG_HOME/troupe/config.toml, else ~/.config/troupe/config.toml; of root /etc/troupe/config.toml)")
	p.Var(word{&a.context, "NAME"}, "context", "reach the host of a 'troupe context'; local is the one of the data directory")
	p.Var(word{&a.socket, "PATH"}, "socket", "reach the host that listens on this control socket; 'troupe serve' listens on it (default: in the data directory)")
	p.Var(word{&a.connect, "ADDR"}, "connect", "reach the host that listens with TLS on HOST:PORT")
	p.Var(word{&a.connectCA, "FILE"}, "connect-ca", "certificates of the authorities that --connect trusts (default those of the system)")
	p.Var(word{&a.connectCert, "FILE"}, "connect-cert", "certificate that --connect shows")
	p.Var(word{&a.connectKey, "FILE"}, "connect-key", "key of --connect-cert (default the same file)")
	p.Var(word{&a.connectToken, "FILE"}, "connect-token", "the first line of FILE is the token that --connect sends")
	settings.MarkLine(p, "config", "context")
	a.flags = p
}

// settleFlags sets what the command line has left open.
func (a *app) settleFlags(c *cobra.Command, how settle) error {
	a.own = c.LocalNonPersistentFlags()
	if how == settleLater || a.flags == nil {
		return nil
	}
	src := settings.Sources{Env: a.getenv}
	if how != settleEnv {
		var problems []settings.Problem
		var err error
		if src.File, problems, err = a.configFile(); err != nil {
			return err
		}
		if src.File != nil {
			problems = append(problems, settings.Unknown(a.blank().flags, src.File, nearest)...)
		}
		if err := settings.Fault(problems); err != nil {
			return err
		}
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.AddFlagSet(a.flags)
	switch how {
	case settleAll:
		flags.AddFlagSet(a.own)
		if a.context != "" {
			return usage("--context with '"+c.CommandPath()+"'", "a context says how to reach a host: leave it out")
		}
	case settleShared:
		if err := a.choose(&src); err != nil {
			return err
		}
	}
	values, problems := settings.Apply(flags, src)
	a.values = values
	return settings.Fault(problems)
}

// configPath returns the file of settings, "" for none, and whether somebody named it.
func (a *app) configPath() (path string, named bool) {
	path = cmp.Or(a.config, a.getenv(settings.EnvName("config")))
	switch {
	case path == noFile:
		return "", true
	case path != "":
		return path, true
	case filepath.IsAbs(a.getenv("XDG_CONFIG_HOME")), a.systemConfig == "":
		dir, err := a.configDir()
		if err != nil {
			return "", false
		}
		return filepath.Join(dir, "config.toml"), false
	}
	return a.systemConfig, false
}

// configDir is where the files of this user are.
func (a *app) configDir() (string, error) {
	if xdg := a.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "troupe"), nil
	}
	if home := a.getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".config", "troupe"), nil
	}
	return "", usage("no directory for configuration", "neither XDG_CONFIG_HOME nor HOME is set")
}

// configFile reads the file of settings. One that nobody named may be missing, and is nil then.
func (a *app) configFile() (*settings.File, []settings.Problem, error) {
	path, named := a.configPath()
	if path == "" {
		return nil, nil, nil
	}
	file, problems, err := settings.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		if named {
			err = usage("file of settings "+fault.Quote(path), "there is no such file: --config none reads none")
		} else {
			err = nil
		}
		return nil, nil, err
	}
	return file, problems, settingsError(path, err)
}

// settingsError blames the caller for a file of settings that cannot be read.
func settingsError(path string, err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok || err == nil {
		return err
	}
	return fileError(path, err)
}

// blanks are the flags of 'serve' and those of all verbs, as they are before anything is set.
type blanks struct {
	app   *app
	serve *serveFlags
	flags *pflag.FlagSet
}

func (a *app) blank() blanks {
	b := &app{format: form{value: formTable}, progress: choice{"auto", a.progress.allowed}, getenv: func(string) string { return "" }, out: a.out, err: a.err}
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.AddFlagSet(b.tree(context.Background()).PersistentFlags())
	f := newServeFlags()
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.add(own)
	onlyOnce(own)
	all.AddFlagSet(own)
	return blanks{b, f, all}
}

// given takes over what the command line of this program said.
func (b blanks) given(flags ...*pflag.FlagSet) {
	for _, set := range flags {
		set.VisitAll(func(f *pflag.Flag) {
			to := b.flags.Lookup(f.Name)
			if !f.Changed || to == nil || to.Changed {
				return
			}
			if from, ok := f.Value.(pflag.SliceValue); ok {
				_ = to.Value.(pflag.SliceValue).Replace(slices.Clone(from.GetSlice()))
			} else if text := f.Value.String(); text != "" {
				_ = to.Value.Set(text) // it was taken before
			}
			to.Changed = true
		})
	}
}

func (a *app) configVerb() verb {
	return verb{
		use: "config COMMAND", short: "Check and show the settings of 'troupe serve' and of this program",
		long: `A setting is a flag of 'troupe serve', or one that all verbs share. The flag beats the variable TROUPE_ and its name in upper snake
case, which beats the context, which beats the file, which beats the default. A file is TOML without tables: the names of the
flags, and their values.`,
		examples: []string{
			"troupe config check /etc/troupe/config.toml", "all that is wrong with a file, with line and column",
			"troupe config show --origin", "each setting, where it came from, and whether a reload takes it over",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{a.configCheckVerb(), a.configShowVerb()},
	}
}

func (a *app) configCheckVerb() verb {
	return verb{
		use: "check [FILE]", short: "Say all that is wrong with a file of settings",
		long: "Without FILE the one that this user's 'troupe serve' would read. Each problem is a line FILE:LINE:COLUMN on stdout.",
		examples: []string{
			"troupe config check", "the file that would be read",
			"troupe config check new.toml && mv new.toml /etc/troupe/config.toml", "before it counts",
			"troupe config check -o json new.toml", "for editors",
		},
		exits: with(exitsText, exitNotFound, exitDenied), args: atMost(1, "a file"), settle: settleEnv,
		run: func(_ context.Context, args []string) error { return a.checkConfig(args) },
	}
}

func (a *app) checkConfig(args []string) error {
	path, _ := a.configPath()
	if len(args) > 0 {
		path = args[0]
	}
	if path == "" {
		return usage("no file of settings", "name one")
	}
	file, problems, err := settings.Read(path)
	if err != nil {
		return settingsError(path, err)
	}
	b := a.blank()
	problems = append(problems, settings.Check(b.flags, file, nearest)...)
	if len(problems) == 0 {
		problems = b.together(file)
	}
	slices.SortStableFunc(problems, func(x, y settings.Problem) int {
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	if a.json() {
		if problems == nil {
			problems = []settings.Problem{}
		}
		a.printJSON(map[string]any{"file": path, "problems": problems})
	}
	for _, p := range problems {
		if a.json() {
			break
		}
		line := oneLine(p.String())
		if p.Hint != "" {
			line += " (" + oneLine(p.Hint) + ")"
		}
		fmt.Fprintln(a.out, line)
	}
	if len(problems) > 0 {
		return exit{code: exitUsage}
	}
	if !a.json() {
		fmt.Fprintf(a.out, "%s: ok, %d settings\n", oneLine(path), len(file.Entries))
	}
	return nil
}

// together says what is wrong with settings of which each is right by itself.
func (b blanks) together(file *settings.File) []settings.Problem {
	dir := b.app.dataDir
	if dir == "" {
		dir = string(filepath.Separator) // it is looked up where the host starts
	}
	_, err := b.serve.config(dir)
	if err == nil {
		return nil
	}
	p := settings.Problem{File: file.Name, Line: 1, Column: 1, Message: err.Error()}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		p.Hint = f.Hint
	}
	m, ok := errors.AsType[mistake](err)
	if ok {
		p.Hint = m.hint
	}
	for _, e := range file.Entries {
		if ok && names(m.what, e.Key) {
			p.Key, p.Line, p.Column = e.Key, e.Line, e.Column
			break
		}
	}
	return []settings.Problem{p}
}

// names reports whether a complaint speaks of a flag.
func names(what, flag string) bool {
	for word := range strings.FieldsSeq(what) {
		if word == "--"+flag {
			return true
		}
	}
	return false
}

func (a *app) configShowVerb() verb {
	var origin, running bool
	return verb{
		use: "show", short: "Show the effective settings",
		long: `Those that a 'troupe serve' of this user would start with here, flags of this command line included, or with --running those that
a host runs with. Passwords in URLs are not printed; other secrets are in files, of which only the names are settings.`,
		examples: []string{
			"troupe config show", "names and values",
			"troupe config show --origin", "and where each comes from, and whether a reload takes it over",
			"troupe config show --running -o json", "of the host that runs, for scripts",
		},
		exits: with(exitsHost, exitNotFound), settle: settleLater,
		flags: func(fs *pflag.FlagSet) {
			fs.BoolVar(&origin, "origin", false, "where each value comes from, and whether a reload takes a change over")
			fs.BoolVar(&running, "running", false, "the settings of the host that runs")
		},
		run: func(ctx context.Context, _ []string) error {
			list, err := a.effective(ctx, running)
			switch {
			case err != nil:
				return err
			case a.json():
				a.printJSON(map[string]any{"settings": list})
			default:
				a.printSettings(list, origin)
			}
			return nil
		},
	}
}

func (a *app) effective(ctx context.Context, running bool) ([]api.Setting, error) {
	if running {
		if err := a.settleFlagsNow(settleShared); err != nil {
			return nil, err
		}
		var list []api.Setting
		err := a.at(ctx, served, func(ctx context.Context, n *node) error {
			page, err := n.Config(ctx)
			list = page.Rows
			return err
		})
		return list, err
	}
	file, problems, err := a.configFile()
	if err != nil {
		return nil, err
	}
	b := a.blank()
	b.given(a.flags)
	problems = append(problems, settings.Unknown(b.flags, file, nearest)...)
	values, more := settings.Apply(b.flags, settings.Sources{Env: a.getenv, File: file})
	if err := settings.Fault(append(problems, more...)); err != nil {
		return nil, err
	}
	a.format.value = b.app.format.value
	return listSettings(values), nil
}

// settleFlagsNow is settleFlags for a verb that has put it off.
func (a *app) settleFlagsNow(how settle) error {
	return a.settleFlags(&cobra.Command{}, how)
}

// listSettings are settings as the API shows them.
func listSettings(values []settings.Value) []api.Setting {
	list := make([]api.Setting, 0, len(values))
	for _, v := range values {
		list = append(list, api.Setting{Name: v.Name, Value: v.Value, Origin: v.Origin, Live: v.Live})
	}
	return list
}

func (a *app) printSettings(list []api.Setting, origin bool) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	head := "SETTING\tVALUE"
	if origin {
		head += "\tFROM\tCHANGES"
	}
	fmt.Fprintln(w, head)
	for _, s := range list {
		row := fault.Quote(s.Name) + "\t" + cmp.Or(oneLine(s.Value), "-")
		if origin {
			changes := "with a restart"
			if s.Live {
				changes = "live"
			}
			row += "\t" + oneLine(s.Origin) + "\t" + changes
		}
		fmt.Fprintln(w, row)
	}
	_ = w.Flush()
}

// misspelt warns of variables that look like settings and are none.
func (a *app) misspelt() []settings.Problem {
	if a.environ == nil {
		return nil
	}
	return settings.UnknownEnv(a.blank().flags, a.environ(), []string{settings.EnvName("config"), settings.EnvName("context")}, nearest)
}

// knobs are the variables for those who work on the program itself.
var knobs = []struct{ name, what string }{
	{settings.DebugPrefix + "PATIENCE", "how long to wait for another process to release the data directory, or for a host to listen, like 10s (default 2s)"},
}

// printKnobs lists the variables for those who work on the program itself.
func (a *app) printKnobs() {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, k := range knobs {
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.name, cmp.Or(oneLine(a.getenv(k.name)), "-"), k.what)
	}
	_ = w.Flush()
}

// setKnobs obeys them.
func (a *app) setKnobs() {
	if d, err := time.ParseDuration(a.getenv(knobs[0].name)); err == nil && d > 0 {
		a.patience = d
	}
}

// systemFile is the file of settings of root.
func systemFile() string {
	if os.Geteuid() == 0 {
		return filepath.Join(string(filepath.Separator), "etc", "troupe", "config.toml")
	}
	return ""
}
