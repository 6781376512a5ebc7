package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupehost/troupe/host/control/api"
)

func open(t *testing.T, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestSequenceGoesOnOverRestarts(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	for range 3 {
		l.Append(api.Audit{Caller: "uid:1", Outcome: "done"})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Append(api.Audit{}) // too late
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	// A crash tore the last line.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"seq":4,"caller":"ui`)
	_ = f.Close()
	l = open(t, dir, Options{})
	l.Append(api.Audit{Caller: "uid:2", Outcome: "done"})
	rows, lost, _ := l.After(0, 10)
	if len(rows) != 4 || lost != 0 || rows[3].Seq != 4 || rows[3].Caller != "uid:2" {
		t.Errorf("%+v, %d lost", rows, lost)
	}
	text, _ := os.ReadFile(path)
	if strings.Count(string(text), "\n") != 4 || strings.Contains(string(text), `"ui"`) {
		t.Errorf("%s", text)
	}
}

func TestFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{MaxBytes: 2000, MaxFiles: 3, Memory: 4})
	const n = 200
	for i := range n {
		l.Append(api.Audit{Caller: "uid:1", Target: fmt.Sprint(i), Outcome: "done"})
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 3 {
		t.Errorf("%d files", len(files))
	}
	for _, f := range files {
		if info, _ := f.Info(); info.Size() > 2000 {
			t.Errorf("%s has %d bytes", f.Name(), info.Size())
		}
	}
	rows, lost, _ := l.After(0, 1000)
	if len(rows) < 20 || rows[len(rows)-1].Seq != n || lost == 0 || lost+uint64(len(rows)) != n {
		t.Errorf("%d rows, %d lost", len(rows), lost)
	}
	for i := 1; i < len(rows); i++ {
		if rows[i].Seq != rows[i-1].Seq+1 {
			t.Fatalf("%d after %d", rows[i].Seq, rows[i-1].Seq)
		}
	}
	if page, _, _ := l.After(rows[0].Seq, 3); len(page) != 3 || page[0].Seq != rows[1].Seq {
		t.Errorf("%+v", page)
	}
	if newest, last := l.Newest(2); len(newest) != 2 || last != n || newest[1].Seq != n {
		t.Errorf("%+v", newest)
	}
	_ = l.Close()
	if l = open(t, dir, Options{MaxBytes: 2000, MaxFiles: 3, Memory: 4}); l.seq != n {
		t.Errorf("goes on after %d", l.seq)
	}
}

// Who is refused over and over does not push out what others did.
func TestRefusalsAreCountedNotKept(t *testing.T) {
	l := open(t, "", Options{Refusals: 5})
	for range 100 {
		l.Append(api.Audit{Outcome: "refused"})
	}
	l.Append(api.Audit{Outcome: "done"})
	rows, _ := l.Newest(1000)
	last := rows[len(rows)-1]
	if len(rows) > 11 || last.Outcome != "done" || last.Suppressed < 90 {
		t.Errorf("%d rows, the last is %+v", len(rows), last)
	}
}

func TestNewsAreAnnounced(t *testing.T) {
	l := open(t, "", Options{})
	_, _, news := l.After(0, 1)
	select {
	case <-news:
		t.Fatal("nothing is new")
	default:
	}
	l.Append(api.Audit{Outcome: "done"})
	<-news
}

func TestADirectoryThatIsGone(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none"), Options{}); err == nil {
		t.Error("no error")
	}
}

func TestLongTextsDoNotBreakLines(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, Options{})
	l.Append(api.Audit{Target: strings.Repeat("x\n", MaxLine), Reason: "a\nb", Outcome: "done"})
	l.Append(api.Audit{Outcome: "done"})
	_ = l.Close()
	text, _ := os.ReadFile(filepath.Join(dir, name))
	if strings.Count(string(text), "\n") != 2 {
		t.Errorf("%d lines", strings.Count(string(text), "\n"))
	}
}

func TestADiskThatRefusesIsReported(t *testing.T) {
	l := open(t, t.TempDir(), Options{})
	_ = l.file.Close()
	l.Append(api.Audit{Outcome: "done"})
	if rows, _ := l.Newest(1); l.Failed() == nil || len(rows) != 1 {
		t.Error("a lost line is not told, or not in memory")
	}
}
