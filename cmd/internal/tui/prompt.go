package tui

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host/control/api"
)

const maxHistory = 100

// editor is one line that is typed.
type editor struct {
	text   string
	cursor int // in bytes
}

func (e *editor) insert(text string) {
	text = strings.Map(func(r rune) rune {
		if r < 0x20 || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)
	if len(e.text)+len(text) > 1024 {
		return
	}
	e.text = e.text[:e.cursor] + text + e.text[e.cursor:]
	e.cursor += len(text)
}

func (e *editor) set(text string) { e.text, e.cursor = text, len(text) }

// key edits; it reports whether it knew the key.
func (e *editor) key(in pressed) bool {
	_, before := utf8.DecodeLastRuneInString(e.text[:e.cursor])
	_, behind := utf8.DecodeRuneInString(e.text[e.cursor:])
	switch in.key {
	case "backspace", "ctrl+h":
		e.text = e.text[:e.cursor-before] + e.text[e.cursor:]
		e.cursor -= before
	case "delete", "ctrl+d":
		e.text = e.text[:e.cursor] + e.text[e.cursor+behind:]
	case "left", "ctrl+b":
		e.cursor -= before
	case "right", "ctrl+f":
		e.cursor += behind
	case "home", "ctrl+a":
		e.cursor = 0
	case "end", "ctrl+e":
		e.cursor = len(e.text)
	case "ctrl+u":
		e.text, e.cursor = e.text[e.cursor:], 0
	case "ctrl+k":
		e.text = e.text[:e.cursor]
	case "ctrl+w":
		head := strings.TrimRight(e.text[:e.cursor], " ")
		head = head[:strings.LastIndexByte(head, ' ')+1]
		e.text, e.cursor = head+e.text[e.cursor:], len(head)
	default:
		if in.text == "" {
			return false
		}
		e.insert(in.text)
	}
	return true
}

// prompt is the line below the bar while a filter or a command is typed.
type prompt struct {
	editor
	sign   string // "/" or ":"
	view   string // of the filter
	column int    // of an error, from 1; 0: none
	wrong  string
	tried  bool // enter was pressed: the error is shown, not how to go on
	offers []query.Suggestion
	offer  int // the one that tab took; -1: none
	back   int // in the history: 0 is what is typed
	typed  string
	all    []string // history
	words  []string // that a command may begin with
}

func (m *Model) openPrompt(sign, text string) {
	p := &prompt{sign: sign, view: m.here.view.name, offer: -1, all: m.past1[sign]}
	if p.view == "tree" {
		p.view = "actors"
	}
	p.set(text)
	for _, s := range m.specs {
		p.words = append(p.words, s.name)
	}
	p.words = append(p.words, "bundle", "explain", "help", "quit")
	p.words = append(p.words, m.more...)
	for _, v := range api.Verbs {
		if m.can(v.Right) {
			p.words = append(p.words, v.Kind+" "+v.Action)
		}
	}
	p.check(m.now)
	m.prompt = p
}

// check looks for an error in a filter, and for ways to go on.
func (p *prompt) check(now time.Time) {
	p.offers, p.offer, p.tried = nil, -1, false
	p.judge(now)
	if p.sign == ":" {
		for _, w := range p.words {
			if strings.HasPrefix(w, p.text) && p.text != "" && len(p.offers) < query.MaxSuggestions {
				p.offers = append(p.offers, query.Suggestion{Text: w, From: 0, To: len(p.text)})
			}
		}
		return
	}
	p.offers = query.Complete(p.view, p.text, p.cursor)
}

// judge looks for an error in a filter.
func (p *prompt) judge(now time.Time) {
	p.wrong, p.column = "", 0
	if p.sign == ":" {
		return
	}
	if _, err := query.Parse(p.view, p.text, now); err != nil {
		p.wrong = err.Error()
		if e, ok := errors.AsType[*query.Error](err); ok {
			p.column, p.wrong = e.Column, e.Say
			if e.Near != "" {
				p.wrong += "; did you mean " + e.Near + "?"
			}
		}
	}
}

// complete takes the next way to go on.
func (p *prompt) complete(step int) {
	if len(p.offers) == 0 {
		return
	}
	p.offer = (p.offer + step + len(p.offers)) % len(p.offers)
	o := p.offers[p.offer]
	p.text = p.text[:o.From] + o.Text + p.text[min(o.To, len(p.text)):]
	p.cursor = o.From + len(o.Text)
	for i := range p.offers {
		p.offers[i].To = p.cursor
	}
}

func (p *prompt) recall(step int) {
	if p.back == 0 {
		p.typed = p.text
	}
	p.back = max(0, min(len(p.all), p.back+step))
	if p.back == 0 {
		p.set(p.typed)
		return
	}
	p.set(p.all[len(p.all)-p.back])
}

// pressPrompt handles a key while something is typed.
func (m *Model) pressPrompt(in pressed) []effect {
	p := m.prompt
	switch in.key {
	case "esc", "ctrl+c":
		m.prompt = nil
		return nil
	case "enter":
		return m.enterPrompt()
	case "tab":
		p.complete(1)
		p.judge(m.now)
		return nil
	case "shift+tab":
		p.complete(-1)
		p.judge(m.now)
		return nil
	case "up", "ctrl+p":
		p.recall(1)
	case "down", "ctrl+n":
		p.recall(-1)
	default:
		if !p.key(in) {
			return nil
		}
	}
	p.check(m.now)
	return nil
}

func (m *Model) enterPrompt() []effect {
	p := m.prompt
	if p.tried = true; p.wrong != "" {
		return nil // it stays, with its error
	}
	text := strings.TrimSpace(p.text)
	if text != "" {
		m.past1[p.sign] = append(slices.DeleteFunc(m.past1[p.sign], func(s string) bool { return s == text }), text)
		if n := len(m.past1[p.sign]); n > maxHistory {
			m.past1[p.sign] = m.past1[p.sign][n-maxHistory:]
		}
	}
	m.prompt = nil
	if p.sign == ":" {
		return m.command(text)
	}
	if text == m.here.query {
		return nil
	}
	next := m.here
	next.query = text
	return m.visit(next)
}
