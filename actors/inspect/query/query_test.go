package query_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/actors/run"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func actor() inspect.Actor {
	return inspect.Actor{
		Path: "troupe/execute/Worker-3", Kind: "worker", State: "busy", Since: now.Add(-10 * time.Second), Depth: 9, Cap: 10, App: "pricing",
		Restarts: 1, MaxRestarts: 5, LastFault: "guest.fuel_exhausted", Handler: inspect.Timing{P99Micros: 2_100_000},
		Rates: &inspect.Rates{Handled: inspect.Windows{S10: 4.5}}, Dropped: map[string]uint64{"a": 2, "b": 3}, Incarnation: 7,
	}
}

func TestMatch(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "   ": true,
		`app=pricing state=busy,backoff age>5s mailbox>80% fault~"fuel" since:10m`: true,
		"state!=idle": true, "state!=busy": false, "!state=busy": false, "-state=idle": true, "state=idle,busy": true, "state=idle,stopped": false, "state!=idle,busy": false,
		"age>5s": true, "age>=10s": true, "age>10s": false, "age<10s": false, "age<=10s": true, "age:1m": true, "age:5s": false,
		"since:10m": true, "since:5s": false, "since>2026-05-04": true, "since<2026-05-04T11:59:50Z": false, "since>=2026-05-04T11:59:50Z": true,
		"mailbox>80%": true, "mailbox>90%": false, "mailbox=90%": true, "mailbox=9": true, "depth>8": true, "mailbox<1k": true,
		"restarts<20%": false, "restarts=20%": true,
		"fault~FUEL": true, "fault!~fuel": false, "fault=guest.*": true, "fault=*fuel*": true, "fault=guest": false, "fault=": false, "fault!=": true, "log_level=": true,
		"p99>2s": true, "p99<2100ms": false, "p99=2.1s": true, "rate>4": true, "rate>4.5": false, "dropped=5": true,
		"worker": true, "WORKER-3": true, "nobody": false, "!nobody": true, "-worker": false, `"worker-3"`: true, "execute pricing": true, "execute nobody": false,
		"paused=false": true, "paused=yes": false, "oldest>1s": false, "!oldest>1s": true, "oldest=0s": false, "incarnation=7": true,
		"path=troupe/*/worker-*": true, "path=troupe/*/x": false, `state~us`: true, "state=b*": true,
	} {
		q, err := query.Parse("actors", text, now)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		a := actor()
		if q.Match(&a) != want || q.Match(a) != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
}

func TestPriorityIsOrdered(t *testing.T) {
	for text, want := range map[string]bool{"priority>normal": true, "priority>=high": true, "priority>high": false, "priority<critical": true, "priority=high,low_": false} {
		q, err := query.Parse("jobs", text, now)
		if strings.Contains(text, "low_") {
			if err == nil {
				t.Errorf("%q is taken", text)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if q.Match(&run.Job{Priority: "high"}) != want {
			t.Errorf("%q: want %v", text, want)
		}
		if q.Match(&run.Job{}) || q.Match(&run.Job{Priority: "from the future"}) {
			t.Errorf("%q: a job without a known priority matches", text)
		}
	}
}

func TestAFieldHasTwoPlaces(t *testing.T) {
	q, err := query.Parse("jobs", "fault=guest.trap", now)
	if err != nil {
		t.Fatal(err)
	}
	if !q.Match(&run.Job{Receipt: &run.Receipt{Fault: "guest.trap"}}) || !q.Match(&run.Job{Fault: "guest.trap"}) || q.Match(&run.Job{Receipt: &run.Receipt{}}) {
		t.Error("a fault is not found, or found where it is not")
	}
}

func TestErrorsNameTheColumn(t *testing.T) {
	for text, want := range map[string]query.Error{
		"state=idle mailbx>3":  {Column: 12, Word: "mailbx", Near: "mailbox"},
		"state=idel":           {Column: 7, Word: "idel", Near: "idle"},
		"age>5":                {Column: 5, Word: "5"},
		"state>idle":           {Column: 6, Word: ">"},
		"mailbox~3":            {Column: 8, Word: "~"},
		"mailbox>x%":           {Column: 9, Word: "x%"},
		"age>1s,2s":            {Column: 8, Word: "2s"},
		`fault~"fuel`:          {Column: 7, Word: "fuel"},
		"app=x  mailbox>":      {Column: 16},
		"paused=maybe":         {Column: 8, Word: "maybe"},
		"since:yesterday":      {Column: 7, Word: "yesterday"},
		"qqqqqqqqqqqqq=1":      {Column: 1, Word: "qqqqqqqqqqqqq"},
		"state=idle !rstrts>1": {Column: 13, Word: "rstrts", Near: "restarts"},
		"mailbox>0x10":         {Column: 9, Word: "0x10"},
		"mailbox>NaN":          {Column: 9, Word: "NaN"},
	} {
		_, err := query.Parse("actors", text, now)
		if !errors.Is(err, fault.CallerQuery) {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got, ok := errors.AsType[*query.Error](err)
		if !ok || got.Column != want.Column || got.Word != want.Word || got.Near != want.Near || got.Say == "" {
			t.Errorf("%q: %+v", text, got)
		}
		if !strings.Contains(err.Error(), fmt.Sprintf("column %d", want.Column)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, bad := range []string{strings.Repeat("a ", query.MaxTerms+1), strings.Repeat("a", query.MaxBytes+1), "app=" + strings.Repeat("a,", query.MaxValues+1)} {
		if _, err := query.Parse("actors", bad, now); !errors.Is(err, fault.CallerQuery) {
			t.Errorf("%.20q of %d bytes is taken", bad, len(bad))
		}
	}
	if _, err := query.Parse("nothing", "", now); !errors.Is(err, fault.CallerQuery) {
		t.Error("an unknown view is taken")
	}
	if _, err := query.Parse("overview", "x", now); !errors.Is(err, fault.CallerQuery) {
		t.Error("a view without fields is searched")
	}
}

func TestSort(t *testing.T) {
	rows := func() []inspect.Actor {
		return []inspect.Actor{{Path: "b", Depth: 2, Since: now.Add(-time.Minute)}, {Path: "a", Depth: 2}, {Path: "c", Depth: 1, Since: now.Add(-time.Hour)}}
	}
	for by, want := range map[string]string{"": "bac", "path": "abc", "-path": "cba", "mailbox": "cba", "-mailbox": "bac", "age": "bca", "-age": "cba", "since": "cba"} {
		all := rows()
		if err := query.Sort("actors", all, by, now); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, a := range all {
			got += a.Path
		}
		if got != want {
			t.Errorf("%q: %s, want %s", by, got, want)
		}
	}
	err := query.Sort("actors", rows(), "-mailbx", now)
	if e, ok := errors.AsType[*query.Error](err); !ok || e.Near != "mailbox" || e.Column != 2 || fault.From(err).Op != "sort" {
		t.Errorf("got %v", err)
	}
	jobs := []run.Job{{Priority: "high"}, {Priority: "background"}, {Priority: "critical"}}
	if err := query.Sort("jobs", jobs, "-priority", now); err != nil || jobs[0].Priority != "critical" || jobs[2].Priority != "background" {
		t.Errorf("%v %v", jobs, err)
	}
}

func TestComplete(t *testing.T) {
	for text, want := range map[string]string{
		"mail": "mailbox>", "state=b": "busy", "state=idle,ba": "backoff", "path=x sta": "state=", "!sta": "state=", "paused=": "true", "age>1": "1s",
		"fau": "fault~", "sin": "since:", "depth": "mailbox>",
	} {
		all := query.Complete("actors", text, len(text))
		if len(all) == 0 || all[0].Text != want {
			t.Errorf("%q: %+v", text, all)
			continue
		}
		if next := text[:all[0].From] + all[0].Text + text[all[0].To:]; strings.HasSuffix(want, "y") {
			if _, err := query.Parse("actors", next, now); err != nil {
				t.Errorf("%q becomes %q: %v", text, next, err)
			}
		}
	}
	if all := query.Complete("actors", "sta=busy x", 3); len(all) == 0 || all[0].To != 8 {
		t.Errorf("in the middle: %+v", all)
	}
	if all := query.Complete("actors", "", 0); len(all) < 20 {
		t.Errorf("nothing typed: %d", len(all))
	}
}

// records are one record of each view whose type is known here.
func records() map[string]any {
	return map[string]any{
		"actors": inspect.Actor{}, "guests": inspect.Guest{}, "jobs": run.Job{}, "queues": inspect.Queue{}, "artifacts": inspect.Artifact{}, "workers": inspect.Worker{},
		"dead": inspect.Letter{}, "apps": inspect.App{}, "health": inspect.Health{}, "log": inspect.LogLine{}, "outbox": inspect.Outgoing{}, "demands": inspect.Demand{},
	}
}

// A field that names nothing in its record would never match, and nobody would be told.
func TestFieldsExist(t *testing.T) {
	for view, record := range records() {
		filled := reflect.New(reflect.TypeOf(record))
		fill(filled.Elem())
		if query.ID(view, filled.Interface()) == "" {
			t.Errorf("%s: no id", view)
		}
		seen := map[string]bool{}
		for _, f := range query.Fields(view) {
			for _, name := range append([]string{f.Name}, f.Aliases...) {
				if seen[name] || name != strings.ToLower(name) {
					t.Errorf("%s.%s: twice, or not in lower case", view, name)
				}
				seen[name] = true
			}
			if f.Help == "" {
				t.Errorf("%s.%s: no help", view, f.Name)
			}
			probe := map[query.Kind]string{query.Text: "~x", query.Enum: "~x", query.Ordered: "~x", query.Bool: "=true", query.Number: ">0", query.Bytes: ">0", query.Duration: ">0s", query.Time: ":20m"}[f.Kind]
			q, err := query.Parse(view, f.Name+probe, now)
			if err != nil {
				t.Errorf("%s: %v", view, err)
				continue
			}
			if !q.Match(filled.Interface()) {
				t.Errorf("%s.%s is not found in its record", view, f.Name)
			}
			if f.Percent {
				if q, err = query.Parse(view, f.Name+">0%", now); err != nil || !q.Match(filled.Interface()) {
					t.Errorf("%s.%s has no capacity: %v", view, f.Name, err)
				}
			}
		}
	}
}

// fill puts something into everything.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("xx")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16, reflect.Int8:
		v.SetInt(3)
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		v.SetUint(3)
	case reflect.Float64:
		v.SetFloat(3)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.Interface:
		v.Set(reflect.ValueOf("xx"))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(now.Add(-time.Minute)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

func TestAt(t *testing.T) {
	q, err := query.Parse("actors", "age>20s", now)
	if err != nil {
		t.Fatal(err)
	}
	a := actor()
	if q.Match(&a) || !q.At(now.Add(time.Minute)).Match(&a) {
		t.Error("a query does not follow the clock")
	}
}

func TestSelectKeepsTheOrder(t *testing.T) {
	q, _ := query.Parse("actors", "mailbox>1", now)
	got := query.Select(q, []inspect.Actor{{Path: "a", Depth: 2}, {Path: "b"}, {Path: "c", Depth: 3}})
	if d := cmp.Diff([]string{"a", "c"}, []string{got[0].Path, got[1].Path}); d != "" || len(got) != 2 {
		t.Error(d)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`app=x state=busy,backoff age>5s mailbox>80% fault~"fuel" since:10m`, "!x -y", `"a\"b`, "a=,,b", "age>1d2h", "since:-5m", "=", "!", "mailbox>-1%", "path=*a*b*c*"} {
		f.Add(s, uint8(3))
	}
	views := query.Views()
	all := records()
	f.Fuzz(func(t *testing.T, s string, pick uint8) {
		view := views[int(pick)%len(views)]
		q, err := query.Parse(view, s, now)
		if err != nil {
			e, ok := errors.AsType[*query.Error](err)
			if !errors.Is(err, fault.CallerQuery) || !ok || e.Column < 1 || e.Column > len(s)+1 {
				t.Errorf("%q: %v", s, err)
			}
		} else if record, ok := all[view]; ok {
			filled := reflect.New(reflect.TypeOf(record))
			q.Match(filled.Interface())
			fill(filled.Elem())
			if again, err := query.Parse(view, s, now); err != nil || again.Match(filled.Interface()) != q.Match(filled.Interface()) {
				t.Errorf("%q: not the same twice", s)
			}
		}
		cursor := int(pick) % (len(s) + 1)
		for _, c := range query.Complete(view, s, cursor) {
			if c.From < 0 || c.From > cursor || c.To < cursor || c.To > len(s) || c.Text == "" {
				t.Errorf("%q at %d: %+v", s, cursor, c)
			}
		}
	})
}

func rows(n int) []inspect.Actor {
	all := make([]inspect.Actor, n)
	for i := range all {
		all[i] = actor()
		all[i].Path = fmt.Sprintf("troupe/execute/worker-%d", i)
		all[i].Depth = i % 11
	}
	return all
}

// A match makes nothing that must be collected, but for fields of maps.
func TestMatchAllocatesNothing(t *testing.T) {
	q, err := query.Parse("actors", `app=pricing state=busy,backoff age>5s mailbox>80% fault~"fuel" since:10m worker`, now)
	if err != nil {
		t.Fatal(err)
	}
	all := rows(100)
	q.Match(&all[0])
	if n := testing.AllocsPerRun(10, func() {
		for i := range all {
			q.Match(&all[i])
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMatch10k(b *testing.B) {
	q, _ := query.Parse("actors", `app=pricing state=busy,backoff age>5s mailbox>80% fault~"fuel" since:10m`, now)
	all := rows(10_000)
	for b.Loop() {
		if len(query.Select(q, all)) == 0 {
			b.Fatal("nothing")
		}
	}
}

func TestViewsAreSorted(t *testing.T) {
	if all := query.Views(); !slices.IsSorted(all) || !slices.Contains(all, "actors") {
		t.Error(all)
	}
}
