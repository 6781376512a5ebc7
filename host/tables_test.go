package host

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/internal/pool"
)

func TestIdleCodeIsBoundedByBytesAndByFiles(t *testing.T) {
	for _, row := range []struct {
		bytes       int64
		files, want int
	}{{1 << 20, 3, 3}, {40, 100, 4}} {
		c := newCodeTable(row.bytes, row.files)
		for n := range byte(10) {
			code := bytes.Repeat([]byte{n}, 10)
			hash := artifacts.HashCode(code)
			if err := c.put(hash, code); err != nil {
				t.Fatal(err)
			}
			c.release(hash)
		}
		if len(c.byHash) != row.want {
			t.Errorf("%d codes are kept within %d bytes and %d files, want %d", len(c.byHash), row.bytes, row.files, row.want)
		}
		c.close()
	}
}

func TestARunIsStartedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := newRunTable()
		var out bytes.Buffer
		id := runs.add(pool.RunIO{Stdin: bytes.NewReader([]byte("in")), Stdout: &out})
		first, ok := runs.Open(id)
		if _, again := runs.Open(id); !ok || again {
			t.Errorf("opened %v, a second time %v", ok, again)
		}
		_, _ = first.Stdout.Write(nil)
		first.Release()
		second, ok := runs.Open(id)
		if !ok {
			t.Error("a run that touched nothing may be repeated")
		}
		_, _ = second.Stdout.Write([]byte("x"))
		second.Release()
		if _, ok := runs.Open(id); ok {
			t.Error("a run whose output was seen was started again")
		}
		if !runs.remove(id, time.Hour) {
			t.Error("nobody uses it")
		}

		id = runs.add(pool.RunIO{Stdin: bytes.NewReader([]byte("in")), Stdout: &out})
		r, _ := runs.Open(id)
		begin := time.Now()
		if runs.remove(id, time.Second) || time.Since(begin) != time.Second {
			t.Errorf("given up after %v", time.Since(begin))
		}
		if _, err := r.Stdout.Write([]byte("late")); !errors.Is(err, errRunEnded) || out.String() != "x" {
			t.Errorf("a late write: %v, %q", err, &out)
		}
		if _, err := io.ReadAll(r.Stdin); !errors.Is(err, errRunEnded) {
			t.Errorf("a late read: %v", err)
		}
	})
}
