package chain_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/kernel"
)

func (s *stage) pause(on bool) {
	s.t.Helper()
	if _, err := kernel.Ask(context.Background(), s.ref, func(r kernel.Reply[struct{}]) chain.Message {
		return chain.Pause{On: on, Reply: r}
	}); err != nil {
		s.t.Fatal(err)
	}
}

// TestWhatIsPausedIsKept pauses the outbox, over a restart too, and has it go on.
func TestWhatIsPausedIsKept(t *testing.T) {
	onStage(t, 1, chain.Limits{}, func(s *stage) {
		s.after(10 * second)
		s.send("call-0")
		s.drained(time.Minute)
		s.pause(true)
		for n := 1; n < 6; n++ {
			s.send(fmt.Sprint("call-", n))
		}
		s.after(time.Hour)
		c := s.status()
		if !c.Paused || c.Outbox["waiting"] != 5 || !strings.Contains(c.Waiting, "paused") {
			t.Errorf("%+v", c)
		}
		if c.Lag > 1 {
			t.Errorf("blocks are not read while it is paused: %d behind", c.Lag)
		}
		s.once(1)
		s.down()
		s.cfg.Paused = func() bool { return true }
		s.up()
		s.after(time.Minute)
		s.once(1)
		s.pause(false)
		s.drained(time.Minute)
		s.once(6)
		if c := s.status(); c.Paused {
			t.Errorf("%+v", c)
		}
	})
}

// TestAPauseInTheMiddle has calls at all stages when it begins: none is lost, and none is there twice.
func TestAPauseInTheMiddle(t *testing.T) {
	onStage(t, 2, chain.Limits{Window: 4}, func(s *stage) {
		s.after(10 * second)
		for n := range 40 {
			s.send(fmt.Sprint("call-", n))
			if n%7 == 0 {
				s.pause(true)
				s.after(time.Duration(n) * second)
				s.pause(false)
			}
		}
		s.pause(true)
		s.after(20 * time.Minute) // what was signed has expired
		s.pause(false)
		s.drained(30 * time.Minute)
		s.once(40)
	})
}
