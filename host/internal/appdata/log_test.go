package appdata

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// clock is one that stands until it is set.
type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Time          { return time.Unix(1e9, c.now.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }

func openLogs(t testing.TB, cfg LogConfig) *Logs {
	t.Helper()
	l, err := OpenLogs(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func (l *Logs) must(t testing.TB, a manifest.Address) *AppLog {
	t.Helper()
	log, err := l.App(a)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func texts(t testing.TB, a *AppLog, n int) []string {
	t.Helper()
	lines, err := a.Last(n)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range lines {
		out = append(out, string(l.Text))
	}
	return out
}

func TestLinesComeBackAsTheyWere(t *testing.T) {
	c := &clock{}
	cfg := LogConfig{Dir: filepath.Join(t.TempDir(), "logs"), Now: c.Now}
	l := openLogs(t, cfg)
	a := l.must(t, app(1))
	all := ""
	for r := rune(0); r < 0x300; r++ {
		all += string(r)
	}
	want := []Line{}
	for n, text := range []string{"", "hello", "\"quoted\\\"", "two\nlines\r", "\x1b[31mred\x7f\u202e\u2028\U000e0001\U0001f600", "\xff\xfe not text", all} {
		c.advance(time.Millisecond)
		want = append(want, Line{Seq: uint64(n + 1), Time: c.Now(), Instance: 7, Level: 1 + n%5, Text: []byte(text)})
		a.Instance(7).Write(1+n%5, []byte(text))
	}
	a.Instance(8).Write(-1, []byte("low"))
	a.Instance(8).Write(99, []byte("high"))
	want = append(want, Line{8, c.Now(), 8, LevelError, []byte("low")}, Line{9, c.Now(), 8, LevelTrace, []byte("high")})
	for range 2 { // and after a restart
		got, err := a.Last(100)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		if got, err := a.Last(2); err != nil || len(got) != 2 || got[0].Seq != 8 {
			t.Errorf("the last two: %v, %v", got, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = openLogs(t, cfg)
		a = l.must(t, app(1))
	}
	a.Instance(1).Write(LevelInfo, []byte("after"))
	if got, err := a.Last(1); err != nil || got[0].Seq != 10 {
		t.Errorf("after a restart: %v, %v", got, err)
	}
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "*", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.ReplaceAll(string(raw), "\n", "") {
		if !unicode.IsPrint(r) {
			t.Errorf("the file has %U", r)
		}
	}
	for line := range bytes.Lines(raw) {
		if !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

// TestAFloodIsBoundedAndCounted logs much more than may be kept and than the rate admits.
func TestAFloodIsBoundedAndCounted(t *testing.T) {
	c := &clock{}
	l := openLogs(t, LogConfig{Dir: t.TempDir(), Now: c.Now, AppBytes: 64 << 10, Rate: 10_000, Burst: 20_000})
	a := l.must(t, app(1))
	text := bytes.Repeat([]byte("x"), 400)
	w := a.Instance(1)
	const lines = 20_000
	for n := range lines {
		w.Write(LevelInfo, text)
		c.advance(10 * time.Microsecond) // 0.2 s, less than a byte each
		if n%10 == 9 {
			a.flush() // less than may wait
		}
	}
	kept := texts(t, a, MaxLast)
	d := a.Dropped()
	if n := uint64(len(kept)); n+d.Lines != lines || d.Bytes != d.Lines*400 || n < 20_000/(400+lineOverhead) || n > 22_100/(400+lineOverhead-60) {
		t.Errorf("%d lines kept, %+v dropped", n, d)
	}
	for range 100 { // at leisure, much more than fits
		c.advance(time.Second)
		for range 15 {
			w.Write(LevelInfo, text)
		}
		a.flush()
	}
	if again := a.Dropped(); again != d {
		t.Errorf("%+v were dropped below the rate", again)
	}
	if n := l.Bytes(); n > 64<<10 || n < 32<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	size := int64(0)
	files, err := filepath.Glob(filepath.Join(l.cfg.Dir, "*", "*.jsonl"))
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	if err != nil || size != l.Bytes() || len(files) < 2 {
		t.Errorf("%d files with %d bytes, known are %d", len(files), size, l.Bytes())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLogs(t, l.cfg)
	if again := l.must(t, app(1)).Dropped(); again != d {
		t.Errorf("after a restart %+v are known to be dropped, they were %+v", again, d)
	}
	a = l.must(t, app(1))
	a.Instance(1).Write(LevelInfo, make([]byte, MaxText+1))
	if again := a.Dropped(); again.Bytes <= d.Bytes {
		t.Errorf("a long text: %+v", again)
	}
}

func TestAFullDiskDropsAndGoesOn(t *testing.T) {
	var full atomic.Bool
	room := true
	l := openLogs(t, LogConfig{Dir: t.TempDir(), Room: func() bool { return room }, write: func(f *os.File, b []byte, at int64) (int, error) {
		if full.Load() {
			n, _ := f.WriteAt(b[:len(b)/2], at)
			return n, syscall.ENOSPC
		}
		return f.WriteAt(b, at)
	}})
	a := l.must(t, app(1))
	for _, step := range []struct {
		text       string
		full, room bool
	}{{"a", false, true}, {"b", true, true}, {"c", false, true}, {"d", false, false}, {"e", false, true}} {
		full.Store(step.full)
		room = step.room
		a.Instance(1).Write(LevelInfo, []byte(step.text))
		a.flush()
	}
	if diff := cmp.Diff([]string{"a", "c", "e"}, texts(t, a, 9)); diff != "" || a.Dropped().Lines != 2 {
		t.Errorf("%+v dropped\n%s", a.Dropped(), diff)
	}
}

func TestAHalfLineOfACrashIsCutOff(t *testing.T) {
	cfg := LogConfig{Dir: t.TempDir()}
	l := openLogs(t, cfg)
	a := l.must(t, app(1))
	a.Instance(1).Write(LevelInfo, []byte("whole"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "*", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("rubbish\n{\"seq\":2,\"time\":\"20")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	l = openLogs(t, cfg)
	a = l.must(t, app(1))
	a.Instance(1).Write(LevelInfo, []byte("next"))
	if diff := cmp.Diff([]string{"whole", "next"}, texts(t, a, 9)); diff != "" {
		t.Error(diff)
	}
	if got, err := a.Last(1); err != nil || got[0].Seq != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTheOldestLogGivesWay(t *testing.T) {
	c := &clock{}
	cfg := LogConfig{Dir: t.TempDir(), Now: c.Now, AppBytes: 8 << 10, TotalBytes: 20 << 10}
	l := openLogs(t, cfg)
	for n := range byte(6) {
		c.advance(time.Second)
		a := l.must(t, app(n))
		for range 40 {
			a.Instance(1).Write(LevelInfo, bytes.Repeat([]byte{'a' + n}, 100))
			a.flush()
		}
		if n != 3 { // one is still open
			a.Close()
		}
		if l.Bytes() > 20<<10 {
			t.Errorf("%d bytes", l.Bytes())
		}
	}
	var left []byte
	for n := range byte(6) {
		if len(texts(t, l.must(t, app(n)), 1)) > 0 {
			left = append(left, n)
		}
	}
	if diff := cmp.Diff([]byte{3, 4, 5}, left); diff != "" {
		t.Error(diff)
	}
	if err := errors.Join(l.Remove(app(5)), l.Remove(app(5)), l.Remove(app(77))); err != nil || len(texts(t, l.must(t, app(5)), 9)) != 0 {
		t.Errorf("after the removal: %v", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, l.must(t, app(5)).dir)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestAnAppWithoutALogTakesNoMemory opens and closes many.
func TestAnAppWithoutALogTakesNoMemory(t *testing.T) {
	l := openLogs(t, LogConfig{Dir: t.TempDir()})
	for n := range byte(200) {
		a := l.must(t, app(n))
		if n%2 == 0 {
			a.Instance(1).Write(LevelInfo, []byte("x"))
			if err := l.Remove(app(n)); err != nil {
				t.Fatal(err)
			}
		}
		a.Close()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(l.apps) != 0 || l.waiting.Load() != 0 || l.total != 0 {
		t.Errorf("%d apps, %d bytes wait, %d are kept", len(l.apps), l.waiting.Load(), l.total)
	}
}

// TestWhoFollowsSeesEachLineOnce follows from the beginning, the middle and the end, while lines come and files change.
func TestWhoFollowsSeesEachLineOnce(t *testing.T) {
	l := openLogs(t, LogConfig{Dir: t.TempDir(), AppBytes: 1 << 20, Waiting: 2 << 10})
	a := l.must(t, app(1))
	write := func(from, to int) {
		for n := from; n <= to; n++ {
			a.Instance(1).Write(LevelInfo, []byte(fmt.Sprint(n)))
			if n%10 == 0 {
				a.flush() // less than may wait
			}
		}
		a.flush()
	}
	write(1, 300)
	var wg sync.WaitGroup
	began := make(chan struct{}, 3)
	for _, after := range []uint64{0, 150, 300} {
		wg.Go(func() {
			next := after
			began <- struct{}{}
			for line, err := range a.Follow(t.Context(), after) {
				if next++; err != nil || line.Seq != next || string(line.Text) != fmt.Sprint(next) {
					t.Errorf("after %d: line %d %q, want %d, %v", after, line.Seq, line.Text, next, err)
					return
				}
				if next == 6000 {
					return
				}
			}
		})
	}
	for range 3 {
		<-began
	}
	write(301, 6000)
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	seen := 0
	for _, err := range a.Follow(ctx, 6000) {
		if seen++; !errors.Is(err, fault.CanceledCaller) {
			t.Error(err)
		}
	}
	if seen != 1 {
		t.Errorf("%d things after the end", seen)
	}
}

// TestWhoIsTooSlowMissesNumbers follows a log whose oldest lines go meanwhile.
func TestWhoIsTooSlowMissesNumbers(t *testing.T) {
	l := openLogs(t, LogConfig{Dir: t.TempDir(), AppBytes: 4 << 10})
	a := l.must(t, app(1))
	write := func(n int) {
		for range n {
			a.Instance(1).Write(LevelInfo, bytes.Repeat([]byte("x"), 100))
			a.flush()
		}
	}
	write(5)
	var last uint64
	missed := false
	for line, err := range a.Follow(t.Context(), 0) {
		if err != nil || line.Seq <= last {
			t.Fatalf("line %d after %d, %v", line.Seq, last, err)
		}
		missed = missed || line.Seq > last+1
		last = line.Seq
		if last == 3 {
			write(200)
		}
		if last == 205 {
			break
		}
	}
	if !missed {
		t.Error("nothing was missed")
	}
}

// TestWrittenLinesSurviveAKill kills a child that logs, and says up to where its lines were written.
func TestWrittenLinesSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	next, acked := 1, 0
	for range 3 {
		c := exec.Command(os.Args[0], dir)
		c.Env = append(os.Environ(), childEnv+"=log")
		out, err := c.StdoutPipe()
		if err := errors.Join(err, c.Start()); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for in := bufio.NewScanner(out); in.Scan(); {
			if _, err := fmt.Sscanf(in.Text(), "ack %d", &acked); err != nil {
				t.Fatalf("the child says %q", in.Text())
			}
			if lines++; lines == 100 {
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		l := openLogs(t, LogConfig{Dir: dir})
		a := l.must(t, app(1))
		got, err := a.Last(MaxLast)
		if err != nil || len(got) < acked {
			t.Fatalf("%d lines, %d were acknowledged, %v", len(got), acked, err)
		}
		for n, line := range got {
			if line.Seq != uint64(n+1) {
				t.Fatalf("line %d is number %d", n, line.Seq)
			}
		}
		if len(got) < next {
			t.Errorf("%d lines, before there were %d", len(got), next)
		}
		next = len(got)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func logForEver(dir string) {
	l, err := OpenLogs(LogConfig{Dir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	a, err := l.App(app(1))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for range 2000 {
		a.Instance(1).Write(LevelInfo, []byte("x"))
		lines, err := a.Last(1)
		if err != nil || len(lines) != 1 {
			fmt.Println(lines, err)
			os.Exit(1)
		}
		fmt.Println("ack", lines[0].Seq)
	}
	select {}
}

func BenchmarkLogWrite(b *testing.B) {
	for _, what := range []string{"kept", "dropped"} {
		b.Run(what, func(b *testing.B) {
			cfg := LogConfig{Dir: b.TempDir(), Rate: 1 << 40, Burst: 1 << 40}
			if what == "dropped" {
				cfg.Rate, cfg.Burst = 1, 1
			}
			a := openLogs(b, cfg).must(b, app(1))
			text := bytes.Repeat([]byte("x"), 100)
			w := a.Instance(1)
			b.ReportAllocs()
			for b.Loop() {
				w.Write(LevelInfo, text)
			}
			b.ReportMetric(float64(a.Dropped().Lines)/float64(b.N), "dropped/op")
		})
	}
}
