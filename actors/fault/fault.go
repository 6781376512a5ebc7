package fault

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Class says whose fault a failure is. It decides what happens next: who is told, what is retried, and what is restarted.
type Class uint8

// The classes. Doubt is a value of its own: what cannot be told apart from a fault of the machine is Suspect, never Guest and never Host.
const (
	Guest    Class = 1 + iota // deterministic fault of the code or its input; never retried
	Suspect                   // the code or the machine, we cannot tell; retried once on a fresh worker
	Host                      // our disk, kernel or configuration; retried with back-off
	Busy                      // a queue is full or the host drains; retry after Error.RetryAfter
	Caller                    // the request is malformed, unknown, denied or conflicts; retry after a change
	Canceled                  // the caller left, or its deadline passed
	Bug                       // a broken invariant or a recovered panic; never retried
)

var classNames = [...]string{"", "guest", "suspect", "host", "busy", "caller", "canceled", "bug"}

// String returns the lower-case name that receipts and the command line print.
func (c Class) String() string {
	if c == 0 || int(c) >= len(classNames) {
		return "class(" + itoa(uint64(c)) + ")"
	}
	return classNames[c]
}

// Error makes a Class usable as a target of errors.Is.
func (c Class) Error() string { return c.String() }

// ParseClass reads what String prints.
func ParseClass(s string) (Class, bool) {
	for i, n := range classNames {
		if i > 0 && n == s {
			return Class(i), true
		}
	}
	return 0, false
}

// Error is the one error type of Troupe. The class and the hint of a code come from the registry in codes.go.
type Error struct {
	Class      Class
	Code       Code
	Op         string        // what was being done, e.g. "store put"
	Subject    string        // to what, e.g. an artifact key; guest text must pass Quote first
	Hint       string        // one sentence that an operator can act on
	RetryAfter time.Duration // set for Busy
	Err        error         // the cause; may be nil
}

// New builds an error of a registered code. op and subject may be empty, err may be nil.
func New(code Code, op, subject string, err error) *Error {
	d := Describe(code)
	return &Error{Class: d.Class, Code: code, Op: op, Subject: subject, Hint: d.Hint, Err: err}
}

// WithHint returns a copy whose hint is h, for places that know a better cure than the registry.
func (e *Error) WithHint(h string) *Error {
	c := *e
	c.Hint = h
	return &c
}

// WithRetryAfter returns a copy that tells the caller when to come back.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error prints "op subject: description: cause" without the parts that are empty.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Subject != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e.Subject)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(Describe(e.Code).Text)
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches a Code or a Class, so that errors.Is(err, fault.GuestTrap) and errors.Is(err, fault.Busy) both work.
func (e *Error) Is(target error) bool {
	switch t := target.(type) {
	case Code:
		return e.Code == t
	case Class:
		return e.Class == t
	}
	return false
}

// From returns err as an *Error. Context errors become Canceled; everything else that is not an *Error is a Bug, since
// each layer names the faults that it expects.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return New(CanceledDeadline, "", "", err)
	case errors.Is(err, context.Canceled):
		return New(CanceledCaller, "", "", err)
	}
	return New(BugUnexpected, "", "", err)
}

// CodeOf returns the code of err, or "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return From(err).Code
}

// MaxQuoted bounds guest text in errors, logs and labels, in bytes.
const MaxQuoted = 256

// MaxMarks is how many combining marks Quote leaves on one letter.
const MaxMarks = 4

// Quote makes hostile text one printable line: control characters, escape sequences, line ends, runes that turn, hide or join
// others, noncharacters and invalid UTF-8 are replaced by U+FFFD, floods of combining marks are cut at MaxMarks, and the
// result is cut at MaxQuoted bytes.
func Quote(s string) string { return QuoteTo(s, MaxQuoted) }

// QuoteTo is Quote with another bound, in bytes, of at least 16.
func QuoteTo(s string, most int) string {
	var b strings.Builder
	marks := MaxMarks // a mark that comes first would sit on what stands before the text
	for i, r := range s {
		if b.Len() > most-utf8.UTFMax-len("…") || i > 16*most {
			b.WriteString("…")
			break
		}
		switch {
		case hostileRune(r):
			r, marks = '\uFFFD', 0
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks++; marks == MaxMarks+1 {
				r = '\uFFFD'
			} else if marks > MaxMarks {
				continue
			}
		default:
			marks = 0
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hostileRune(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0, DEL, C1
		return true
	case r < 0x80:
		return false
	case r == 0x2028, r == 0x2029, r&0xfffe == 0xfffe, r >= 0xfdd0 && r <= 0xfdef: // line separators, noncharacters
		return true
	case r == 0x034f, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r == 0x3164, r == 0xffa0: // fillers and joiners
		return true
	case r >= 0xfe00 && r <= 0xfe0d, r >= 0xe0100 && r <= 0xe01ef: // variation selectors, but for text and emoji
		return true
	case r >= 0x2060 && r <= 0x206f, r >= 0xe0000 && r <= 0xe007f: // reserved in the midst of formats and tags
		return true
	}
	return unicode.Is(unicode.Cf, r) // zero width, bidi, soft hyphen, annotations, tags
}

func itoa(n uint64) string {
	var b [20]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		n /= 10
		if n == 0 {
			return string(b[i:])
		}
	}
}
