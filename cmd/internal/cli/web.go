package cli

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/cmd/internal/webui"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/bundle"
	"github.com/troupehost/troupe/host/control/client"
)

// webFlags are the flags of 'web'.
type webFlags struct {
	listen, bundle string
	idle           span
	open           bool
}

// link is what 'web' prints with -o json.
type link struct {
	URL  string    `json:"url"`
	Ends time.Time `json:"valid_until"`
}

const linkLife = 2 * time.Minute // as package webui has it

func (a *app) webVerb() verb {
	f := &webFlags{}
	return verb{
		use: "web [flags]", short: "Show the host in a browser",
		long: "Prints a link that works once and for two minutes, and shows the console to the browser that opens it, until Ctrl-C. Nobody else on " +
			"this machine can use it. It may do what the caller may do, and goes the same way.",
		examples: []string{
			"troupe web", "print the link, and show the host of 'troupe serve'",
			"troupe web --open", "and open it",
			"troupe web --bundle crash.troupe", "look at what a host showed before",
			"ssh -L 8811:127.0.0.1:8811 node-7 troupe web --listen 127.0.0.1:8811", "from another machine",
		},
		exits: with(exitsHost, exitNotFound),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&f.listen, "ADDR"}, "listen", "listen on this loopback address and port (default 127.0.0.1 and any port)")
			fs.Var(word{&f.bundle, "FILE"}, "bundle", "show a bundle of 'troupe node snapshot' in place of a host")
			fs.Var(&f.idle, "idle", "end after so long without a request (default 1h)")
			fs.BoolVar(&f.open, "open", false, "open the link in the browser of this desktop")
		},
		run: func(ctx context.Context, _ []string) error {
			if f.bundle != "" {
				return a.webBundle(ctx, f)
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error { return a.web(ctx, f, n.Transport()) })
		},
	}
}

func (a *app) web(ctx context.Context, f *webFlags, host http.RoundTripper) error {
	dir := ""
	defer func() {
		if dir != "" {
			_ = os.RemoveAll(dir)
		}
	}()
	err := webui.Serve(ctx, webui.Options{Host: host, ReadOnly: f.bundle != "", Addr: f.listen, Idle: time.Duration(f.idle), Tell: func(n webui.Notice) {
		if n.Kind != webui.NoticeLink {
			a.note(n.Text)
			return
		}
		if a.json() {
			a.printJSON(link{n.Link, time.Now().Add(linkLife).UTC().Truncate(time.Second)})
		} else {
			fmt.Fprintln(a.out, n.Link)
			a.note(n.Text + "; Ctrl-C ends the console")
		}
		if f.open {
			if dir != "" {
				_ = os.RemoveAll(dir)
			}
			var err error
			if dir, err = a.openLink(n.Link); err != nil {
				a.note("no browser was started: " + err.Error())
			}
		}
	}})
	if err == nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), fault.CanceledCaller) {
		err = fault.From(context.Cause(ctx))
	}
	return err
}

// webBundle shows a bundle by a server of its own, which nothing else can reach.
func (a *app) webBundle(ctx context.Context, f *webFlags) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	file, err := os.Open(f.bundle)
	if err != nil {
		return fault.New(fault.CallerNotFound, "open", fault.Quote(f.bundle), reason(err))
	}
	b, err := bundle.Read(file)
	_ = file.Close()
	if err != nil {
		return err
	}
	listener, dial := control.Pair()
	server := control.New(bundle.Host(b), control.Options{Version: host.Version, Log: zerolog.Nop()})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	defer func() {
		_ = server.Close()
		<-ended
	}()
	return a.web(ctx, f, client.Over(dial).Transport())
}

// forward leads a browser to the link. The link is a secret, and what is on a command line is none: all users of a machine can read it.
var forward = template.Must(template.New("").Parse(`<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Troupe</title><meta http-equiv="refresh" content="0; url={{.}}"><a href="{{.}}">Troupe</a>
`))

// openLink starts the browser of the desktop with a file that only this user can read; the caller removes the directory.
func (a *app) openLink(url string) (dir string, err error) {
	if dir, err = os.MkdirTemp(a.getenv("XDG_RUNTIME_DIR"), "troupe-web-"); err != nil {
		return "", reason(err)
	}
	name := filepath.Join(dir, "open.html")
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = forward.Execute(out, url)
		err = errors.Join(err, out.Close())
	}
	if err != nil {
		return dir, reason(err)
	}
	c := exec.Command("xdg-open", name)
	if err := c.Start(); err != nil {
		return dir, reason(err)
	}
	go func() { _ = c.Wait() }()
	return dir, nil
}
