package tui

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
	"github.com/troupehost/troupe/host/control/client"
	"github.com/troupehost/troupe/testdata/hostile"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// bench drives a Model without a terminal: what it wants done is done at once by a bundle, all by one clock.
type bench struct {
	t       *testing.T
	m       *Model
	b       *api.Bundle
	rights  []api.Right
	now     time.Time
	view    watch // that is watched
	done    []effect
	applied []api.Wish
	wish    api.Wish
}

func newBench(t *testing.T, b *api.Bundle, w, h int, view, q string, rights ...api.Right) *bench {
	t.Helper()
	if rights == nil {
		rights = api.Rights
	}
	k := &bench{t: t, b: b, rights: rights, now: bundletest.At}
	m, first := NewModel(Mono, view, q, "", k.now)
	k.m = m
	k.step(resized{w, h})
	k.run(first)
	return k
}

func (k *bench) step(in message) { k.run(k.m.Step(k.now, in)) }

func (k *bench) run(all []effect) {
	k.done = append(k.done, all...)
	for _, e := range all {
		switch e := e.(type) {
		case ask:
			k.step(known{me: api.Me{Caller: "uid:1000", Rights: k.rights, Boot: k.b.Host.Boot, Host: k.b.Host.Name}})
		case watch:
			if !e.head {
				k.view = e
			}
			f, err := frameOf(k.b, e.view, e.find)
			if err != nil {
				k.step(broken{e.gen, e.head, "", err})
				continue
			}
			k.step(framed{e.gen, e.head, f})
		case load:
			v, err := details(k.t.Context(), newFake(k.b), e)
			k.step(loaded{e.gen, e.what, e.id, v, err})
		case makePlan:
			k.wish = e.wish
			k.step(planned{e.seq, planOf(e.wish), nil})
		case applyPlan:
			k.applied = append(k.applied, k.wish)
			k.step(operated{e.seq, api.Operation{ID: "op", Verb: k.wish.Verb, State: "running"}, nil})
		case trace:
			_ = bundle.Host(k.b).Trace(k.t.Context(), e.filter, func(t inspect.Trace) error {
				k.step(traced{e.gen, t})
				return nil
			})
		}
	}
}

// keys presses keys by name, and types what is in quotes.
func (k *bench) keys(names ...string) *bench {
	for _, n := range names {
		if text, ok := strings.CutPrefix(n, "'"); ok {
			for _, r := range text {
				k.step(pressed{string(r), string(r)})
			}
			continue
		}
		text := ""
		if len([]rune(n)) == 1 {
			text = n
		}
		k.step(pressed{n, text})
	}
	return k
}

func (k *bench) text() string { return strings.Join(k.m.Frame().lines, "\n") }

func (k *bench) sees(want ...string) {
	k.t.Helper()
	for _, w := range want {
		if !strings.Contains(k.text(), w) {
			k.t.Errorf("%q is not on the screen:\n%s", w, k.text())
		}
	}
}

func (k *bench) seesNot(want ...string) {
	k.t.Helper()
	for _, w := range want {
		if strings.Contains(k.text(), w) {
			k.t.Errorf("%q is on the screen:\n%s", w, k.text())
		}
	}
}

var sizes = []struct{ w, h int }{{80, 24}, {160, 50}}

// scenes are the screens of the golden frames.
var scenes = map[string]func(k *bench){
	"overview": nil, "tree": nil, "actors": nil, "jobs": nil, "queues": nil, "artifacts": nil, "workers": nil, "guests": nil,
	"dead": nil, "failures": nil, "chain": nil, "outbox": nil, "demands": nil, "apps": nil, "health": nil, "log": nil, "audit": nil,
	"trace":        func(k *bench) { k.keys(":", "'actors", "enter", "/", "'path~execute", "enter", "t") },
	"help":         func(k *bench) { k.keys("?") },
	"frozen":       func(k *bench) { k.keys("3", "f"); k.now = k.now.Add(90 * time.Second); k.step(ticked{}) },
	"empty":        func(k *bench) { k.keys("3", "/", "'state=stopping", "enter") },
	"query-error":  func(k *bench) { k.keys("3", "/", "'state=busy nonsense>5") },
	"query-help":   func(k *bench) { k.keys("3", "/", "'state=b", "tab") },
	"command":      func(k *bench) { k.keys(":", "'actor ") },
	"reason":       func(k *bench) { k.keys("3", "/", "'path~worker-12", "enter", "K") },
	"confirm-kill": func(k *bench) { k.keys("3", "/", "'path~worker-12", "enter", "K", "'it spins", "enter", "'work") },
	"confirm-bulk": func(k *bench) { k.keys("4", "*", "K", "'not needed", "enter") },
	"tracked":      func(k *bench) { k.keys("3", "/", "'path~worker-12", "enter", "R", "enter") },
	"actor":        func(k *bench) { k.keys("3", "/", "'path~follower", "enter", "enter") },
	"mailbox":      func(k *bench) { k.keys("3", "/", "'path~follower", "enter", "m") },
	"flights":      func(k *bench) { k.keys("3", "/", "'path~worker-13", "enter", "e") },
	"job":          func(k *bench) { k.keys("4", "/", "'id~SPIN", "enter", "enter") },
	"explain":      func(k *bench) { k.keys("4", "/", "'id~WAIT000000000000000BB", "enter", "w") },
	"worker":       func(k *bench) { k.keys("7", "enter") },
	"cause":        func(k *bench) { k.keys("8", "t", "enter") },
	"json":         func(k *bench) { k.keys("6", "o") },
	"sort-change":  func(k *bench) { k.keys("3", "s", "s", "s", "s", "s", "s") },
	"denied":       nil, // see below
	"disconnected": func(k *bench) {
		k.keys("3")
		k.step(broken{k.view.gen, false, "", fault.New(fault.CallerUnreachable, "connect", "/run/troupe.sock", nil)})
		k.now = k.now.Add(7 * time.Second)
		k.step(ticked{})
	},
	"unreachable": func(k *bench) {
		k.m.list, k.m.shown = list{}, nil
		k.m.here.view = k.m.spec("jobs")
		k.step(broken{k.m.gen, false, "", fault.New(fault.CallerUnreachable, "connect", "/run/troupe.sock", nil).WithHint("start one with 'troupe serve'")})
	},
	"restarted": func(k *bench) {
		k.keys("3")
		f, _ := frameOf(k.b, "actors", client.Find{})
		f.Boot = "5eed0002"
		k.step(framed{k.view.gen, false, f})
	},
}

// TestGoldenFrames: each view and each state of it, at the smallest size that is promised and at a large one.
func TestGoldenFrames(t *testing.T) {
	for name, play := range scenes {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s-%dx%d", name, size.w, size.h), func(t *testing.T) {
				var rights []api.Right
				view := name
				if name == "denied" {
					rights, view = []api.Right{api.View}, "actors"
				}
				k := newBench(t, bundletest.Rich(0), size.w, size.h, view, "", rights...)
				if play != nil {
					play(k)
				}
				var got strings.Builder
				for _, l := range k.m.Frame().lines {
					got.WriteString(strings.TrimRight(l, " ") + "\n")
				}
				file := filepath.Join("testdata", "golden", fmt.Sprintf("%s-%dx%d.txt", name, size.w, size.h))
				if *update {
					if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
					t.Errorf("pass -update if this is meant: %s", diff)
				}
			})
		}
	}
}

// hostileNames are all texts of the corpus.
func hostileNames() (names []string) {
	for _, c := range hostile.Cases() {
		names = append(names, c.Text)
	}
	return names
}

// TestFrameFits: no frame has more or wider lines than the terminal, however small it is, whatever is shown, and whatever names are.
func TestFrameFits(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names := hostileNames()
	for name, play := range scenes {
		for _, size := range []struct{ w, h int }{{20, 5}, {1, 1}, {21, 6}, {33, 9}, {40, 12}, {300, 100}, {20 + random.IntN(281), 5 + random.IntN(96)}, {20 + random.IntN(281), 5 + random.IntN(96)}} {
			for looks := Colour; looks <= Mono; looks++ {
				k := newBench(t, bundletest.Rich(30, names...), size.w, size.h, name, "")
				k.m.looks = looks
				if play != nil {
					play(k)
				}
				checkFrame(t, fmt.Sprintf("%s at %dx%d, looks %d", name, size.w, size.h, looks), k.m, size.w, size.h)
			}
		}
	}
}

func checkFrame(t *testing.T, what string, m *Model, w, h int) {
	t.Helper()
	f := m.Frame()
	if len(f.lines) != h {
		t.Errorf("%s: %d lines", what, len(f.lines))
	}
	for i, l := range f.lines {
		if n := ansi.StringWidth(l); n > w {
			t.Errorf("%s: line %d has %d cells by grapheme: %q", what, i, n, l)
		}
		bare := l
		for _, s := range sgr {
			for _, code := range s {
				if code != "" {
					bare = strings.ReplaceAll(bare, code, "")
				}
			}
		}
		bare = strings.ReplaceAll(bare, unstyled, "")
		if n := width(bare); n > w {
			t.Errorf("%s: line %d has %d cells: %q", what, i, n, bare)
		}
		if err := hostile.Inert(bare, 1<<20); err != nil {
			t.Errorf("%s: line %d: %v: %q", what, i, err, bare)
		}
	}
	if f.cursorX >= w || f.cursorX >= 0 && f.cursorY >= h {
		t.Errorf("%s: cursor at %d, %d", what, f.cursorX, f.cursorY)
	}
}

// TestSafe: what passes has the width that it is said to have, by runes and by graphemes.
func TestSafe(t *testing.T) {
	for _, c := range hostile.Cases() {
		s := safe(c.Text)
		if err := hostile.Inert(s, 2*fault.MaxQuoted); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
		if a, b := width(s), ansi.StringWidth(s); a != b {
			t.Errorf("%s: %d cells, %d by grapheme: %q", c.Name, a, b, s)
		}
		for n := range 30 {
			if got := width(pad(s, n, n%2 == 0)); got != n {
				t.Errorf("%s padded to %d has %d: %q", c.Name, n, got, pad(s, n, false))
			}
			if got := width(cutLeft(s, n)); got > n {
				t.Errorf("%s cut to %d has %d", c.Name, n, got)
			}
		}
	}
}

// TestColumns: what a view sorts by, the host knows.
func TestColumns(t *testing.T) {
	b := bundletest.Rich(0)
	for _, s := range specs() {
		if s.watch == "" || s.columns == nil {
			continue
		}
		for i, c := range s.columns {
			if c.field == "" {
				continue
			}
			m := &Model{here: place{view: s, sort: i}}
			if _, err := frameOf(b, s.watch, client.Find{Sort: m.sortField()}); err != nil {
				t.Errorf("%s: %s: %v", s.name, c.head, err)
			}
		}
		m := &Model{here: place{view: s, sort: -1}}
		if _, err := frameOf(b, s.watch, client.Find{Sort: m.sortField()}); err != nil {
			t.Errorf("%s at first: %v", s.name, err)
		}
	}
}

// TestBadRow: a row that cannot be read does not take the others with it.
func TestBadRow(t *testing.T) {
	k := newBench(t, bundletest.Rich(0), 80, 24, "jobs", "")
	k.step(framed{k.view.gen, false, api.Frame{Full: true, Matched: 2, Total: 2, Boot: k.b.Host.Boot, At: k.b.At, Rows: []api.Row{{ID: "x", Row: json.RawMessage(`[1`)}, {ID: "y", Row: json.RawMessage(`{"id":"y","state":"queued"}`)}}}})
	if len(k.m.shown) != 1 {
		t.Errorf("%d rows", len(k.m.shown))
	}
	k.sees("1 rows could not be read")
}
