package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/troupehost/troupe/testdata/hostile"
)

func TestCodeNamesItsClass(t *testing.T) {
	for _, c := range Codes() {
		d := Describe(c)
		class, name, ok := strings.Cut(string(c), ".")
		if !ok || name == "" || class != d.Class.String() {
			t.Errorf("%s: class %q does not stand in the code", c, d.Class)
		}
		if d.Text == "" {
			t.Errorf("%s has no text", c)
		}
		if d.Hint == "" && d.Class != Canceled {
			t.Errorf("%s has no hint", c)
		}
	}
}

func TestErrorMatchesByCodeAndClass(t *testing.T) {
	err := fmt.Errorf("outer: %w", New(GuestTrap, "run", "app", errors.New("unreachable")))
	for _, want := range []error{GuestTrap, Guest} {
		if !errors.Is(err, want) {
			t.Errorf("errors.Is(%v, %v) = false", err, want)
		}
	}
	for _, not := range []error{GuestExit, Host} {
		if errors.Is(err, not) {
			t.Errorf("errors.Is(%v, %v) = true", err, not)
		}
	}
	if got, want := From(err).Error(), "run app: the guest trapped: unreachable"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}

func TestFromBlamesByOrigin(t *testing.T) {
	for _, row := range []struct {
		err  error
		want Code
	}{
		{context.Canceled, CanceledCaller},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), CanceledDeadline},
		{errors.New("surprise"), BugUnexpected},
		{nil, ""},
	} {
		if got := CodeOf(row.err); got != row.want {
			t.Errorf("CodeOf(%v) = %q, want %q", row.err, got, row.want)
		}
	}
}

func TestUnknownCodeIsABug(t *testing.T) {
	e := New("guest.no_such", "", "", nil)
	if e.Class != Bug {
		t.Errorf("class %v, want bug", e.Class)
	}
}

func TestQuoteDefusesGuestText(t *testing.T) {
	for _, s := range []string{
		"\x1b[31mred", "a\rb", "a\nb", "nul\x00", "bidi\u202eevil", "zero\u200bwidth", "\ufefftag\U000e0041", "\xff\xfe", "\u009b31m",
		strings.Repeat("x", 10_000), strings.Repeat("é", 10_000),
	} {
		q := Quote(s)
		if len(q) > MaxQuoted {
			t.Errorf("Quote of %d bytes is %d bytes long", len(s), len(q))
		}
		if !utf8.ValidString(q) {
			t.Errorf("Quote(%.20q) is not UTF-8", s)
		}
		for _, r := range q {
			if hostileRune(r) {
				t.Errorf("Quote(%.20q) keeps %U", s, r)
			}
		}
	}
	if got := Quote("plain text, ünïcode"); got != "plain text, ünïcode" {
		t.Errorf("plain text changed: %q", got)
	}
}

func TestQuoteHoldsAgainstTheCorpus(t *testing.T) {
	for _, c := range hostile.Cases() {
		q := Quote(c.Text)
		if err := hostile.Inert(q, MaxQuoted); err != nil {
			t.Errorf("%s: %v in %q", c.Name, err, q)
		}
		if again := Quote(q); again != q {
			t.Errorf("%s: quoted twice it is %q, once %q", c.Name, again, q)
		}
	}
	// What people write stays as it is.
	for _, s := range []string{"Zürich, naïve", "日本語", "tiếng Việt", "tie\u0302\u0301ng", "👍🏽 ❤️", "שָׁלוֹם", "<b>&", "=1+1"} {
		if q := Quote(s); q != s {
			t.Errorf("%q became %q", s, q)
		}
	}
}

func TestQuoteReadsABoundedPartOfAFlood(t *testing.T) {
	s := "e" + strings.Repeat("\u0301", 1<<20)
	if n := testing.AllocsPerRun(10, func() { Quote(s) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
	if q := Quote(s); !strings.HasSuffix(q, "…") || len(q) > 32 {
		t.Errorf("%q: a flood of marks is not cut", q)
	}
}

func TestClassRoundTrip(t *testing.T) {
	for c := Guest; c <= Bug; c++ {
		if got, ok := ParseClass(c.String()); !ok || got != c {
			t.Errorf("ParseClass(%q) = %v, %v", c, got, ok)
		}
	}
	if _, ok := ParseClass(""); ok {
		t.Error("the empty class parses")
	}
	if got := Class(99).String(); got != "class(99)" {
		t.Errorf("unknown class prints %q", got)
	}
}
