package tui

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/troupehost/troupe/actors/fault"
)

// widths measures runes alike in each locale: where a rune may take one cell or two, terminals of today take one.
var widths = &runewidth.Condition{StrictEmojiNeutral: true}

// safe makes text of others fit for a table. It is stricter than fault.Quote: what has no width of its own is replaced too, so that
// the width of a text is the sum of its runes in every terminal.
func safe(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= 0x20 && s[i] < 0x7f
	}
	if clean && len(s) <= fault.MaxQuoted {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc, unicode.Cf, unicode.Cc, unicode.Co, unicode.Cs) || r >= 0xfe00 && r <= 0xfe0f || r >= 0x1f3fb && r <= 0x1f3ff || widths.RuneWidth(r) < 1 {
			return '�'
		}
		if r >= 0x1f1e6 && r <= 0x1f1ff || r >= 0x1100 && r <= 0x11ff || r >= 0xa960 && r <= 0xa97f || r >= 0xd7b0 && r <= 0xd7ff { // two of them make one cell, or one makes a part of it
			return '�'
		}
		return r
	}, fault.Quote(s))
}

// width is how many cells a safe text takes.
func width(s string) (n int) {
	for _, r := range s {
		if r < 0x7f {
			n++
		} else {
			n += max(1, widths.RuneWidth(r))
		}
	}
	return n
}

// cut shortens a safe text to so many cells.
func cut(s string, most int) string {
	if most <= 0 {
		return ""
	}
	if len(s) <= most || width(s) <= most {
		return s
	}
	used, end := 0, 0
	for i, r := range s {
		w := 1
		if r >= 0x7f {
			w = max(1, widths.RuneWidth(r))
		}
		if used+w > most-1 {
			break
		}
		used, end = used+w, i+len(string(r))
	}
	return s[:end] + "…"
}

// cutLeft keeps the end of a text, which tells paths apart.
func cutLeft(s string, most int) string {
	if width(s) <= most {
		return s
	}
	if most <= 0 {
		return ""
	}
	runes := []rune(s)
	used, from := 1, len(runes)
	for from > 0 {
		w := max(1, widths.RuneWidth(runes[from-1]))
		if used+w > most {
			break
		}
		used += w
		from--
	}
	return "…" + string(runes[from:])
}

// pad cuts or fills a safe text to exactly so many cells.
func pad(s string, cells int, right bool) string {
	s = cut(s, cells)
	fill := cells - width(s)
	if fill <= 0 {
		return s
	}
	if right {
		return strings.Repeat(" ", fill) + s
	}
	return s + strings.Repeat(" ", fill)
}

// wrap breaks a safe text at spaces.
func wrap(s string, cells int) (lines []string) {
	if cells < 1 {
		return nil
	}
	line := ""
	for _, word := range strings.Fields(s) {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= cells:
			line += " " + word
		default:
			lines = append(lines, cut(line, cells))
			line = word
		}
	}
	return append(lines, cut(line, cells))
}

// span prints a duration in at most seven cells.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < time.Millisecond:
		return fmt.Sprintf("%dus", d.Microseconds())
	case d < 10*time.Millisecond && d%time.Millisecond != 0:
		return fmt.Sprintf("%.1fms", float64(d.Microseconds()/100)/10)
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", math.Floor(d.Seconds()*10)/10)
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// seconds prints a duration that is not worth fractions.
func seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(max(0, d).Seconds()))
	}
	return span(d)
}

func micros(us int64) string {
	if us == 0 {
		return "-"
	}
	return span(time.Duration(min(us, math.MaxInt64/1000)) * time.Microsecond)
}

// age prints how long ago something was.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(max(0, now.Sub(t)))
}

// until prints how far ahead something is.
func until(now, t time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return "-"
	case d <= 0:
		return "now"
	default:
		return "in " + span(d)
	}
}

// size prints bytes.
func size(n int64) string {
	if n == 0 {
		return "-"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for math.Abs(v) >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f%s", v, units[i])
	}
	return fmt.Sprintf("%.1f%s", v, units[i])
}

// count prints a number in at most six cells.
func count(n float64) string {
	units := []string{"", "k", "M", "G", "T", "P"}
	i := 0
	for math.Abs(n) >= 1000 && i < len(units)-1 {
		n, i = n/1000, i+1
	}
	if i == 0 || n >= 100 {
		if n != math.Trunc(n) && n < 10 {
			return fmt.Sprintf("%.1f", n)
		}
		return fmt.Sprintf("%.0f%s", n, units[i])
	}
	return fmt.Sprintf("%.1f%s", n, units[i])
}

// part prints n of most.
func part(n, most int) string {
	if most == 0 {
		return strconv.Itoa(n)
	}
	return strconv.Itoa(n) + "/" + strconv.Itoa(most)
}

// bar draws a share in so many cells.
func bar(share float64, cells int) string {
	if cells < 1 {
		return ""
	}
	full := min(cells, max(0, int(math.Round(share*float64(cells)))))
	if share > 0 && full == 0 {
		full = 1
	}
	return strings.Repeat("█", full) + strings.Repeat("·", cells-full)
}

func share(n, most int64) float64 {
	if most <= 0 {
		return 0
	}
	return float64(n) / float64(most)
}

// short is the beginning of a hash.
func short(hash string) string {
	hash = safe(hash)
	if rest, ok := strings.CutPrefix(hash, "sha256:"); ok {
		hash = rest
	}
	if len(hash) > 12 && strings.Trim(hash, "0123456789abcdefABCDEF") == "" {
		return hash[:12]
	}
	return hash
}

func dash(s string) string { return cmp.Or(s, "-") }

const pathPart = 24 // of a path: what is longer is an address, which its beginning tells

// shortPath is a path of an actor with addresses in it cut.
func shortPath(path string) string {
	path = safe(path)
	if len(path) <= pathPart {
		return path
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if width(p) > pathPart {
			parts[i] = cut(p, pathPart-6)
		}
	}
	return strings.Join(parts, "/")
}
