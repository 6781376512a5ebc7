package tui

import "strings"

// Looks says how much of a terminal is used. Colour is never the only sign of anything.
type Looks uint8

// The looks.
const (
	Colour Looks = iota // colours and attributes
	Plain               // attributes only: NO_COLOR
	Mono                // nothing but text: TERM=dumb, and tests
)

// style is one of few styles.
type style uint8

const (
	normal   style = iota
	dim            // what is old, or less important
	strong         // headings
	chosen         // the row under the cursor
	good           // holds, ready
	bad            // failed, lost
	warn           // waits, or is slow
	accent         // names of views and keys
	inverted       // the bar at the top
)

var sgr = [...][2]string{ // with colour, without
	normal: {"", ""}, dim: {"\x1b[2m", "\x1b[2m"}, strong: {"\x1b[1m", "\x1b[1m"}, chosen: {"\x1b[7m", "\x1b[7m"}, good: {"\x1b[32m", ""},
	bad: {"\x1b[1;31m", "\x1b[1m"}, warn: {"\x1b[33m", ""}, accent: {"\x1b[36m", "\x1b[1m"}, inverted: {"\x1b[7m", "\x1b[7m"},
}

const unstyled = "\x1b[m"

// paint draws a safe text in a style.
func (l Looks) paint(s style, text string) string {
	if l == Mono || s == normal || text == "" {
		return text
	}
	code := sgr[s][0]
	if l == Plain {
		code = sgr[s][1]
	}
	if code == "" {
		return text
	}
	return code + text + unstyled
}

// piece is some text in one style.
type piece struct {
	text  string
	style style
}

// line is a line of the screen. Its text is safe.
type line []piece

func plainLine(s string) line { return line{{s, normal}} }

func styled(s style, text string) line { return line{{text, s}} }

// add appends a piece.
func (l line) add(s style, text string) line { return append(l, piece{text, s}) }

func (l line) width() (n int) {
	for _, p := range l {
		n += width(p.text)
	}
	return n
}

// render draws a line in exactly so many cells; over, unless normal, takes the place of all its styles.
func (l line) render(looks Looks, cells int, over style) string {
	var b strings.Builder
	left := cells
	for _, p := range l {
		if left <= 0 {
			break
		}
		text := cut(p.text, left)
		left -= width(text)
		if over != normal {
			b.WriteString(text)
		} else {
			b.WriteString(looks.paint(p.style, text))
		}
	}
	if over != normal {
		return looks.paint(over, b.String()+strings.Repeat(" ", max(0, left)))
	}
	return b.String()
}
