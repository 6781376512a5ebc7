// Package hostile is text that must stay inert wherever it is shown: in the terminal, on the web page, on the command line, in the log.
//
// Purpose: one corpus, corpus.json, for the tests of all that print what guests say, and one check, [Inert], of what they print.
// Only tests import it. Whoever finds a text that gets through adds it to the corpus.
package hostile

import (
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Case is one hostile text.
type Case struct {
	Name string
	Kind string // ansi, control, separator, bidi, invisible, combining, invalid, wide, plain, long, markup, template, csv, json, shell, query
	Why  string // what it does where it is not defused
	Text string // may be invalid UTF-8
}

//go:embed corpus.json
var corpus []byte

var read = sync.OnceValues(func() ([]Case, error) {
	var file struct {
		Format int `json:"format"`
		Cases  []struct {
			Name, Kind, Why, Before, Text, Hex, After string
			Repeat                                    int
		} `json:"cases"`
	}
	if err := json.Unmarshal(corpus, &file); err != nil {
		return nil, err
	}
	if file.Format != 1 {
		return nil, fmt.Errorf("format %d of the corpus is not known", file.Format)
	}
	var out []Case
	for _, c := range file.Cases {
		raw, err := hex.DecodeString(c.Hex)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		out = append(out, Case{Name: c.Name, Kind: c.Kind, Why: c.Why, Text: c.Before + strings.Repeat(c.Text+string(raw), max(c.Repeat, 1)) + c.After})
	}
	return out, nil
})

// Cases returns the corpus, in the order of the file. It panics if the file is broken, which its own test shows first.
func Cases() []Case {
	out, err := read()
	if err != nil {
		panic(err)
	}
	return out
}

// MaxMarks is how many combining marks may stand on one letter.
const MaxMarks = 4

// Inert says why one shown line is not inert: a control byte, a line end, a rune that turns, hides or stacks others, invalid
// UTF-8, or more than most bytes. Markup is not its business: that depends on where the text stands.
func Inert(line string, most int) error {
	if len(line) > most {
		return fmt.Errorf("%d bytes, and %d may be", len(line), most)
	}
	marks := 0
	for i, r := range line {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(line[i:]); n == 1 {
				return fmt.Errorf("invalid UTF-8 at byte %d", i)
			}
		}
		switch {
		case unicode.Is(unicode.Cc, r):
			return fmt.Errorf("control character %U at byte %d", r, i)
		case unicode.In(r, unicode.Zl, unicode.Zp):
			return fmt.Errorf("line separator %U at byte %d", r, i)
		case unicode.Is(unicode.Cf, r) || blank(r):
			return fmt.Errorf("invisible or turning rune %U at byte %d", r, i)
		case r&0xfffe == 0xfffe:
			return fmt.Errorf("noncharacter %U at byte %d", r, i)
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks++; marks > MaxMarks {
				return fmt.Errorf("more than %d combining marks at byte %d", MaxMarks, i)
			}
		default:
			marks = 0
		}
	}
	return nil
}

// blank says whether r takes a place and shows nothing there, but is no space.
func blank(r rune) bool {
	switch r {
	case 0x034f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x3164, 0xffa0:
		return true
	}
	return r >= 0xfe00 && r <= 0xfe0d || r >= 0xe0100 && r <= 0xe01ef // selectors, but for the two that choose text or emoji
}
