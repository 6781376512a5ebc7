package tui

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host/control/api"
)

// command goes to a view, or does what a verb of the command line does.
func (m *Model) command(text string) []effect {
	text = strings.TrimPrefix(text, "troupe ")
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "":
		return nil
	case "q", "quit", "exit":
		return []effect{quit{}}
	case "help":
		m.help = true
		return nil
	case "output":
		m.showPrinted()
		return nil
	case "bundle":
		if file, ok := strings.CutPrefix(rest, "open "); ok {
			rest = file
		}
		if rest == "" {
			m.say("name the file of a bundle, as in :bundle troupe.bundle", warn)
			return nil
		}
		return []effect{openFile{strings.TrimSpace(rest)}}
	case "explain":
		if rest == "" {
			return m.look("w")
		}
		return m.openThing(m.kindOf(rest), rest, nil, "why")
	case "trace":
		if rest == "" {
			break
		}
		return m.traceBy(rest)
	}
	if s := m.spec(word); s != nil && !m.verbOfLine(text) {
		return m.goTo(s, rest)
	}
	action, ids, _ := strings.Cut(rest, " ")
	for _, v := range api.Verbs {
		if v.Name == word || v.Kind == word && v.Action == action {
			if v.Name == word {
				ids = rest
			}
			return m.wishFor(v, words(ids))
		}
	}
	if action == "trace" && word == "actor" && !strings.Contains(ids, "--") {
		return m.traceBy(ids)
	}
	return m.runVerb(text)
}

// verbOfLine tells 'chain blocks', a verb, from 'chain', a view.
func (m *Model) verbOfLine(text string) bool {
	return slices.ContainsFunc(m.more, func(name string) bool {
		return strings.Contains(name, " ") && (text == name || strings.HasPrefix(text, name+" "))
	})
}

func (m *Model) goTo(s *spec, q string) []effect {
	if q != "" {
		name := s.name
		if name == "tree" {
			name = "actors"
		}
		if _, err := query.Parse(name, q, m.now); err != nil {
			m.openPrompt("/", q)
			m.prompt.view = name
			m.prompt.check(m.now)
			return nil
		}
	}
	return m.visit(place{view: s, query: q, sort: -1})
}

// kindOf guesses what an id is of, for the tabs of its screen.
func (m *Model) kindOf(id string) string {
	for _, r := range m.shown {
		if kind, of := m.subject(m.here.view, r); of == id && kind != "" {
			return kind
		}
	}
	switch {
	case strings.Contains(id, "/"):
		return "actor"
	case len(id) == 26:
		return "job"
	}
	return "thing"
}

// runVerb has the program do what was typed, without a terminal, and shows what it prints.
func (m *Model) runVerb(text string) []effect {
	all := words(text)
	switch {
	case len(all) == 0:
		return nil
	case m.offline != "":
		m.say("a snapshot knows only views: see tab, or ?", warn)
		return nil
	case slices.Contains([]string{"top", "serve", "dev", "web"}, all[0]):
		m.say("'"+all[0]+"' cannot be typed here: it goes on until it is ended, and wants a terminal of its own", warn)
		return nil
	}
	m.seq++
	m.verb = m.seq
	m.say("troupe "+text+" …", normal)
	return []effect{runs{m.seq, all}}
}

// ended shows what a verb has printed.
func (m *Model) verbEnded(in ran) {
	if in.seq != m.verb {
		return
	}
	m.verb, m.toast = 0, ""
	if in.text == "" {
		how := good
		if in.code != 0 {
			how = bad
		}
		m.say("troupe "+strings.Join(in.words, " ")+": exit code "+strconv.Itoa(in.code), how)
		return
	}
	m.rawTitle = "troupe " + safe(strings.Join(in.words, " "))
	if in.code != 0 {
		m.rawTitle += "  exit code " + strconv.Itoa(in.code)
	}
	m.raw, m.rawTop, m.printing = nil, 0, false
	for l := range strings.SplitSeq(strings.TrimRight(in.text, "\n"), "\n") {
		m.raw = append(m.raw, safeLine(strings.ReplaceAll(l, "\t", "  ")))
	}
}

// words splits what was typed at spaces, except in quotes.
func words(s string) (all []string) {
	var b strings.Builder
	quote, in := rune(0), false
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, in = r, true
		case quote == 0 && r == ' ':
			if in {
				all = append(all, b.String())
				b.Reset()
				in = false
			}
		default:
			b.WriteRune(r)
			in = true
		}
	}
	if in {
		all = append(all, b.String())
	}
	return all
}

const traceTakes = ":trace PATH|CAUSE kind=K type=T min=1ms rows=1000 for=1m sample=10 refused"

// traceBy begins a trace by what was typed.
func (m *Model) traceBy(text string) []effect {
	f := inspect.TraceFilter{Rows: traceRows, ForMicros: traceFor.Microseconds()}
	for _, w := range words(text) {
		name, value, named := strings.Cut(w, "=")
		ok := true
		number := func(most int) int {
			n, err := strconv.Atoi(value)
			ok = err == nil && n > 0 && n <= most
			return n
		}
		span := func() int64 {
			d, err := time.ParseDuration(value)
			ok = err == nil && d > 0 && d <= time.Hour
			return d.Microseconds()
		}
		switch {
		case !named && w == "refused":
			f.Refused = true
		case !named && isCause(w), name == "cause":
			f.Cause = w[strings.IndexByte(w, '=')+1:]
			ok = isCause(f.Cause)
		case !named, name == "actor", name == "path":
			f.Actor = w[strings.IndexByte(w, '=')+1:]
		case name == "kind":
			f.Kind = value
		case name == "type":
			f.Type = value
		case name == "min":
			f.MinMicros = span()
		case name == "rows":
			f.Rows = number(100_000)
		case name == "for":
			f.ForMicros = span()
		case name == "sample":
			f.Sample = number(1 << 20)
		default:
			ok = false
		}
		if !ok {
			m.say("not understood: "+w+" - "+traceTakes, warn)
			return nil
		}
	}
	return m.traceWith(f, "")
}

func isCause(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16
}

// traceWith begins a trace, and goes where it is seen. Of a job whose cause is not known yet it is looked up first.
func (m *Model) traceWith(f inspect.TraceFilter, job string) []effect {
	m.seq++
	m.tracing = tracing{gen: m.seq, filter: f, began: m.now}
	out := []effect{trace{m.seq, f, job}}
	if m.here.view.name == "trace" && m.here.open == nil {
		m.show()
		return out
	}
	return append(out, m.visit(place{view: m.spec("trace"), sort: -1})...)
}
