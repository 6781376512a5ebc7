package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/testdata/hostile"
)

func all(t *testing.T, r *Ring) []inspect.LogLine {
	t.Helper()
	lines, _, err := r.Lines(t.Context(), 0, 1<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestARecordIsKeptAndGoesOn(t *testing.T) {
	var out bytes.Buffer
	r := New(Config{Out: zerolog.New(&out).Level(zerolog.InfoLevel).With().Str("of", "embedder").Logger()})
	log := r.Logger().With().Str("host", "h").Logger()
	log.Warn().Str("code", "host.disk_io").Err(errors.New("a\nb")).Int("n", 7).Interface("list", []any{1, "x\x1b"}).Msg("it is so")
	log.Debug().Msg("not wanted")
	want := []inspect.LogLine{{Seq: 1, Level: "warn", Code: "host.disk_io", Message: "it is so",
		Fields: map[string]any{"host": "h", "error": "a; b", "n": json.Number("7"), "list": []any{json.Number("1"), "x\ufffd"}}}}
	got := all(t, r)
	got[0].At = time.Time{}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, want := out.String(), `{"level":"warn","of":"embedder","host":"h","code":"host.disk_io","error":"a; b","n":7,"list":[1,"x`+"\ufffd"+`"],"message":"it is so"}`+"\n"; got != want {
		t.Errorf("the embedder has\n%s, want\n%s", got, want)
	}
}

func TestASilentLogIsKept(t *testing.T) {
	for _, out := range []zerolog.Logger{zerolog.Nop(), {}} {
		r := New(Config{Out: out})
		log := r.Logger()
		log.Info().Msg("here")
		log.Debug().Msg("not here")
		if got := all(t, r); len(got) != 1 || got[0].Message != "here" {
			t.Errorf("%+v", got)
		}
	}
}

func TestAnActorAtAnotherLevelIsSeen(t *testing.T) {
	var out bytes.Buffer
	r := New(Config{Out: zerolog.New(&out).Level(zerolog.InfoLevel)})
	loud := r.Logger().Level(zerolog.DebugLevel)
	loud.Debug().Msg("closer")
	if len(all(t, r)) != 1 || !strings.Contains(out.String(), "closer") {
		t.Errorf("%q", out.String())
	}
	quiet := New(Config{Out: zerolog.New(&out).Level(zerolog.ErrorLevel)})
	out.Reset()
	log := quiet.Logger()
	log.Info().Msg("kept only")
	if len(all(t, quiet)) != 1 || out.Len() > 0 {
		t.Errorf("a quiet log says %q", out.String())
	}
}

func TestTheOldestGoFirst(t *testing.T) {
	for name, cfg := range map[string]Config{"number": {Lines: 10}, "bytes": {Bytes: 2000}} {
		cfg.Out = zerolog.New(io.Discard).Level(zerolog.DebugLevel)
		r := New(cfg)
		log := r.Logger()
		for n := range 1000 {
			log.Debug().Int("n", n).Str("pad", strings.Repeat("p", n%200)).Msg("m")
		}
		lines, dropped, err := r.Lines(t.Context(), 0, 1<<20, 0)
		if err != nil || len(lines) == 0 || len(lines) > 40 || dropped != 1000-uint64(len(lines)) {
			t.Fatalf("%s: %d lines, %d dropped, %v", name, len(lines), dropped, err)
		}
		for i, l := range lines {
			if l.Seq != dropped+1+uint64(i) || l.Fields["n"] != json.Number(fmt.Sprint(l.Seq-1)) {
				t.Errorf("%s: line %d is %+v", name, i, l)
			}
		}
		if r.bytes > r.cfg.Bytes {
			t.Errorf("%s: %d bytes", name, r.bytes)
		}
		page, dropped, err := r.Lines(t.Context(), lines[0].Seq, 3, 0)
		if err != nil || dropped != 0 || len(page) != 3 || page[0].Seq != lines[0].Seq+1 {
			t.Errorf("%s: page %+v, %d, %v", name, page, dropped, err)
		}
	}
}

func TestALongRecordIsCut(t *testing.T) {
	r := New(Config{Out: zerolog.Nop()})
	log := r.Logger()
	log.Info().Str("code", "x.y").Str("big", strings.Repeat("b", 1<<20)).Msg("words")
	got := all(t, r)
	if len(got) != 1 || got[0].Code != "x.y" || !strings.HasPrefix(got[0].Message, "words (") || r.bytes > MaxRecord {
		t.Errorf("%+v, %d bytes", got, r.bytes)
	}
}

func TestWhoWaitsIsWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Out: zerolog.Nop()})
		log := r.Logger()
		begin := time.Now()
		if lines, _, err := r.Lines(t.Context(), 0, 10, time.Minute); len(lines) != 0 || err != nil || time.Since(begin) != time.Minute {
			t.Errorf("%v, %v after %v", lines, err, time.Since(begin))
		}
		time.AfterFunc(time.Second, func() { log.Info().Msg("now") })
		if lines, _, err := r.Lines(t.Context(), 0, 10, time.Minute); len(lines) != 1 || err != nil || time.Since(begin) != time.Minute+time.Second {
			t.Errorf("%v, %v after %v", lines, err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := r.Lines(ctx, 1, 10, time.Minute); err == nil {
			t.Error("who leaves is not told")
		}
	})
}

func TestAFloodIsLeftOutAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := New(Config{Out: zerolog.New(&out).Level(zerolog.DebugLevel), Burst: 3, PerSecond: 1})
		log := r.Logger()
		flood := func(n int) {
			for i := range n {
				log.Warn().Str("code", "a.flood").Int("i", i).Msgf("message %d", i)
			}
		}
		flood(10)
		log.Warn().Str("code", "b.other").Msg("another")
		for range 100 {
			log.Debug().Msg("wanted")
		}
		var suppressed []uint64
		count := func() (codes map[string]int) {
			codes, suppressed = map[string]int{}, nil
			for _, l := range all(t, r) {
				codes[l.Code+l.Level]++
				if l.Suppressed > 0 {
					suppressed = append(suppressed, l.Suppressed)
				}
			}
			return codes
		}
		if c := count(); c["a.floodwarn"] != 3 || c["b.otherwarn"] != 1 || c["debug"] != 100 || len(suppressed) != 0 {
			t.Errorf("%v %v", c, suppressed)
		}
		<-time.After(2 * time.Second)
		flood(10)
		if c := count(); c["a.floodwarn"] != 5 || !cmp.Equal(suppressed, []uint64{7}) {
			t.Errorf("%v %v", c, suppressed)
		}
		<-time.After(11 * time.Second)
		log.Info().Msg("something else")
		if c := count(); c["a.floodwarn"] != 6 || !cmp.Equal(suppressed, []uint64{7, 8}) {
			t.Errorf("%v %v", c, suppressed)
		}
		flood(20)
		r.Flush()
		r.Flush()
		if count(); !cmp.Equal(suppressed, []uint64{7, 8, 17}) && !cmp.Equal(suppressed, []uint64{7, 8, 18}) {
			t.Errorf("%v", suppressed)
		}
		if n := strings.Count(out.String(), `"suppressed":`); n != 3 {
			t.Errorf("the embedder was told %d times", n)
		}
	})
}

func TestManyCodesAreBounded(t *testing.T) {
	r := New(Config{Out: zerolog.Nop(), Burst: 1, PerSecond: 1})
	log := r.Logger()
	for n := range 10_000 {
		for range 2 {
			log.Warn().Str("code", fmt.Sprintf("c.%d", n)).Msg("m")
		}
	}
	if n := len(r.limit.young) + len(r.limit.old); n > 2*maxBuckets {
		t.Errorf("%d codes", n)
	}
	if n := len(r.limit.owed); n > 2*maxBuckets+1 {
		t.Errorf("%d debts", n)
	}
}

// TestHostileTextIsInert has everything that a guest may say in messages, fields and names of fields.
func TestHostileTextIsInert(t *testing.T) {
	for _, c := range hostile.Cases() {
		var plain, console bytes.Buffer
		outs := map[string]*bytes.Buffer{"json": &plain, "console": &console}
		for kind, out := range outs {
			var w io.Writer = out
			if kind == "console" {
				w = zerolog.ConsoleWriter{Out: out, NoColor: true}
			}
			r := New(Config{Out: zerolog.New(w)})
			log := r.Logger()
			log.Warn().Str("name", c.Text).Err(errors.New(c.Text)).Strs("list", []string{c.Text}).Dict("in", zerolog.Dict().Str(c.Text, c.Text)).Str("key "+c.Text, "v").Msg("said " + c.Text)
			text := strings.TrimSuffix(out.String(), "\n")
			if err := hostile.Inert(text, 16<<10); err != nil {
				t.Errorf("%s, %s: %v in %.200q", c.Name, kind, err, text)
			}
			if kind == "json" && !json.Valid(out.Bytes()) {
				t.Errorf("%s: no JSON: %.200q", c.Name, text)
			}
			l := all(t, r)[0]
			check := func(what, s string) {
				if err := hostile.Inert(s, maxText); err != nil {
					t.Errorf("%s, %s: %v in %.200q", c.Name, what, err, s)
				}
			}
			check("message", l.Message)
			for k, v := range l.Fields {
				check("key", k)
				switch v := v.(type) {
				case string:
					check(k, v)
				case []any:
					check(k, v[0].(string))
				case map[string]any:
					for k, v := range v {
						check("key", k)
						check(k, v.(string))
					}
				}
			}
		}
	}
}

func TestAStackKeepsItsLines(t *testing.T) {
	var out bytes.Buffer
	r := New(Config{Out: zerolog.New(&out)})
	log := r.Logger()
	log.Error().Str("stack", "goroutine 1:\nmain.f(\x1b[2J)\n\t/a/b.go:7\n"+strings.Repeat("x\n", 50_000)).Msg("panic")
	s, _ := all(t, r)[0].Fields["stack"].(string)
	if r.bytes <= MaxRecord && s == "" { // it was cut in the ring, and is whole in the log
		var fields map[string]any
		if err := json.Unmarshal(out.Bytes(), &fields); err != nil {
			t.Fatal(err)
		}
		s, _ = fields["stack"].(string)
	}
	if !strings.HasPrefix(s, "goroutine 1:\nmain.f(\ufffd[2J)\n  /a/b.go:7\nx\n") || len(s) > maxStack+16 {
		t.Errorf("%d bytes: %.60q", len(s), s)
	}
}

func TestManyWriteAndRead(t *testing.T) {
	r := New(Config{Out: zerolog.New(io.Discard).Level(zerolog.DebugLevel), Lines: 64})
	log := r.Logger()
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		writers.Go(func() {
			for n := range 2000 {
				log.Debug().Int("n", n).Msg("m")
			}
		})
		readers.Go(func() {
			var after, seen, lost uint64
			for {
				lines, dropped, err := r.Lines(t.Context(), after, 16, time.Millisecond)
				if err != nil {
					t.Error(err)
					return
				}
				for _, l := range lines {
					if dropped > 0 {
						after, lost, dropped = after+dropped, lost+dropped, 0
					}
					if l.Seq != after+1 {
						t.Errorf("%d after %d", l.Seq, after)
					}
					after = l.Seq
					seen++
				}
				select {
				case <-done:
					if after == r.Newest() {
						if seen+lost != 8000 {
							t.Errorf("%d seen and %d lost of 8000", seen, lost)
						}
						return
					}
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

func TestARecordThatNobodyReadsAllocatesNothing(t *testing.T) {
	r := New(Config{Out: zerolog.Nop(), Lines: 32})
	line := []byte(`{"level":"debug","host":"h","job":7,"message":"executed"}` + "\n")
	write := func() { _, _ = r.WriteLevel(zerolog.DebugLevel, line) }
	for range 64 {
		write()
	}
	if n := testing.AllocsPerRun(1000, write); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"level":"info","a":{"b":[1,"}"]},"message":"m\"x"}`))
	f.Add([]byte(`{"a`))
	f.Add([]byte(`{"a":"\`))
	f.Fuzz(func(t *testing.T, p []byte) {
		r := New(Config{Out: zerolog.New(io.Discard)})
		_, _ = r.WriteLevel(zerolog.WarnLevel, p)
		for _, l := range all(t, r) {
			if err := hostile.Inert(l.Message, maxText); err != nil {
				t.Error(err)
			}
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	line := []byte(`{"level":"warn","host":"troupe","worker":"execute-12","pid":4711,"tenant":"default","message":"worker killed: idle"}` + "\n")
	for name, out := range map[string]zerolog.Logger{"kept": zerolog.Nop(), "passed on": zerolog.New(io.Discard)} {
		b.Run(name, func(b *testing.B) {
			r := New(Config{Out: out, Burst: 1 << 30})
			b.ReportAllocs()
			for b.Loop() {
				_, _ = r.WriteLevel(zerolog.WarnLevel, line)
			}
		})
	}
}
