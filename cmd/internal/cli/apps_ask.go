package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

func (a *app) appQueryVerb() verb {
	var (
		input, signature string
		timeout          span
		priority         = choice{"", priorities}
	)
	return verb{
		use: "query [flags] ADDRESS [PATH]", short: "Ask an app something and print its reply",
		long: `The reply goes to stdout as it is; the receipt of the run, if one was made for the query, to stderr. Without --input the
payload is empty.`,
		examples: []string{
			"troupe app query 3f9a2c /hello", hintAddress,
			"date | troupe app query --input - 3f9a2c", "a payload from stdin, and no path",
		},
		exits: with(exitsCode, exitConflict), complete: a.completeApps,
		args: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage("'"+c.CommandPath()+"' takes an address of an app, and a path", seeHelp(c))
			}
			return nil
		},
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&input, "FILE"}, "input", "the payload; - is stdin (default none)")
			fs.Var(word{&signature, "FILE"}, "signature", "the signature of who asks, as host/internal/origin has it (default none: the app is told no name)")
			fs.Var(&priority, "priority", "of the preparation and the run, if there is need (default high)")
			fs.Var(&timeout, "timeout", "give up after D (default: when the app's time for a query is over)")
		},
		run: func(ctx context.Context, args []string) error {
			ctx, cancel := within(ctx, timeout)
			defer cancel()
			q := client.Query{Priority: priority.value}
			if len(args) == 2 {
				q.Path = args[1]
			}
			var err error
			if q.Payload, err = a.readInput(ctx, input); err != nil {
				return err
			}
			if signature != "" {
				if q.Signature, err = a.readInput(ctx, signature); err != nil {
					return err
				}
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error { return a.query(ctx, n, args[0], q) })
		},
	}
}

func (a *app) query(ctx context.Context, n *node, address string, q client.Query) error {
	var err error
	if q.Address, err = resolveApp(ctx, n, address); err != nil {
		return err
	}
	reply, err := n.Query(ctx, q)
	if err != nil {
		return err
	}
	if a.json() {
		a.printJSON(reply)
	} else {
		a.printResult(reply.Output, "")
	}
	if reply.Receipt != nil {
		return a.verdict(*reply.Receipt)
	}
	return nil
}

func (a *app) appLogsVerb() verb {
	var (
		follow bool
		last   = 1000
	)
	return verb{
		use: "logs [flags] ADDRESS", short: "Print what an app said",
		long: `Each line is a time, a level, an instance and a text; what a guest prints to stdout has the level info, to stderr
warn. The log is a ring: when it is full the oldest lines go, and a note says how much was lost. With -f, JSON is one object for each
line.`,
		examples: []string{
			"troupe app logs -n 20 3f9a2c", "the last lines; " + hintAddress,
			"troupe app logs -f 3f9a2c", "go on until Ctrl-C",
		},
		exits: with(exitsHost, exitNotFound, exitConflict), args: exactly(1, "one address of an app"), complete: a.completeApps,
		flags: func(fs *pflag.FlagSet) {
			fs.BoolVarP(&follow, "follow", "f", false, "wait for more")
			fs.VarP(count{p: &last}, "lines", "n", "at most the last N lines")
		},
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				address, err := resolveApp(ctx, n, args[0])
				if err != nil {
					return err
				}
				return a.logs(ctx, n, address, last, follow)
			})
		},
	}
}

// logs prints the last lines, and with follow those that come.
func (a *app) logs(ctx context.Context, n *node, address string, last int, follow bool) error {
	log, err := lastLines(ctx, n, address, last)
	if err != nil {
		return err
	}
	var after uint64
	if len(log.Lines) > 0 {
		after = log.Lines[len(log.Lines)-1].Seq
	}
	if a.json() && !follow {
		a.printJSON(log)
		return nil
	}
	if log.Dropped > 0 {
		a.note(bytesText(log.Dropped) + " of this log are lost")
	}
	for {
		a.printLines(log.Lines)
		if !follow || a.out.err != nil {
			return nil
		}
		page, err := n.AppLog(ctx, address, after, api.MaxLogLines, api.MaxWait)
		switch {
		case err != nil && ctx.Err() != nil: // told to stop, which is how this ends
			return nil
		case err != nil:
			return err
		}
		if lost := page.Dropped - min(log.Dropped, page.Dropped); lost > 0 {
			a.note(bytesText(lost) + " more of this log are lost")
		}
		log = page
		if n := len(log.Lines); n > 0 {
			after = log.Lines[n-1].Seq
		}
	}
}

// lastLines returns the newest lines. More than a reply has are asked for from where they begin, which their numbers tell.
func lastLines(ctx context.Context, n *node, address string, last int) (api.AppLog, error) {
	log, err := n.AppLog(ctx, address, 0, min(last, api.MaxLogLines), 0)
	if err != nil || len(log.Lines) < api.MaxLogLines || last == len(log.Lines) {
		return log, err
	}
	first := log.Lines[0].Seq
	after := uint64(1) // 0 means the newest
	if missing := uint64(last - len(log.Lines)); first > missing+1 {
		after = first - missing - 1
	}
	var older []host.LogLine
	for after+1 < first {
		page, err := n.AppLog(ctx, address, after, api.MaxLogLines, 0)
		if err != nil {
			return log, err
		}
		before := after
		for _, l := range page.Lines {
			if l.Seq < first {
				older, after = append(older, l), max(after, l.Seq)
			}
		}
		if after == before { // there are no more
			break
		}
	}
	log.Lines = append(older, log.Lines...)
	return log, nil
}

func (a *app) printLines(lines []host.LogLine) {
	var b bytes.Buffer
	for _, l := range lines {
		if a.json() {
			text, _ := json.Marshal(l) // it can be encoded
			b.Write(escapeUnprintable(text))
			b.WriteByte('\n')
			continue
		}
		instance := ""
		if l.Instance > 0 {
			instance = fmt.Sprintf("%d ", l.Instance)
		}
		fmt.Fprintf(&b, "%s %s %s%s\n", l.At.UTC().Format(time.RFC3339Nano), fault.Quote(l.Level), instance, defused(l.Text))
	}
	_, _ = a.out.Write(b.Bytes()) // a failed write shows in the sink
}

// defused keeps text from the terminal's commands without cutting it, spaces as they are.
func defused(s string) string {
	var b strings.Builder
	r := []rune(strings.ReplaceAll(strings.TrimRight(s, "\r\n"), "\t", "    "))
	for len(r) > 0 {
		n := min(len(r), 50)
		b.WriteString(fault.Quote(string(r[:n])))
		r = r[n:]
	}
	return b.String()
}
