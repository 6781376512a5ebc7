package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// theNode is the id of the host among the targets of plans, theChain that of its chain.
const (
	theNode  = "node"
	theChain = "chain"
)

func (a *app) gcVerb() verb {
	return a.actVerb(deed{name: "node.gc", what: "node", own: theNode}, "Drop old artifacts, and give the room in the databases back")
}

func (a *app) snapshotVerb() verb {
	out := ""
	return verb{
		use: "snapshot [flags]", short: "Write all that the host publishes into one file, to look at later and elsewhere",
		long: `Actors with their flight recorders, jobs with their timelines, workers, queues, dead messages, apps, chain, log, audit log and
configuration, without what callers gave and guests printed. 'troupe bundle open' and 'troupe top --bundle' show it. Prints the name of the file.`,
		examples: []string{
			"troupe node snapshot", "to a file named after the host and the time",
			"troupe node snapshot --out - | ssh desk 'cat >host.bundle'", "to stdout",
		},
		exits: with(exitsHost, exitNotFound),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&out, "FILE"}, "out", "write to FILE; - is stdout (default troupe-HOST-TIME.bundle here)")
		},
		run: func(ctx context.Context, _ []string) error {
			if out == "-" && a.outTerminal {
				return usage("a bundle on a terminal", "pass --out FILE, or send stdout to a file")
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error { return a.snapshot(ctx, n, out) })
		},
	}
}

// saved says which file something was written to. Its JSON form is a contract.
type saved struct {
	File  string `json:"file"`
	Bytes int64  `json:"file_bytes"`
}

func (a *app) snapshot(ctx context.Context, n *node, out string) error {
	p := a.startProgress()
	defer p.stop()
	r, err := n.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if out == "-" {
		p.stop()
		_, err := io.Copy(a.out, whole{ctx, r})
		return err
	}
	if out == "" {
		me, err := n.Me(ctx)
		if err != nil {
			return err
		}
		out = bundleName(cmp.Or(me.Host, "host"), time.Now())
	}
	s := saved{File: out}
	err = toFile(out, func(w io.Writer) error {
		var err error
		s.Bytes, err = io.Copy(w, whole{ctx, r})
		return err
	})
	p.stop()
	switch {
	case err != nil:
		return err
	case a.json():
		a.printJSON(s)
	default:
		fmt.Fprintf(a.out, "%s  %s\n", oneLine(s.File), sizeText(s.Bytes))
	}
	return nil
}

// bundleName is a name without a letter that some file system would not take.
func bundleName(host string, now time.Time) string {
	keep := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}
	return "troupe-" + strings.Map(keep, host[:min(len(host), 64)]) + "-" + now.UTC().Format("20060102T150405Z") + ".bundle"
}

// whole reads what a host sends; a connection that breaks is no end of file, and says so in our words.
type whole struct {
	ctx context.Context
	r   io.Reader
}

func (w whole) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case w.ctx.Err() != nil:
		return n, fault.From(context.Cause(w.ctx))
	}
	return n, fault.New(fault.CallerUnreachable, "control", "the connection broke", reason(err)).WithHint("nothing was kept of what had come: try again")
}

func (a *app) nodeLogVerb() verb {
	f := &find{limit: mostLogged}
	return verb{
		use: "log [flags]", short: "Print the log of the host, the oldest line first",
		long: `Each line is a time, a level, a code, a text and fields. What is logged too often is left out and counted. The log is a ring:
-f goes on, and says how much went by unseen.`,
		examples: []string{
			"troupe node log --selector 'level>=warn since:1h'", "what went wrong lately",
			"troupe node log -f", "go on until Ctrl-C",
		},
		exits: exitsList, view: "log", rows: true,
		flags: func(fs *pflag.FlagSet) {
			f.addSelector(fs, "only lines that match QUERY; see 'troupe help query' (default all)")
			fs.VarP(count{p: &f.limit}, "lines", "n", "at most the last N lines")
			fs.BoolVarP(&f.watch, "follow", "f", false, "wait for more")
		},
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				if f.watch {
					return a.followLog(ctx, n, f)
				}
				p, err := read(ctx, n, logList, f.asked())
				if err != nil {
					return pointed(f, err)
				}
				slices.SortStableFunc(p.Rows, bySeq)
				if a.json() {
					printPage(a, logList, p)
					return nil
				}
				for _, l := range p.Rows {
					a.printLogLine(l)
				}
				return nil
			})
		},
	}
}

const mostLogged = 200 // default of 'node log --lines'

func bySeq(x, y inspect.LogLine) int { return cmp.Compare(x.Seq, y.Seq) }

var logList = listing[inspect.LogLine]{
	view: "log", plural: "lines", id: func(l inspect.LogLine) string { return fmt.Sprint(l.Seq) },
	page: func(c *client.Client, ctx context.Context, f client.Find) (api.Page[inspect.LogLine], error) {
		return c.Log(ctx, f)
	},
}

// followLog prints the last lines, and those that come.
func (a *app) followLog(ctx context.Context, n *node, f *find) error {
	if a.format.value == formJSON {
		return usage("-f with -o json", "what goes on is no single document: pass -o jsonl")
	}
	var last, lost uint64
	_, err := n.Watch(ctx, logList.view, f.asked(), logEvery, "", func(frame api.Frame) error {
		if frame.Dropped > lost {
			a.note(counted(int(min(frame.Dropped-lost, 1<<53)), "line") + " went by unseen")
			lost = frame.Dropped
		}
		lines := make([]inspect.LogLine, len(frame.Rows))
		for i, r := range frame.Rows {
			if err := json.Unmarshal(r.Row, &lines[i]); err != nil {
				return fault.New(fault.BugProtocol, "log", fault.Quote(r.ID), err)
			}
		}
		slices.SortStableFunc(lines, bySeq)
		for _, l := range lines {
			if l.Seq <= last && last > 0 { // of a frame that begins anew
				continue
			}
			last = l.Seq
			if a.json() {
				a.printRow(l, logList.id(l))
			} else {
				a.printLogLine(l)
			}
		}
		return cmp.Or(a.failed, a.out.err)
	})
	if ctx.Err() != nil {
		return a.stopped(ctx)
	}
	return pointed(f, overWith(err))
}

// logEvery is how often a host tells of new lines.
const logEvery = 250 * time.Millisecond

func (a *app) printLogLine(l inspect.LogLine) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %-5s", l.At.UTC().Format("2006-01-02T15:04:05.000Z"), quoted(l.Level, maxCell))
	if l.Code != "" {
		fmt.Fprintf(&b, " %s", quoted(l.Code, maxCell))
	}
	fmt.Fprintf(&b, " %s", quoted(l.Message, maxWords))
	for _, k := range sortedKeys(l.Fields) {
		text, ok := l.Fields[k].(string)
		if !ok {
			v, _ := json.Marshal(l.Fields[k])
			text = string(v)
		}
		fmt.Fprintf(&b, " %s=%s", quoted(k, maxCell), quoted(text, maxCell))
	}
	if l.Suppressed > 0 {
		fmt.Fprintf(&b, " (%d like it left out before)", l.Suppressed)
	}
	b.WriteByte('\n')
	_, _ = a.out.Write(b.Bytes())
}

func (a *app) chainCursorVerb() verb {
	return verb{
		use: "cursor", short: "Show where this host reads the chain: the newest block that it has read, the one that is final, and how far behind it is",
		examples: []string{"troupe chain cursor -o json | jq .lag_blocks", "for a check"},
		exits:    exitsChain,
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				v, err := n.Chain(ctx)
				if err != nil {
					return err
				}
				c := v.Chain
				at := cursor{c.Head, c.HeadHash, c.HeadTime, c.Finalized, c.Tip, c.Lag, c.Forks, c.Connected, c.Waiting}
				if a.json() {
					a.printJSON(at)
					return nil
				}
				a.printFacts([]fact{
					{"head", fmt.Sprintf("%d  %s  %s", at.Head, short(at.Hash), blockClock(at.Time))}, {"finalized", fmt.Sprint(at.Finalized)},
					{"tip", fmt.Sprintf("%d  %s behind", at.Tip, counted(int(min(at.Lag, 1<<53)), "block"))}, {"forks", fmt.Sprintf("%d (total)", at.Forks)}, {"waits for", at.Waiting},
				})
				return nil
			})
		},
	}
}

// cursor is where a chain is read. Its JSON form is a contract.
type cursor struct {
	Head      uint64    `json:"head"`
	Hash      string    `json:"head_hash"`
	Time      time.Time `json:"head_time"`
	Finalized uint64    `json:"finalized"`
	Tip       uint64    `json:"tip"`
	Lag       uint64    `json:"lag_blocks"`
	Forks     uint64    `json:"forks_total"`
	Connected bool      `json:"connected"`
	Waiting   string    `json:"waiting,omitempty"`
}

func (a *app) chainDeed(name, short string) verb {
	return a.actVerb(deed{name: name, what: "chain", own: theChain}, short)
}
