package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/cmd/internal/settings"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/client"
)

// localContext is the host of the data directory. It is always there.
const localContext = "local"

// The settings that say how to reach a host: one of the places, and what goes with --connect.
var (
	places     = []string{"connect", "socket", "data-dir"} // of two from one source, the first
	companions = []string{"connect-ca", "connect-cert", "connect-key", "connect-token"}
)

const maxContextName = 64

// contextDir is where contexts are, a file for each, beside the name of the one in use.
func (a *app) contextDir() (string, error) {
	dir, err := a.configDir()
	return filepath.Join(dir, "contexts"), err
}

const (
	contextSuffix = ".toml"
	contextInUse  = "in-use" // a file with a name
)

// contextName returns the context of this command line, and where its name stands.
func (a *app) contextName() (name, from string) {
	if a.context != "" {
		return a.context, "--context"
	}
	if name := a.getenv(settings.EnvName("context")); name != "" {
		return name, settings.EnvName("context")
	}
	dir, err := a.contextDir()
	if err != nil {
		return localContext, ""
	}
	b, err := os.ReadFile(filepath.Join(dir, contextInUse))
	if name := strings.TrimSpace(string(b)); err == nil && name != "" {
		return name, "'troupe context use'"
	}
	return localContext, ""
}

// readContext reads a context; nil is the local one.
func (a *app) readContext(name string) (*settings.File, error) {
	if name == localContext {
		return nil, nil
	}
	if err := checkContextName(name); err != nil {
		return nil, err
	}
	dir, err := a.contextDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name+contextSuffix)
	file, problems, err := settings.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		hint := "'troupe context ls' shows what there is"
		if n := nearest(name, append(a.contexts(), localContext)); n != "" {
			hint = "did you mean '" + n + "'?"
		}
		return nil, fault.New(fault.CallerNotFound, "context", fault.Quote(name), nil).WithHint(hint)
	}
	if err != nil {
		return nil, settingsError(path, err)
	}
	for _, e := range file.Entries {
		if !slices.Contains(places, e.Key) && !slices.Contains(companions, e.Key) {
			problems = append(problems, settings.Problem{File: path, Line: e.Line, Column: e.Column, Message: fault.Quote(e.Key) + " does not belong into a context", Hint: "remove the line"})
		}
	}
	return file, settings.Fault(problems)
}

func checkContextName(name string) error {
	if len(name) == 0 || len(name) > maxContextName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return usage("context "+fault.Quote(name), "a name has 1 to 64 of a-z, 0-9 and -")
	}
	return nil
}

// choose adds the context to the sources, and has the way to the host come from one place: the setting from the highest source
// beats the others. What proves who the caller is must not come from below the address, so that a token is sent only to the host
// that it was given for, or to one that was chosen with it.
func (a *app) choose(src *settings.Sources) error {
	name, from := a.contextName()
	file, err := a.readContext(name)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		hint := strings.TrimPrefix(f.Hint+"; ", "; ") + "it is named by " + from
		if f.Code == fault.CallerNotFound { // not what the verb looks for
			return usage("context "+fault.Quote(name)+": there is none of this name", hint)
		}
		return f.WithHint(hint)
	}
	if err != nil {
		return err
	}
	src.Context, src.ContextName = file, name
	height := func(r settings.Rank) int {
		if r == settings.FromContext && a.context != "" {
			return 2*int(settings.FromEnv) + 1 // the command line named it
		}
		return 2 * int(r)
	}
	best, chosen, flags := 0, "data-dir", 0
	for _, name := range places {
		_, inContext := src.Context.Lookup(name)
		_, inFile := src.File.Lookup(name)
		byFlag := a.flags.Lookup(name).Changed
		if byFlag {
			flags++
		}
		for r, there := range map[settings.Rank]bool{settings.FromFlag: byFlag, settings.FromEnv: a.getenv(settings.EnvName(name)) != "", settings.FromContext: inContext, settings.FromFile: inFile} {
			if there && height(r) > best {
				best, chosen = height(r), name
			}
		}
	}
	if flags > 1 || flags == 1 && a.context != "" && (a.context != localContext || !a.flags.Lookup("data-dir").Changed) {
		return usage("several ways to reach a host", "choose one of --context, --connect, --socket and --data-dir")
	}
	if a.context == localContext {
		best, chosen = 0, "data-dir"
	}
	for _, name := range companions {
		if chosen != "connect" && a.flags.Lookup(name).Changed {
			return usage("--"+name+" without --connect", "it belongs to an address")
		}
	}
	src.Drop = func(name string, r settings.Rank) bool {
		switch {
		case slices.Contains(places, name):
			return name != chosen || height(r) < best
		case slices.Contains(companions, name):
			return chosen != "connect" || height(r) < best
		}
		return false
	}
	return nil
}

// contexts returns the names of all but the local one.
func (a *app) contexts() []string {
	dir, err := a.contextDir()
	if err != nil {
		return nil
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), contextSuffix); ok && checkContextName(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// remote reaches the host of --connect or --socket.
func (a *app) remote(ctx context.Context) (*node, error) {
	c, where := (*client.Client)(nil), a.socket
	if a.connect != "" {
		o, err := a.tlsOptions(ctx)
		if err != nil {
			return nil, err
		}
		if c, err = client.NewTLS(o); err != nil {
			return nil, err
		}
		where = a.connect
	} else {
		c = client.New(a.socket, a.patience)
	}
	asking, cancel := context.WithTimeoutCause(ctx, a.reaction, fault.New(fault.CallerUnreachable, "connect", fault.Quote(where), fmt.Errorf("no reply within %v", a.reaction)))
	defer cancel()
	if err := c.Live(asking); err != nil {
		return nil, err
	}
	if c.ServerVersion() != host.Version {
		a.note(fmt.Sprintf("the host has version %s, this program %s", c.ServerVersion(), host.Version))
	}
	return &node{Client: c, close: func() error { return nil }}, nil
}

// tlsOptions reads the files of --connect.
func (a *app) tlsOptions(ctx context.Context) (o client.TLS, err error) {
	o = client.TLS{Address: a.connect, Patience: a.patience}
	if a.connectCA != "" {
		pem, err := a.readInput(ctx, a.connectCA)
		if err != nil {
			return o, err
		}
		o.Roots = x509.NewCertPool()
		if !o.Roots.AppendCertsFromPEM(pem) {
			return o, usage("--connect-ca "+fault.Quote(a.connectCA), "name a file of certificates in the form PEM")
		}
	}
	if a.connectKey != "" && a.connectCert == "" {
		return o, usage("--connect-key without --connect-cert", "name the certificate, too")
	}
	if a.connectCert != "" {
		pair, err := tls.LoadX509KeyPair(a.connectCert, cmp.Or(a.connectKey, a.connectCert))
		if err != nil {
			return o, fault.New(fault.CallerConfig, "--connect-cert", fault.Quote(a.connectCert), reason(err)).WithHint("name a certificate and its key, in the form PEM")
		}
		o.Certificate = &pair
	}
	if a.connectToken != "" {
		b, err := a.readInput(ctx, a.connectToken)
		if err != nil {
			return o, err
		}
		line, _, _ := bytes.Cut(b, []byte("\n"))
		if o.Token = strings.TrimSpace(string(line)); o.Token == "" {
			return o, usage("--connect-token "+fault.Quote(a.connectToken), "the first line of the file is empty: it has to be the token")
		}
	}
	return o, nil
}

func (a *app) contextVerb() verb {
	return verb{
		use: "context COMMAND", short: "Name hosts, and choose which one to talk to",
		long: `A context is a name for a way to a host: a data directory, a socket, or an address with the files that prove who both are. All
verbs but 'troupe serve' then go there. The flag --context beats TROUPE_CONTEXT, which beats the one in use.`,
		examples: []string{
			"troupe context add prod --connect prod.example:7443 --connect-ca ca.pem --connect-token prod.token", "a host far away",
			"troupe context use prod", "from now on",
			"troupe status --context local", "once, for the host of the data directory",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{a.contextAddVerb(), a.contextListVerb(), a.contextUseVerb(), a.contextRemoveVerb()},
	}
}

var exitsContext = with(exitsText, exitNotFound, exitDenied, exitConflict, exitHost)

func (a *app) contextAddVerb() verb {
	force := false
	return verb{
		use: "add [flags] NAME", short: "Remember a way to a host",
		long: "Say the way by --data-dir, --socket or --connect. Files stay where they are: only their names are kept, never a token.",
		examples: []string{
			"troupe context add test --data-dir /srv/troupe-test", "the host of a directory on this machine",
			"troupe context add ops --socket /run/troupe/troupe.sock", "one that listens on a socket",
			"troupe context add prod --connect prod.example:7443 --connect-ca ca.pem --connect-cert me.pem", "one that listens with TLS",
		},
		exits: exitsContext, args: exactly(1, "a name"), settle: settleLater,
		flags: func(fs *pflag.FlagSet) { fs.BoolVar(&force, "force", false, "replace a context that there is") },
		run:   func(_ context.Context, args []string) error { return a.addContext(args[0], force) },
	}
}

func (a *app) addContext(name string, force bool) error {
	if err := checkContextName(name); err != nil {
		return err
	}
	if name == localContext {
		return usage("context local", "it is the host of the data directory, and always there: choose another name")
	}
	var text strings.Builder
	ways := 0
	for _, key := range slices.Concat(places, companions) {
		f := a.flags.Lookup(key)
		if !f.Changed {
			continue
		}
		value := f.Value.String()
		if slices.Contains(places, key) {
			ways++
		} else if a.connect == "" {
			return usage("--"+key+" without --connect", "it belongs to an address")
		}
		if key != "connect" {
			abs, err := filepath.Abs(value) // the context is used in other directories
			if err != nil {
				return fileError(value, err)
			}
			value = abs
		}
		fmt.Fprintf(&text, "%s = %s\n", key, tomlText(value))
	}
	if ways != 1 {
		return usage("no way to a host, or several", "pass one of --connect, --socket and --data-dir")
	}
	if a.connect != "" {
		if _, err := client.NewTLS(client.TLS{Address: a.connect, Token: "x"}); err != nil {
			return err
		}
		if a.connectToken == "" && a.connectCert == "" {
			return usage("--connect without a token or a certificate", "pass --connect-token FILE or --connect-cert FILE")
		}
	}
	dir, err := a.contextDir()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name+contextSuffix)
	if _, err := os.Lstat(path); err == nil && !force {
		return fault.New(fault.CallerConflict, "context", name, nil).WithHint("there is one of this name: pass --force to replace it")
	}
	return writePrivate(path, []byte(text.String()))
}

// tomlText quotes text for a file of settings.
func tomlText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// writePrivate puts a file in its place, whole or not at all, for its owner alone.
func writePrivate(path string, text []byte) (err error) {
	failed := func(err error) error {
		if errors.Is(err, fs.ErrPermission) {
			return fault.New(fault.CallerDenied, "write", fault.Quote(path), reason(err)).WithHint("this user may not write there")
		}
		return fault.New(fault.HostDiskIO, "write", fault.Quote(path), reason(err))
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failed(err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp") // for its owner alone
	if err != nil {
		return failed(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

// namedContext is one context, as it is listed.
type namedContext struct {
	Name    string `json:"name"`
	InUse   bool   `json:"in_use"`
	Way     string `json:"way"`     // connect, socket, data-dir
	Address string `json:"address"` // of the way; "" for the default data directory
	Error   string `json:"error,omitempty"`
}

func (a *app) contextListVerb() verb {
	return verb{
		use: "ls", short: "List contexts, and say which one is in use",
		examples: []string{"troupe context ls", "the one in use has a star", "troupe context ls -o json", "for scripts"},
		exits:    exitsContext, settle: settleEnv,
		run: func(context.Context, []string) error {
			used, _ := a.contextName()
			list := []namedContext{{Name: localContext, Way: "data-dir"}}
			for _, name := range a.contexts() {
				c := namedContext{Name: name}
				file, err := a.readContext(name)
				if err != nil {
					c.Error = err.Error()
				}
				for _, way := range places {
					if e, ok := file.Lookup(way); ok && len(e.Texts) > 0 {
						c.Way, c.Address = way, e.Texts[0]
						break
					}
				}
				list = append(list, c)
			}
			for i := range list {
				list[i].InUse = list[i].Name == used
			}
			if a.json() {
				a.printJSON(map[string]any{"contexts": list})
				return nil
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "\tCONTEXT\tBY\tADDRESS")
			for _, c := range list {
				star := ""
				if c.InUse {
					star = "*"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", star, c.Name, cmp.Or(c.Way, "-"), cmp.Or(oneLine(c.Address), oneLine(c.Error), "-"))
			}
			_ = w.Flush()
			return nil
		},
	}
}

func (a *app) completeContexts([]string) []string {
	return append([]string{localContext}, a.contexts()...)
}

func (a *app) contextUseVerb() verb {
	return verb{
		use: "use NAME", short: "Talk to the host of a context from now on",
		long:     "local is the host of the data directory. TROUPE_CONTEXT and --context still beat it.",
		examples: []string{"troupe context use prod", "from now on", "troupe context use local", "as it was at first"},
		exits:    exitsContext, args: exactly(1, "a name"), complete: a.completeContexts, settle: settleEnv,
		run: func(_ context.Context, args []string) error {
			if _, err := a.readContext(args[0]); err != nil {
				return err
			}
			dir, err := a.contextDir()
			if err != nil {
				return err
			}
			if used := a.getenv(settings.EnvName("context")); used != "" && used != args[0] {
				a.note(settings.EnvName("context") + " names another one, " + used + ", and beats it")
			}
			return writePrivate(filepath.Join(dir, contextInUse), []byte(args[0]+"\n"))
		},
	}
}

func (a *app) contextRemoveVerb() verb {
	return verb{
		use: "rm NAME...", short: "Forget contexts",
		long:     "One that is in use is forgotten, too; then the local one is.",
		examples: []string{"troupe context rm prod", "the files that it names stay"},
		exits:    with(exitsContext, exitSome), args: atLeast(1, "one or more names"), complete: a.completeContexts, settle: settleEnv,
		run: func(_ context.Context, args []string) error {
			dir, err := a.contextDir()
			if err != nil {
				return err
			}
			errs := make([]error, len(args))
			for i, name := range args {
				if errs[i] = a.removeContext(dir, name); errs[i] != nil && len(args) > 1 {
					a.printFailure("rm", name, errs[i])
				}
			}
			return together(errs)
		},
	}
}

func (a *app) removeContext(dir, name string) error {
	if err := checkContextName(name); err != nil {
		return err
	}
	if name == localContext {
		return usage("context local", "it is the host of the data directory, and always there")
	}
	err := os.Remove(filepath.Join(dir, name+contextSuffix))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.CallerNotFound, "context", strconv.Quote(name), nil).WithHint("'troupe context ls' shows what there is")
	case err != nil:
		return fileError(name, err)
	}
	used, err := os.ReadFile(filepath.Join(dir, contextInUse))
	if err == nil && strings.TrimSpace(string(used)) == name {
		_ = os.Remove(filepath.Join(dir, contextInUse))
	}
	return nil
}
