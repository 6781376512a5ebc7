package devchain

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

// served is all that a chain tells.
type served struct {
	blocks []chain.Block
	txs    []TxPlace
	state  string
}

func all(c *Chain) (s served, err error) {
	for h := range c.tip.Load().Height + 1 {
		b, err := c.Block(h)
		if err != nil {
			return s, err
		}
		s.blocks = append(s.blocks, b)
		for _, r := range b.Txs {
			at, err := c.Tx(r.Hash)
			if err != nil {
				return s, err
			}
			s.txs = append(s.txs, at)
		}
	}
	var out bytes.Buffer
	err = c.Export(&out)
	s.state = out.String()
	return s, err
}

// damaged is a chain whose files a test spoils.
type damaged struct {
	cfg   Config
	files map[string][]byte // by path in the directory
	want  served
}

// newDamaged makes a chain with small and large blocks. Of one that crashed the files are those of a running one.
func newDamaged(t *testing.T, crashed bool) *damaged {
	t.Helper()
	d := &damaged{cfg: chaosConfig(t.TempDir()), files: map[string][]byte{}}
	c := openNow(t, d.cfg)
	from := chain.Cursor{}
	for n := range uint64(12) {
		tx := kvTx{sender: 1, nonce: n, op: opSet, key: fmt.Sprint("key", n), value: fmt.Append(nil, n)}
		if n == 5 {
			tx.op, tx.value = opMany, []byte{0x58, 2}
		}
		submit(t, c, tx)
		settled(t, c, from, tx)
		from = c.tip.Load().block.Cursor
	}
	var err error
	if d.want, err = all(c); err != nil {
		t.Fatal(err)
	}
	keep := func() {
		err := filepath.WalkDir(d.cfg.Dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			name, _ := filepath.Rel(d.cfg.Dir, path)
			d.files[name], err = os.ReadFile(path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if crashed {
		keep()
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if !crashed {
		keep()
	}
	return d
}

// restore puts the files back as they were.
func (d *damaged) restore(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(d.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	for name, b := range d.files {
		path := filepath.Join(d.cfg.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// look opens the chain: damage is found, or does no harm. It says which.
func (d *damaged) look(t *testing.T, what string) string {
	t.Helper()
	c, err := Open(t.Context(), d.cfg)
	if err != nil {
		if !errors.Is(err, fault.Host) {
			t.Errorf("%s: %v", what, err)
		}
		return "refused"
	}
	defer func() { _ = c.Close() }()
	if err := c.Verify(t.Context(), true, nil); err != nil {
		if !errors.Is(err, fault.Host) {
			t.Errorf("%s: verification: %v", what, err)
		}
		return "verified"
	}
	got, err := all(c)
	if err != nil {
		t.Errorf("%s: it was not found: %v", what, err)
	}
	if diff := cmp.Diff(d.want, got, cmp.AllowUnexported(served{})); diff != "" {
		t.Errorf("%s: wrong data was served: %s", what, diff)
	}
	return "harmless"
}

func damages(n int) int {
	if more, err := strconv.Atoi(os.Getenv("CHAOS_DAMAGE")); err == nil {
		return more
	}
	return n
}

// TestDamagedFiles flips bits in each file of a chain that was closed, and of one that crashed, and cuts files.
func TestDamagedFiles(t *testing.T) {
	for _, crashed := range []bool{false, true} {
		d := newDamaged(t, crashed)
		count := map[string]int{}
		r := rand.New(rand.NewPCG(1, 2))
		for name, b := range d.files {
			used := len(bytes.TrimRight(b, "\x00")) // behind it a log has room
			if used == 0 || strings.HasSuffix(name, "LOCK") {
				continue
			}
			for n := range damages(8) {
				d.restore(t)
				at, spoilt := r.IntN(used), bytes.Clone(b)
				if spoilt[at] ^= 1 << r.IntN(8); n == 0 {
					spoilt = b[:at]
				}
				if err := os.WriteFile(filepath.Join(d.cfg.Dir, name), spoilt, 0o600); err != nil {
					t.Fatal(err)
				}
				count[d.look(t, fmt.Sprintf("%s, byte %d of %d", name, at, used))]++
			}
		}
		t.Logf("crashed %v: %v", crashed, count)
		if count["refused"] == 0 {
			t.Error("no damage was found at the start")
		}
		d.restore(t)
		if got := d.look(t, "undamaged"); got != "harmless" {
			t.Errorf("undamaged: %s", got)
		}
	}
}

// TestDamagedRecords flips a bit in the value of each kind of record, where no checksum of a file tells.
func TestDamagedRecords(t *testing.T) {
	d := newDamaged(t, false)
	r := rand.New(rand.NewPCG(1, 2))
	count := map[string]map[string]int{}
	edit := func(change func(*db.DB)) {
		t.Helper()
		d.restore(t)
		dir, err := db.OpenDir(db.DirConfig{Path: d.cfg.Dir, StateOnly: true, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		change(dir.State)
		if err := dir.Close(); err != nil {
			t.Fatal(err)
		}
	}
	keys := map[string][]string{}
	edit(func(b *db.DB) {
		if err := b.Scan(nil, func(k, v []byte) error {
			keys[string(k[:1])] = append(keys[string(k[:1])], string(k))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
	for _, kind := range []string{blockPrefix, genesisKey, headKey, txPrefix, hashPrefix, appliedPrefix, statePrefix} {
		count[kind] = map[string]int{}
		for n := range damages(5) {
			key := keys[kind][r.IntN(len(keys[kind]))]
			edit(func(b *db.DB) {
				var v []byte
				if err := b.Get([]byte(key), func(is []byte) error { v = bytes.Clone(is); return nil }); err != nil {
					t.Fatal(err)
				}
				op := db.Op{Key: []byte(key), Delete: n == 0 || len(v) == 0}
				if !op.Delete {
					v[r.IntN(len(v))] ^= 1 << r.IntN(8)
					op.Value = v
				}
				if err := b.Write(t.Context(), op); err != nil {
					t.Fatal(err)
				}
			})
			got := d.look(t, fmt.Sprintf("%x", key))
			if count[kind][got]++; got == "harmless" && kind != appliedPrefix {
				t.Errorf("a change of %x is not found", key)
			}
		}
	}
	t.Log(count)
}

// TestLostBlocksAreMissed puts an older state of the database under the mark of a newer one.
func TestLostBlocksAreMissed(t *testing.T) {
	d := newDamaged(t, false)
	d.restore(t)
	c := openNow(t, d.cfg)
	if err := errors.Join(c.Seal(t.Context()), c.Close()); err != nil {
		t.Fatal(err)
	}
	mark, err := os.ReadFile(filepath.Join(d.cfg.Dir, markName))
	if err != nil {
		t.Fatal(err)
	}
	d.restore(t)
	if err := os.WriteFile(filepath.Join(d.cfg.Dir, markName), mark, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), d.cfg); !errors.Is(err, fault.HostChainCorrupt) {
		t.Errorf("a block is lost: %v", err)
	}
	if err := os.Remove(filepath.Join(d.cfg.Dir, markName)); err != nil { // an operator's word
		t.Fatal(err)
	}
	if got := d.look(t, "without a mark"); got != "harmless" {
		t.Error(got)
	}
}
