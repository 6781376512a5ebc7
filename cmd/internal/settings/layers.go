package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
)

// Prefix begins the name of each variable.
const Prefix = "TROUPE_"

// DebugPrefix begins the names of knobs for those who work on the program itself. They are no settings.
const DebugPrefix = Prefix + "DEBUG_"

// EnvName returns the variable of a setting.
func EnvName(setting string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// Annotations of a flag.
const (
	liveMark = "troupe_live" // a reload takes it over
	lineMark = "troupe_line" // it belongs on the command line, and is no setting
)

// MarkLive says that a reload takes over a change of these flags.
func MarkLive(fs *pflag.FlagSet, names ...string) { mark(fs, liveMark, names) }

// MarkLine says that these flags are no settings.
func MarkLine(fs *pflag.FlagSet, names ...string) { mark(fs, lineMark, names) }

func mark(fs *pflag.FlagSet, what string, names []string) {
	for _, n := range names {
		if err := fs.SetAnnotation(n, what, nil); err != nil {
			panic(err) // the flag is not there: a mistake in the program
		}
	}
}

func marked(f *pflag.Flag, what string) bool {
	_, ok := f.Annotations[what]
	return ok
}

// IsSetting reports whether a flag is one.
func IsSetting(f *pflag.Flag) bool { return f.Name != "help" && !marked(f, lineMark) }

// Rank orders the sources: a higher one beats a lower one.
type Rank uint8

// The ranks.
const (
	Default Rank = 1 + iota
	FromFile
	FromContext
	FromEnv
	FromFlag
)

// Sources are where settings come from. The zero value has none but flags and defaults.
type Sources struct {
	Env         func(string) string // nil: none
	Context     *File               // nil: none
	ContextName string
	File        *File // nil: none
	// Drop has a value of a setting be passed over, as if its source did not name it; nil: none is.
	Drop func(name string, rank Rank) bool
}

// Origin says where a value came from.
type Origin struct {
	Rank Rank
	Text string // default, flag, env NAME, context NAME, file PATH:LINE

	entry Entry // of a file
	file  string
}

// Of returns the origin of a setting that the command line has left open, with the texts that it gives.
func (s Sources) Of(f *pflag.Flag) (Origin, []string) {
	keep := func(r Rank) bool { return s.Drop == nil || !s.Drop(f.Name, r) }
	if f.Changed {
		return Origin{Rank: FromFlag, Text: "flag"}, nil
	}
	if s.Env != nil && keep(FromEnv) {
		if text := s.Env(EnvName(f.Name)); text != "" {
			texts := []string{text}
			if _, list := f.Value.(pflag.SliceValue); list {
				texts = strings.Split(text, ",")
			}
			return Origin{Rank: FromEnv, Text: "env " + EnvName(f.Name)}, texts
		}
	}
	if e, ok := s.Context.Lookup(f.Name); ok && keep(FromContext) {
		return Origin{Rank: FromContext, Text: "context " + s.ContextName, entry: e, file: s.Context.Name}, e.Texts
	}
	if e, ok := s.File.Lookup(f.Name); ok && keep(FromFile) {
		return Origin{Rank: FromFile, Text: fmt.Sprintf("file %s:%d", s.File.Name, e.Line), entry: e, file: s.File.Name}, e.Texts
	}
	return Origin{Rank: Default, Text: "default"}, nil
}

// Value is one setting.
type Value struct {
	Name, Value, Origin string
	Rank                Rank
	Live                bool // a reload takes over a change

	raw string // Value with its passwords
}

// Apply sets each setting of fs that the command line has left open, and returns all of them in the order of their names.
func Apply(fs *pflag.FlagSet, s Sources) ([]Value, []Problem) {
	var all []Value
	var problems []Problem
	fs.VisitAll(func(f *pflag.Flag) {
		if !IsSetting(f) {
			return
		}
		origin, texts := s.Of(f)
		if origin.Rank < FromFlag && origin.Rank > Default {
			problems = append(problems, set(f, origin, texts)...)
		}
		all = append(all, Value{Name: f.Name, Value: Mask(shown(f)), Origin: origin.Text, Rank: origin.Rank, Live: marked(f, liveMark), raw: shown(f)})
	})
	return all, problems
}

// set gives a value to a flag.
func set(f *pflag.Flag, o Origin, texts []string) []Problem {
	problem := func(message string) []Problem {
		p := Problem{Key: f.Name, Message: fault.Quote(f.Name) + ": " + message, File: o.file, Line: o.entry.valueLine, Column: o.entry.valueColumn}
		if o.Rank == FromEnv {
			p.Key, p.Message = EnvName(f.Name), EnvName(f.Name)+": "+message
		}
		return []Problem{p}
	}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		for _, text := range texts {
			if err := list.Append(text); err != nil {
				return problem(err.Error())
			}
		}
		return nil
	}
	if o.entry.List {
		if f.Value.Type() != "LIST" {
			return problem("it takes one value, not a list")
		}
		texts = []string{strings.Join(texts, ",")}
	}
	for _, text := range texts {
		if err := f.Value.Set(text); err != nil {
			return problem(err.Error())
		}
	}
	return nil
}

// shown is the value of a flag as text.
func shown(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",")
	}
	return f.Value.String()
}

// Mask takes passwords out of URLs. No setting is a secret itself: secrets are in files that settings name.
func Mask(text string) string {
	parts := strings.Split(text, ",")
	for i, p := range parts {
		scheme, rest, ok := strings.Cut(p, "://")
		if !ok {
			continue
		}
		rest, query, asks := strings.Cut(rest, "?")
		authority, _, _ := strings.Cut(rest, "/")
		if at := strings.LastIndexByte(authority, '@'); at >= 0 {
			rest = "***" + rest[at:]
		}
		if parts[i] = scheme + "://" + rest; asks && query != "" {
			parts[i] += "?***"
		}
	}
	return strings.Join(parts, ",")
}

// Check says what is wrong with a file of settings: unknown keys, and values that the flags of schema refuse. It sets the values
// that are right; give it flags that nobody else uses.
func Check(schema *pflag.FlagSet, file *File, nearest func(string, []string) string) []Problem {
	problems := Unknown(schema, file, nearest)
	schema.VisitAll(func(f *pflag.Flag) {
		if e, ok := file.Lookup(f.Name); ok && IsSetting(f) && (e.Texts != nil || e.List) {
			problems = append(problems, set(f, Origin{Rank: FromFile, entry: e, file: file.Name}, e.Texts)...)
		}
	})
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return problems
}

// Unknown names the keys of a file that are no settings.
func Unknown(schema *pflag.FlagSet, file *File, nearest func(string, []string) string) []Problem {
	if file == nil {
		return nil
	}
	var names []string
	schema.VisitAll(func(f *pflag.Flag) {
		if IsSetting(f) {
			names = append(names, f.Name)
		}
	})
	var problems []Problem
	for _, e := range file.Entries {
		if slices.Contains(names, e.Key) {
			continue
		}
		p := Problem{File: file.Name, Line: e.Line, Column: e.Column, Key: e.Key, Message: "unknown setting " + fault.Quote(e.Key), Hint: "'troupe config show' lists all settings"}
		if n := strings.ReplaceAll(e.Key, "_", "-"); slices.Contains(names, n) {
			p.Hint = "did you mean '" + n + "'?"
		} else if nearest != nil {
			if n := nearest(e.Key, names); n != "" {
				p.Hint = "did you mean '" + n + "'?"
			}
		}
		problems = append(problems, p)
	}
	return problems
}

// UnknownEnv names the variables of an environment that look like settings and are none.
func UnknownEnv(schema *pflag.FlagSet, environ, known []string, nearest func(string, []string) string) []Problem {
	names := slices.Clone(known)
	schema.VisitAll(func(f *pflag.Flag) {
		if IsSetting(f) {
			names = append(names, EnvName(f.Name))
		}
	})
	var problems []Problem
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, Prefix) || strings.HasPrefix(name, DebugPrefix) || slices.Contains(names, name) {
			continue
		}
		p := Problem{Key: name, Message: "unknown variable " + fault.Quote(name), Hint: "'troupe config show' lists all settings"}
		if nearest != nil {
			if n := nearest(name, names); n != "" {
				p.Hint = "did you mean '" + n + "'?"
			}
		}
		problems = append(problems, p)
	}
	return problems
}

// Change is a setting that has another value than before.
type Change struct {
	Name, From, To string
	Live           bool
}

// Changes compares two results of Apply on the same schema.
func Changes(before, after []Value) []Change {
	old := map[string]Value{}
	for _, v := range before {
		old[v.Name] = v
	}
	var all []Change
	for _, v := range after {
		if from, ok := old[v.Name]; ok && from.raw != v.raw {
			all = append(all, Change{Name: v.Name, From: from.Value, To: v.Value, Live: v.Live})
		}
	}
	return all
}
