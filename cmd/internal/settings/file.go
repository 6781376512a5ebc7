package settings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/troupehost/troupe/actors/fault"
)

// MaxFile bounds a file, in bytes.
const MaxFile = 1 << 20

// Entry is one setting in a file.
type Entry struct {
	Key    string
	Texts  []string // what to give to the value of the flag, one by one
	List   bool     // it was written as a list
	Line   int      // of the key; from 1
	Column int      // in bytes; from 1

	valueLine, valueColumn int
}

// File is what a file says.
type File struct {
	Name    string
	Entries []Entry // in the order of the file
}

// Lookup returns the entry of a key.
func (f *File) Lookup(key string) (Entry, bool) {
	if f == nil {
		return Entry{}, false
	}
	for _, e := range f.Entries {
		if e.Key == key {
			return e, true
		}
	}
	return Entry{}, false
}

// Problem is one thing that is wrong with a source of settings.
type Problem struct {
	File    string `json:"file,omitempty"` // "": the environment
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Key     string `json:"key,omitempty"` // of a file, or the name of a variable
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// String is the problem as compilers print one, without the hint.
func (p Problem) String() string {
	switch {
	case p.Line > 0:
		return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	case p.File != "":
		return p.File + ": " + p.Message
	}
	return p.Message
}

// Fault makes one error of what is wrong, nil if nothing is.
func Fault(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	text, hint := problems[0].String(), problems[0].Hint
	if n := len(problems) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
		hint = strings.TrimPrefix(hint+"; ", "; ") + "'troupe config check' shows all"
	}
	return fault.New(fault.CallerConfig, "settings", "", errors.New(text)).WithHint(hint)
}

// Read reads a file. One that is missing is an error that says fs.ErrNotExist.
func Read(path string) (*File, []Problem, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !Trusted(info) {
		return nil, nil, fault.New(fault.CallerDenied, "settings", fault.Quote(path), nil).WithHint("others may change this file, which names programs to run: make it yours, with chmod 644")
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(text) > MaxFile {
		return nil, nil, fault.New(fault.CallerConfig, "settings", fault.Quote(path), nil).WithHint("a file of settings has at most 1MiB")
	}
	file, problems := Parse(path, text)
	return file, problems, nil
}

// Parse reads the text of a file. What could be read is returned beside the problems.
func Parse(name string, text []byte) (*File, []Problem) {
	file := &File{Name: name}
	var problems []Problem
	var p unstable.Parser
	p.Reset(text)
	at := func(r unstable.Range) (int, int) {
		start := p.Shape(r).Start
		return start.Line, start.Column
	}
	tell := func(line, column int, key, message, hint string) {
		problems = append(problems, Problem{File: name, Line: line, Column: column, Key: key, Message: message, Hint: hint})
	}
	inTable := false
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			inTable = true
			key, r := keyOf(e)
			line, column := at(r)
			tell(line, column, key, "there are no tables: "+fault.Quote("["+key+"]"), "write all settings at the top level, named as the flags are")
		case unstable.KeyValue:
			if inTable { // said once, for the table
				continue
			}
			key, r := keyOf(e)
			entry := Entry{Key: key}
			entry.Line, entry.Column = at(r)
			entry.valueLine, entry.valueColumn = entry.Line, entry.Column
			value := e.Value()
			if value.Raw.Length > 0 {
				entry.valueLine, entry.valueColumn = at(value.Raw)
			}
			if first, twice := file.Lookup(key); twice {
				tell(entry.Line, entry.Column, key, fmt.Sprintf("%s stands here twice, first in line %d", fault.Quote(key), first.Line), "keep one of them")
				continue
			}
			var err error
			if entry.Texts, entry.List, err = texts(value); err != nil {
				tell(entry.valueLine, entry.valueColumn, key, fault.Quote(key)+": "+err.Error(), "")
				entry.Texts, entry.List = nil, false // there is nothing to judge
			}
			file.Entries = append(file.Entries, entry)
		}
	}
	if err := p.Error(); err != nil {
		line, column, message := 1, 1, err.Error()
		if pe, ok := errors.AsType[*unstable.ParserError](err); ok {
			message = pe.Message
			if len(pe.Highlight) > 0 {
				line, column = at(p.Range(pe.Highlight))
			} else { // it ended too early
				line, column = end(text)
			}
		}
		tell(line, column, "", message, "the form is TOML: name = \"text\", name = 4, name = true, name = [\"a\", \"b\"]")
	}
	return file, problems
}

// end returns where a text ends.
func end(text []byte) (line, column int) {
	before, last, _ := cutLast(strings.TrimSuffix(string(text), "\n"), "\n")
	return strings.Count(before, "\n") + min(1, len(before)) + 1, len(last) + 1
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i+len(sep)], s[i+len(sep):], true
	}
	return "", s, false
}

// keyOf returns the key of a table or a pair, and where it stands.
func keyOf(e *unstable.Node) (string, unstable.Range) {
	var parts []string
	var r unstable.Range
	for it := e.Key(); it.Next(); {
		if len(parts) == 0 {
			r = it.Node().Raw
		}
		parts = append(parts, string(it.Node().Data))
	}
	return strings.Join(parts, "."), r
}

var errForm = errors.New("a value is text, a number, true or false, or a list of them")

// texts returns what a value says, as it would stand on the command line.
func texts(v *unstable.Node) (all []string, list bool, err error) {
	if v.Kind != unstable.Array {
		text, err := scalar(v)
		return []string{text}, false, err
	}
	for it := v.Children(); it.Next(); {
		text, err := scalar(it.Node())
		if err != nil {
			return nil, true, err
		}
		all = append(all, text)
	}
	return all, true, nil
}

func scalar(v *unstable.Node) (string, error) {
	text := string(v.Data)
	switch v.Kind {
	case unstable.String, unstable.Bool:
		return text, nil
	case unstable.Integer:
		n, err := strconv.ParseInt(strings.TrimPrefix(strings.ReplaceAll(text, "_", ""), "+"), 0, 64)
		if err != nil {
			return "", errors.New("the number is too large")
		}
		return strconv.FormatInt(n, 10), nil
	case unstable.Float:
		return strings.ReplaceAll(text, "_", ""), nil
	}
	return "", errForm
}
