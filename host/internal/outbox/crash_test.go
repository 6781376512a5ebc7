package outbox

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/chainbridge/fake"
)

const childEnv = "TROUPE_OUTBOX_TEST_CHILD"

func TestMain(m *testing.M) {
	if socket := os.Getenv(childEnv); socket != "" {
		if err := serveSends(socket, os.Args[1]); err != nil {
			fmt.Println("error", err)
		}
		return
	}
	os.Exit(m.Run())
}

// serveSends is a host that sends the calls whose keys it reads, and says what became of them, until it is killed.
func serveSends(socket, path string) error {
	d, err := db.OpenDir(db.DirConfig{Path: path, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	store, err := New(d.State)
	if err != nil {
		return err
	}
	sys, err := kernel.New(kernel.Config{})
	if err != nil {
		return err
	}
	ref, err := chain.Spawn(sys, chain.Config{Port: dialRemote(socket), Store: store, Signers: []chain.Signer{fake.NewKey("worker")},
		Limits: chain.Limits{Valid: time.Second}})
	if err != nil {
		return err
	}
	ctx := context.Background()
	var mu sync.Mutex
	say := func(words ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(words...)
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		key := in.Text()
		go func() {
			if key == "?" {
				c, _ := kernel.Ask(ctx, ref, func(r kernel.Reply[inspect.Chain]) chain.Message { return chain.Status{Reply: r} })
				p, _ := kernel.Ask(ctx, ref, func(r kernel.Reply[chain.Page]) chain.Message { return chain.List{Limit: 9, Reply: r} })
				say("status", fmt.Sprintf("%+v %+v", c, p))
				return
			}
			_, err := kernel.Ask(ctx, ref, func(r kernel.Reply[inspect.Outgoing]) chain.Message {
				return chain.Send{Key: key, Call: fake.Effect{Key: key}.Call(), Class: chain.Report, Reply: r}
			})
			if err != nil {
				say("refused", key, err)
				return
			}
			say("kept", key)
			o, err := kernel.Ask(ctx, ref, func(r kernel.Reply[chain.Outcome]) chain.Message { return chain.Wait{Key: key, Reply: r} })
			if err != nil || o.Err() != nil {
				say("failed", key, err, o.Err())
				return
			}
			say("done", key)
		}()
	}
	return nil
}

// host is a child process that sends.
type host struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	ended chan struct{}
}

// TestR8Killed kills the host at any moment between the acceptance of calls, their submission, their inclusion and their confirmation.
// No call that was acknowledged is lost, and none takes effect twice. TROUPE_OUTBOX_KILLS says how often, 10 times by default.
func TestR8Killed(t *testing.T) {
	kills, begin := 10, time.Now()
	if n, err := strconv.Atoi(os.Getenv("TROUPE_OUTBOX_KILLS")); err == nil {
		kills = n
	}
	dir := t.TempDir()
	c := fake.New(fake.Config{Name: "killed", BlockTime: 20 * time.Millisecond, Finality: 3, PerBlock: 7, Now: time.Now})
	server, err := serveRemote(c, filepath.Join(dir, "chain"))
	must(t, err)
	defer server.Close()
	stop := make(chan struct{})
	var miner sync.WaitGroup
	defer miner.Wait()
	defer close(stop)
	miner.Go(func() {
		for at := time.Tick(20 * time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-at:
			}
			c.Mine(1)
			switch rand.IntN(60) {
			case 0:
				c.Fork(1+rand.IntN(3), rand.IntN(2) == 0)
			case 1:
				c.Forget()
			case 2:
				c.Steal(fake.NewKey("worker").Public())
			case 3:
				c.Set(fake.Faults{Deaf: true})
			case 4:
				c.Set(fake.Faults{HalfRead: true, Replay: 2})
			case 5, 6, 7:
				c.Set(fake.Faults{})
			}
		}
	})

	var mu sync.Mutex
	kept, done := map[string]bool{}, map[string]bool{}
	open := map[string]bool{} // not known to have ended
	news := make(chan struct{}, 1)
	spawn := func() *host {
		h := &host{t: t, ended: make(chan struct{})}
		h.cmd = exec.Command(os.Args[0], filepath.Join(dir, "data"))
		h.cmd.Env = append(os.Environ(), childEnv+"="+filepath.Join(dir, "chain"))
		h.cmd.Stderr = os.Stderr
		var err error
		h.in, err = h.cmd.StdinPipe()
		must(t, err)
		out, err := h.cmd.StdoutPipe()
		must(t, err)
		must(t, h.cmd.Start())
		go func() {
			defer close(h.ended)
			for lines := bufio.NewScanner(out); lines.Scan(); {
				what, key, _ := strings.Cut(lines.Text(), " ")
				mu.Lock()
				switch what {
				case "kept":
					kept[key] = true
				case "status":
					t.Log(key)
				case "done":
					done[key] = true
					delete(open, key)
				default:
					t.Error(lines.Text())
				}
				mu.Unlock()
				select {
				case news <- struct{}{}:
				default:
				}
			}
		}()
		mu.Lock()
		defer mu.Unlock()
		for key := range open { // who does not know asks again
			_, _ = fmt.Fprintln(h.in, key)
		}
		return h
	}
	total := 0
	more := func(h *host, n int) {
		for range n {
			key := fmt.Sprint("call-", total)
			total++
			mu.Lock()
			open[key] = true
			mu.Unlock()
			_, _ = fmt.Fprintln(h.in, key)
		}
	}
	for n := range kills {
		h := spawn()
		more(h, 3)
		select { // until it lives
		case <-news:
		case <-time.After(20 * time.Second):
			t.Fatal("the host says nothing")
		}
		for range rand.IntN(10) {
			more(h, rand.IntN(4))
			<-time.After(time.Duration(rand.IntN(40)) * time.Millisecond)
		}
		<-time.After(time.Duration(rand.IntN(100)) * time.Millisecond)
		must(t, h.cmd.Process.Kill())
		<-h.ended
		_ = h.cmd.Wait()
		for key, times := range c.Effects() {
			if times > 1 && key != "stolen" {
				t.Fatalf("after %d kills %s took effect %d times", n+1, key, times)
			}
		}
	}
	t.Logf("killed at %v", time.Since(begin))
	c.Set(fake.Faults{})
	h := spawn()
	defer func() { _ = h.cmd.Process.Kill(); <-h.ended; _ = h.cmd.Wait() }()
	limit := time.After(2 * time.Minute)
	for {
		mu.Lock()
		left := len(open)
		mu.Unlock()
		if left == 0 {
			break
		}
		select {
		case <-news:
		case <-time.After(5 * time.Second):
			_, _ = fmt.Fprintln(h.in, "?")
		case <-limit:
			t.Fatalf("%d of %d calls have not ended", left, total)
		}
	}
	effects := c.Effects()
	for n := range total {
		if key := fmt.Sprint("call-", n); effects[key] != 1 || !done[key] {
			t.Errorf("%s took effect %d times, kept %v", key, effects[key], kept[key])
		}
	}
	t.Logf("%d calls, %d kills, %d blocks, %d transactions taken", total, kills, c.Head().Height, c.Taken())
}
