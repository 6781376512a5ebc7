package explain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

// Facts is what is known of a host at one moment.
type Facts struct {
	At      time.Time
	Host    inspect.Host
	Guests  []inspect.Guest
	Jobs    []run.Job
	Apps    []inspect.App
	Letters []inspect.Letter
	Chain   *inspect.ChainView // nil: there is none
	Demands []inspect.Demand
	Calls   []inspect.Outgoing
	Session inspect.Session
	Silent  []string // paths of actors that were asked and did not answer
}

// Bounds of what is said.
const (
	maxLinks  = 16
	maxAdvice = 6
	minPrefix = 4 // of an id of hex digits
)

// Explain says what the thing with an id waits for: the id of a job, worker, guest, dead letter, call or demand of the chain, the path of
// an actor, the key of an artifact, the hash of a code or the address of an app, or a unique beginning of these three, the name of a
// queue, or "chain".
//
// # Errors
//
// caller.not_found, caller.invalid_request.
func Explain(f *Facts, id string) (inspect.Explanation, error) {
	x := &telling{f: f, told: map[string]bool{}, e: inspect.Explanation{ID: fault.QuoteTo(id, 128), Because: []inspect.Because{}, At: f.At}}
	for _, find := range []func(string) bool{x.chain, x.queue, x.job, x.worker, x.actor, x.call, x.demand, x.letter, x.guest} {
		if id != "" && find(id) {
			return x.e, nil
		}
	}
	if found, err := x.byHash(id); found || err != nil {
		return x.e, err
	}
	if len(f.Silent) > 0 {
		x.silent(id)
		return x.e, nil
	}
	if kind, number, ok := strings.Cut(id, "-"); ok && (kind == "execute" || kind == "prepare") && strings.Trim(number, "0123456789") == "" {
		return x.e, fault.New(fault.CallerNotFound, "explain", "worker "+id, nil).
			WithHint("it has ended, or there was none: 'troupe worker list' shows those that live, and 'troupe failures' the jobs that ended with one")
	}
	return x.e, fault.New(fault.CallerNotFound, "explain", fault.QuoteTo(id, 128), nil).
		WithHint("give an id from some list, the path of an actor, 'prepare', 'execute', 'jobs' or 'chain'")
}

// telling is an explanation that is being made.
type telling struct {
	f    *Facts
	e    inspect.Explanation
	told map[string]bool // what a link was about, so that none goes in a circle
}

func (x *telling) is(kind, id, state string) {
	x.e.Kind, x.e.ID, x.e.State = kind, fault.QuoteTo(id, 128), state
	x.told[kind+" "+id] = true
}

func (x *telling) sum(format string, args ...any) { x.e.Summary = fmt.Sprintf(format, args...) }

// because adds a link. Owner is who can end it.
func (x *telling) because(kind, id, owner string, since time.Time, format string, args ...any) {
	if len(x.e.Because) < maxLinks {
		x.e.Because = append(x.e.Because, inspect.Because{Kind: kind, ID: fault.QuoteTo(id, 128), Owner: owner, Since: since, Words: fmt.Sprintf(format, args...)})
	}
}

func (x *telling) advise(commands ...string) {
	for _, c := range commands {
		if c != "" && len(x.e.Advice) < maxAdvice && !slices.Contains(x.e.Advice, c) {
			x.e.Advice = append(x.e.Advice, c)
		}
	}
}

// first says whether a thing is told of for the first time.
func (x *telling) first(kind, id string) bool {
	was := x.told[kind+" "+id]
	x.told[kind+" "+id] = true
	return !was
}

// since says for how long something is so.
func (x *telling) since(t time.Time) string {
	if t.IsZero() {
		return "for a time that is not known"
	}
	return "for " + span(x.f.At.Sub(t))
}

// in says when something will be.
func (x *telling) in(t time.Time) string {
	if d := t.Sub(x.f.At); d > 0 {
		return "in " + span(d)
	}
	return "now"
}

func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// blame says whose fault a failure is, by its code or by the name of a class.
func (x *telling) blame(code string) string {
	if class, ok := fault.ParseClass(code); ok {
		x.e.Blame = class.String()
		return whose(class)
	}
	d := fault.Describe(fault.Code(code))
	x.e.Blame = d.Class.String()
	if d.Hint != "" {
		x.advise(d.Hint)
	}
	return fmt.Sprintf("%s (%s): %s", d.Text, fault.Quote(code), whose(d.Class))
}

func whose(c fault.Class) string {
	switch c {
	case fault.Guest:
		return "the fault of the code or its input"
	case fault.Suspect:
		return "the code or this machine, it cannot be told which"
	case fault.Host:
		return "the fault of this host"
	case fault.Busy:
		return "there was no room, which passes"
	case fault.Caller:
		return "the request has to be changed"
	case fault.Canceled:
		return "somebody did not want it any more"
	}
	return "a bug of troupe"
}

// retryable says whether it may help to try again.
func retryable(code string) bool {
	switch c := fault.Describe(fault.Code(code)).Class; c {
	case fault.Suspect, fault.Host, fault.Busy, fault.Canceled:
		return true
	}
	return false
}

// short is the beginning of an id of hex digits, which is enough for a command.
func short(id string) string {
	if len(id) > 16 && !strings.ContainsAny(id, "/-:") {
		return id[:12]
	}
	return fault.Quote(id)
}

// byHash looks for artifacts, codes and apps by a beginning.
func (x *telling) byHash(id string) (bool, error) {
	id = strings.TrimPrefix(strings.TrimPrefix(id, "0x"), "sha256:")
	if len(id) < minPrefix || strings.Trim(id, "0123456789abcdef") != "" {
		return false, nil
	}
	matches := map[string]func(){}
	for _, a := range x.f.Host.Artifacts {
		if strings.HasPrefix(a.Key, id) {
			matches["artifact "+a.Key] = func() { x.artifact(a) }
		}
	}
	for _, a := range x.f.Apps {
		if strings.HasPrefix(a.Address, id) {
			matches["app "+a.Address] = func() { x.app(a) }
		}
	}
	if len(matches) == 0 {
		for _, a := range x.f.Host.Artifacts {
			if strings.HasPrefix(a.CodeHash, id) {
				matches["code "+a.CodeHash] = func() { x.code(a.CodeHash) }
			}
		}
		for _, j := range x.f.Jobs {
			if strings.HasPrefix(j.CodeHash, id) {
				matches["code "+j.CodeHash] = func() { x.code(j.CodeHash) }
			}
		}
	}
	if len(matches) > 1 {
		return false, fault.New(fault.CallerInvalid, "explain", fault.Quote(id), errors.New("several things begin so")).WithHint("give more of its digits")
	}
	for _, tell := range matches {
		tell()
		return true, nil
	}
	return false, nil
}
