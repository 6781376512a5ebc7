package devchain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
)

const childDir = "TROUPE_DEVCHAIN_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func chaosConfig(dir string) Config {
	return Config{Dir: dir, Machine: newKV, HashState: hashKV, Genesis: []byte("chaos"), Log: zerolog.Nop()}
}

// child submits transactions for ever, and says which blocks it saw: height, hash, and the next nonce of sender 1 after it.
func child(dir string) error {
	c, err := Open(context.Background(), chaosConfig(dir))
	if err != nil {
		return err
	}
	a, err := c.Account(context.Background(), account(1))
	if err != nil {
		return err
	}
	from, nonce := c.tip.Load().block.Cursor, a.Nonce
	fmt.Println(from.Height, from.Hash, nonce)
	go func() {
		for n := nonce; ; n++ {
			tx := kvTx{sender: 1, nonce: n, op: opSet, key: fmt.Sprint("key", n%1000), value: fmt.Append(nil, n)}
			switch {
			case n%40 == 19:
				tx.op = opDelete
			case n%160 == 159: // more than one write takes
				tx.op, tx.key, tx.value = opMany, fmt.Sprint("many", n%3), []byte{0x58, 2}
			}
			for c.Submit(context.Background(), tx.bytes()) != nil {
				<-c.tip.Load().next
			}
			if size, _ := c.pool.size(); size > 50 {
				<-c.tip.Load().next
			}
		}
	}()
	return c.Follow(context.Background(), from, func(b chain.Block) error {
		nonce += uint64(len(b.Txs))
		_, err := fmt.Println(b.Height, b.Hash, nonce)
		return err
	})
}

// saw is the last that a child said.
type saw struct {
	chain.Cursor
	nonce uint64
	num   int // of lines
}

// start runs a child until it ends or stop kills it, and returns what it said.
func start(t *testing.T, dir string, env []string, stop func(n int, kill func())) (s saw) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
			break // a line that is not whole was not said
		}
		var hash string
		if _, err := fmt.Sscan(line, &s.Height, &hash, &s.nonce); err != nil || s.Hash.UnmarshalText([]byte(hash)) != nil {
			t.Fatalf("%q: %v", line, err)
		}
		s.num++
		stop(s.num, func() { _ = cmd.Process.Kill() })
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	} else if cmd.ProcessState.Exited() {
		t.Fatalf("the child failed: %v", err)
	}
	return s
}

// survived opens a chain after a kill: what was said is there. To verify takes longer as the chain grows.
func survived(t *testing.T, dir string, s saw, verify, full bool) {
	t.Helper()
	c := openNow(t, chaosConfig(dir))
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	top := c.tip.Load()
	if top.Height < s.Height {
		t.Fatalf("block %d was there, and the head is %d", s.Height, top.Height)
	}
	if b, err := c.Block(s.Height); err != nil || b.Hash != s.Hash {
		t.Fatalf("block %d: %v, it was another one", s.Height, err)
	}
	a, err := c.Account(t.Context(), account(1))
	if err != nil || a.Nonce < s.nonce {
		t.Fatalf("nonce %d, and it was %d: %v", a.Nonce, s.nonce, err)
	}
	if verify {
		if err := c.Verify(t.Context(), full, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestChaosKills kills the process at any time: no transaction is lost that was seen in a block, the height never falls, and a replay
// comes to the same state.
func TestChaosKills(t *testing.T) {
	kills, seed := 5, uint64(time.Now().UnixNano())
	if n, err := strconv.Atoi(os.Getenv("CHAOS_KILLS")); err == nil {
		kills = n
	}
	if n, err := strconv.ParseUint(os.Getenv("CHAOS_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("CHAOS_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var last saw
	blocks := 0
	for n := range kills {
		after, pause := 1+r.IntN(60), time.Duration(r.IntN(3000))*time.Microsecond
		s := start(t, dir, nil, func(n int, kill func()) {
			if n == after {
				time.AfterFunc(pause, kill)
			}
		})
		if s.Height < last.Height {
			t.Fatalf("kill %d: the height fell from %d to %d", n, last.Height, s.Height)
		}
		last, blocks = s, blocks+s.num
		full := n == kills-1 || n%25 == 24
		survived(t, dir, s, full || n%5 == 0, full)
		if last.Height > 20_000 { // a replay would take long
			dir, last = t.TempDir(), saw{}
		}
	}
	t.Logf("%d kills, %d blocks", kills, blocks)
}
