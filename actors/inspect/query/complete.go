package query

import (
	"slices"
	"strings"
)

// Suggestion is one way to go on.
type Suggestion struct {
	Text string // replaces the bytes from From to To
	From int
	To   int
	Help string
}

// MaxSuggestions bounds what Complete returns.
const MaxSuggestions = 64

// Complete says how a query may go on at the cursor, which counts bytes: names of fields with the operator that is meant most
// often, or values of a field. Whatever it returns can be parsed, or completed further.
func Complete(viewName, s string, cursor int) []Suggestion {
	v := views()[viewName]
	if v == nil || len(s) > MaxBytes {
		return nil
	}
	cursor = min(max(cursor, 0), len(s))
	word := token{at: cursor, nameAt: cursor, end: cursor, values: []piece{{at: cursor}}}
	if tokens := scan(s[:cursor]); len(tokens) > 0 && tokens[len(tokens)-1].end == cursor {
		word = tokens[len(tokens)-1]
	}
	end := cursor
	for end < len(s) && !isSpace(s[end]) && s[end] != ',' {
		end++
	}
	if word.op == "" {
		return v.completeName(s, word, cursor, end)
	}
	f := v.find(word.name)
	if f == nil {
		return nil
	}
	last := word.values[len(word.values)-1]
	var out []Suggestion
	for _, value := range f.examples() {
		if strings.HasPrefix(value, strings.ToLower(last.text)) && len(out) < MaxSuggestions {
			out = append(out, Suggestion{Text: value, From: last.at, To: end, Help: f.Help})
		}
	}
	return out
}

func (v *view) completeName(s string, word token, cursor, end int) []Suggestion {
	typed := strings.ToLower(s[word.nameAt:cursor])
	var exact, within []Suggestion
	for _, f := range v.fields {
		help := f.Help + " (" + f.Kind.String() + ")"
		one := Suggestion{Text: f.Name + f.usual(), From: word.nameAt, To: end, Help: help}
		alias := slices.ContainsFunc(f.Aliases, func(a string) bool { return strings.HasPrefix(a, typed) })
		switch {
		case strings.HasPrefix(f.Name, typed) || alias && typed != "":
			exact = append(exact, one)
		case typed != "" && strings.Contains(f.Name, typed):
			within = append(within, one)
		}
	}
	out := append(exact, within...)
	return out[:min(len(out), MaxSuggestions)]
}

// usual is the operator that is meant most often.
func (f *Field) usual() string {
	switch f.Kind {
	case Number, Bytes, Duration:
		return ">"
	case Ordered:
		return ">="
	case Time:
		return ":"
	case Text:
		return "~"
	}
	return "="
}

// examples are values to choose from, or to show what values look like.
func (f *Field) examples() []string {
	switch {
	case len(f.Values) > 0:
		return f.Values
	case f.Percent:
		return []string{"80%", "50%", "90%", "100%"}
	}
	switch f.Kind {
	case Bool:
		return []string{"true", "false"}
	case Duration:
		return []string{"1s", "10s", "1m", "10m", "1h", "100ms"}
	case Time:
		return []string{"1m", "10m", "1h", "24h", "7d"}
	case Bytes:
		return []string{"1MiB", "16MiB", "256MiB", "1GiB"}
	}
	return nil
}
