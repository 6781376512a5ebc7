package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// size is a flag value in bytes.
type size int64

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return sizeText(int64(*s))
}

func (s *size) Type() string { return "SIZE" }

func (s *size) Set(text string) error {
	number, factor := text, int64(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(text, u.suffix); ok {
			number, factor = n, u.factor
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || v*float64(factor) < 1 || v*float64(factor) >= math.MaxInt64 {
		return fmt.Errorf("write a positive size like 65536, 64MiB or 1GiB")
	}
	*s = size(v * float64(factor))
	return nil
}

// sizeText prints bytes for people.
func sizeText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 || v == math.Trunc(v) {
		return fmt.Sprintf("%.0f%s", v, units[i])
	}
	return fmt.Sprintf("%.1f%s", v, units[i])
}

// span is a duration flag of at least minSpan.
type span time.Duration

// minSpan is the least limit of a run. Less than a microsecond would travel as zero, which means the default.
const minSpan = run.MinTime

func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

func (s *span) Type() string { return "D" }

func (s *span) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < minSpan {
		return fmt.Errorf("write a duration of at least %v, like 500ms, 12s or 2m", minSpan)
	}
	*s = span(d)
	return nil
}

// maxTimeout is the longest that a verb can be told to give up after.
const maxTimeout = 10000 * time.Hour

// limit is a duration flag between two bounds.
type limit struct {
	*span
	least, most time.Duration
}

// upTo is the flag of a limit of a run.
func upTo(p *span, most time.Duration) limit { return limit{p, minSpan, most} }

func (l limit) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < l.least || d > l.most {
		return fmt.Errorf("write a duration between %v and %.0fh, like %v, 12s or 2m", l.least, l.most.Hours(), max(l.least, 500*time.Millisecond))
	}
	*l.span = span(d)
	return nil
}

// moment is a flag for a point in time: RFC 3339, or a duration from now.
type moment struct {
	text string
	at   time.Time
	in   time.Duration
}

func (m *moment) String() string { return m.text }

func (m *moment) Type() string { return "D|TIME" }

func (m *moment) Set(text string) error {
	at, err := time.Parse(time.RFC3339, text)
	if err == nil {
		m.text, m.at = text, at.UTC()
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minSpan {
		return fmt.Errorf("write a duration from now like 90s, or a time like 2030-01-31T18:00:00Z")
	}
	m.text, m.in = text, d
	return nil
}

// from returns the point in time; the zero one if the flag was not given.
func (m *moment) from(now time.Time) time.Time {
	if m.in > 0 {
		return now.Add(m.in).UTC()
	}
	return m.at
}

// count is a flag for a number of at least one. If endless is set, that word means that there is no limit: host.NoLimit.
type count struct {
	p       *int
	endless string
}

func (c count) String() string {
	switch {
	case c.p == nil || *c.p == 0:
		return ""
	case *c.p == host.NoLimit:
		return c.endless
	}
	return strconv.Itoa(*c.p)
}

func (c count) Type() string {
	if c.endless != "" {
		return "N|" + c.endless
	}
	return "N"
}

func (c count) Set(text string) error {
	if text == c.endless && text != "" {
		*c.p = host.NoLimit
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		if c.endless != "" {
			return fmt.Errorf("write a whole number, 1 or more, or %s", c.endless)
		}
		return fmt.Errorf("write a whole number, 1 or more")
	}
	*c.p = n
	return nil
}

// amount is a flag for a number between two bounds; units are k, M, G and T, of a thousand each.
type amount struct {
	n, least, most int64
}

func (a *amount) String() string {
	if a.n == 0 {
		return ""
	}
	return strconv.FormatInt(a.n, 10)
}

func (a *amount) Type() string { return "N" }

func (a *amount) Set(text string) error {
	number, factor := text, int64(1)
	for i, unit := range []string{"k", "M", "G", "T"} {
		if n, ok := strings.CutSuffix(text, unit); ok {
			number = n
			for range i + 1 {
				factor *= 1000
			}
		}
	}
	v, err := strconv.ParseInt(number, 10, 64)
	if err != nil || v < 1 || v > a.most/factor || v*factor < a.least {
		return fmt.Errorf("write a whole number between %d and %d, like 65536, 500k or 20M", a.least, a.most)
	}
	a.n = v * factor
	return nil
}

// choice is a flag value out of a few.
type choice struct {
	value   string
	allowed []string
}

func (c *choice) String() string { return c.value }

func (c *choice) Type() string { return strings.Join(c.allowed, "|") }

func (c *choice) Set(text string) error {
	for _, a := range c.allowed {
		if a == text {
			c.value = text
			return nil
		}
	}
	return fmt.Errorf("choose %s", strings.Join(c.allowed, ", "))
}

// word is a text flag that must not be empty.
type word struct {
	p    *string
	kind string
}

func (w word) String() string {
	if w.p == nil {
		return ""
	}
	return *w.p
}

func (w word) Type() string { return w.kind }

func (w word) Set(text string) error {
	if text == "" {
		return fmt.Errorf("it must not be empty")
	}
	*w.p = text
	return nil
}

// words is a flag that may be given several times.
type words struct {
	p    *[]string
	kind string
}

func (w *words) String() string { return "" }

func (w *words) Type() string { return w.kind }

func (w *words) Set(text string) error { return w.Append(text) }

// Append implements pflag.SliceValue.
func (w *words) Append(text string) error {
	*w.p = append(*w.p, text)
	return nil
}

// Replace implements pflag.SliceValue.
func (w *words) Replace(list []string) error {
	*w.p = list
	return nil
}

// GetSlice implements pflag.SliceValue.
func (w *words) GetSlice() []string { return *w.p }

// once refuses a second value: of two contradicting ones, neither is what the caller surely meant.
type once struct {
	pflag.Value
	set bool
}

func (o *once) Set(text string) error {
	if o.set {
		return fmt.Errorf("it may be given only once")
	}
	o.set = true
	return o.Value.Set(text)
}

// onlyOnce guards all flags but lists.
func onlyOnce(fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) {
		_, isList := f.Value.(pflag.SliceValue)
		if _, guarded := f.Value.(*once); !isList && !guarded {
			f.Value = &once{Value: f.Value}
		}
	})
}

// nearest returns the candidate that a mistyped word most likely meant, or "".
func nearest(word string, candidates []string) string {
	best, found := 1+max(1, len(word)/3), ""
	for _, c := range candidates {
		d := distance(word, c)
		if strings.HasPrefix(c, word) && word != "" {
			d = min(d, 1)
		}
		if d < best {
			best, found = d, c
		}
	}
	return found
}

// distance counts the letters to insert, drop, replace or swap.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range b {
		d[0][j+1] = j + 1
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
