package settings

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
)

// list is a flag of a type that takes a list joined by commas.
type list struct{ p *string }

func (l list) String() string     { return *l.p }
func (l list) Type() string       { return "LIST" }
func (l list) Set(s string) error { *l.p = s; return nil }

func schema() *pflag.FlagSet {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.Int("execute-workers", 2, "")
	fs.Duration("job-keep", time.Hour, "")
	fs.Bool("resume", false, "")
	fs.String("chain", "embedded:", "")
	fs.StringArray("price", nil, "")
	features := "wasm2"
	fs.Var(list{&features}, "wasm-features", "")
	fs.String("config", "", "")
	MarkLine(fs, "config")
	MarkLive(fs, "job-keep")
	return fs
}

func nearest(word string, names []string) string {
	for _, n := range names {
		if n[0] == word[0] {
			return n
		}
	}
	return ""
}

// All that is wrong with a file is said at once, in its order, with line and column.
func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"good":          {"execute-workers = 4\njob-keep = \"2h\"\nresume = true\nprice = [\"a=1\", \"b=2\"]\nwasm-features = [\"wasm2\", \"simd\"]\n", nil},
		"numbers":       {"execute-workers = 1_000 # many\n", nil},
		"empty":         {"", nil},
		"comments":      {"# nothing\n\n", nil},
		"many":          {"# head\nexectue-workers = 4\n  job-keep = \"soon\"\nresume = \"maybe\"\n", []string{"f:2:1: unknown setting exectue-workers (did you mean 'execute-workers'?)", "f:3:14: job-keep: time: invalid duration \"soon\"", "f:4:10: resume: strconv.ParseBool: parsing \"maybe\": invalid syntax"}},
		"underscores":   {"execute_workers = 4\n", []string{"f:1:1: unknown setting execute_workers (did you mean 'execute-workers'?)"}},
		"twice":         {"resume = true\nresume = false\n", []string{"f:2:1: resume stands here twice, first in line 1 (keep one of them)"}},
		"a table":       {"resume = true\n[serve]\nx = 1\ny = 2\n", []string{"f:2:2: there are no tables: [serve] (write all settings at the top level, named as the flags are)"}},
		"a dotted key":  {"serve.resume = true\n", []string{"f:1:1: unknown setting serve.resume ('troupe config show' lists all settings)"}},
		"a date":        {"job-keep = 2026-01-01\n", []string{"f:1:12: job-keep: a value is text, a number, true or false, or a list of them ()"}},
		"a list of one": {"resume = [true]\n", []string{"f:1:1: resume: it takes one value, not a list ()"}},
		"no setting":    {"config = \"x\"\n", []string{"f:1:1: unknown setting config (did you mean 'chain'?)"}},
		"too large":     {"execute-workers = 99999999999999999999\n", []string{"f:1:19: execute-workers: the number is too large ()"}},
		"no TOML":       {"resume = true\nexecute-workers = = 4\n", []string{"f:2:19: "}},
		"no end":        {"chain = \"x", []string{"f:1:"}},
		"no value":      {"chain =\n", []string{"f:1:"}},
		"hostile":       {"\"\\u001b[2J\" = 1\n", []string{"f:1:1: unknown setting \uFFFD[2J ("}},
	} {
		file, problems := Parse("f", []byte(tt.text))
		problems = append(problems, Check(schema(), file, nearest)...)
		var got []string
		for _, p := range problems {
			got = append(got, p.String()+" ("+p.Hint+")")
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], tt.want[i]) {
				t.Errorf("%s: %s, want %s", name, got[i], tt.want[i])
			}
		}
	}
}

// A flag beats the environment, which beats the context, which beats the file, which beats the default.
func TestOrder(t *testing.T) {
	file, _ := Parse("/f", []byte("# c\nexecute-workers = 3\njob-keep = \"3h\"\nchain = \"file:\"\nprice = [\"x=1\"]\n"))
	context, _ := Parse("/c", []byte("chain = \"context:\"\njob-keep = \"4h\"\nexecute-workers = 4\n"))
	env := map[string]string{"TROUPE_JOB_KEEP": "5h", "TROUPE_EXECUTE_WORKERS": "5", "TROUPE_RESUME": "", "TROUPE_CONFIG": "ignored"}
	fs := schema()
	if err := fs.Parse([]string{"--execute-workers", "6"}); err != nil {
		t.Fatal(err)
	}
	values, problems := Apply(fs, Sources{Env: func(k string) string { return env[k] }, Context: context, ContextName: "c", File: file})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := map[string]string{}
	for _, v := range values {
		got[v.Name] = v.Value + " from " + v.Origin
		if v.Live {
			got[v.Name] += ", live"
		}
	}
	want := map[string]string{
		"execute-workers": "6 from flag", "job-keep": "5h0m0s from env TROUPE_JOB_KEEP, live", "chain": "context: from context c",
		"price": "x=1 from file /f:5", "resume": "false from default", "wasm-features": "wasm2 from default",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// What is dropped is looked for in the next source.
	values, _ = Apply(schema(), Sources{Context: context, File: file, Drop: func(name string, r Rank) bool { return name == "chain" && r == FromContext }})
	for _, v := range values {
		if v.Name == "chain" && v.Value != "file:" {
			t.Errorf("%+v", v)
		}
	}
}

func TestBadVariables(t *testing.T) {
	_, problems := Apply(schema(), Sources{Env: func(k string) string { return map[string]string{"TROUPE_EXECUTE_WORKERS": "some"}[k] }})
	if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), "TROUPE_EXECUTE_WORKERS: ") {
		t.Errorf("%+v", problems)
	}
	got := UnknownEnv(schema(), []string{"HOME=x", "TROUPE_DEBUG_X=1", "TROUPE_RESUMES=1", "TROUPE_RESUME=1", "TROUPE_CONTEXT=a"}, []string{"TROUPE_CONTEXT"}, nearest)
	if len(got) != 1 || got[0].Key != "TROUPE_RESUMES" {
		t.Errorf("%+v", got)
	}
}

func TestChanges(t *testing.T) {
	apply := func(text string) []Value {
		file, _ := Parse("f", []byte(text))
		values, problems := Apply(schema(), Sources{File: file})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return values
	}
	got := Changes(apply("resume = true\nchain = \"http://a:old@h/\"\n"), apply("job-keep = \"2h\"\nresume = true\nchain = \"http://a:new@h/\"\nexecute-workers = 2\n"))
	want := []Change{{"chain", "http://***@h/", "http://***@h/", false}, {"job-keep", "1h0m0s", "2h0m0s", true}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "http://h:1/p": "http://h:1/p", "http://u:p@h/p": "http://***@h/p", "https://t@h": "https://***@h",
		"http://h/?token=x": "http://h/?***", "/a,http://u:p@q@h/,b": "/a,http://***@h/,b",
	} {
		if got := Mask(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if _, _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("resume = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file, problems, err := Read(path)
	if err != nil || len(problems) > 0 || len(file.Entries) != 1 {
		t.Errorf("%+v %v %v", file, problems, err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(path); !errors.Is(err, fault.CallerDenied) {
		t.Errorf("a file that all may write: %v", err)
	}
	if err := os.Truncate(path, MaxFile+1); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(path); !errors.Is(err, fault.CallerConfig) {
		t.Errorf("a large file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"a = 1\n", "a = [1, \"x\"]", "[t]\na.b = {c = 1}", "a = \"\\u1234\"", "a = '''\nx'''", "a ="} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, problems := Parse("f", text)
		for _, p := range append(problems, Check(schema(), file, nearest)...) {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("%+v", p)
			}
		}
	})
}
