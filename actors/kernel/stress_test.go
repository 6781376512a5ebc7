package kernel

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

// TestEveryAskIsAnswered lets many goroutines ask an actor that answers, forwards, forgets, works beside itself and panics
// at random, while the host stops: every ask ends in an answer or a registered fault, and nothing is left running.
func TestEveryAskIsAnswered(t *testing.T) {
	for range 20 {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		back := spawn(t, s, Options[bearing]{Name: "back", Mailbox: 8, New: chaos(Ref[bearing]{}),
			Restart: Policy{MaxRestarts: 1 << 20, Min: 1, Max: time.Millisecond}})
		front := spawn(t, s, Options[bearing]{Name: "front", Mailbox: 8, New: chaos(back),
			Restart: Policy{MaxRestarts: 1 << 20, Min: 1, Max: time.Millisecond}})
		var asked, answered atomic.Int64
		var stopping atomic.Bool
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					asked.Add(1)
					_, err := ask(context.Background(), front, "")
					answered.Add(1)
					switch code := fault.CodeOf(err); code {
					case "", fault.BusyQueueFull, fault.BugPanic, fault.BugNoAnswer:
					case fault.CallerClosed, fault.CanceledStopped: // back has nobody to forward to and says the same
						if stopping.Load() {
							return
						}
					default:
						t.Errorf("unexpected %v", err)
						return
					}
				}
			})
		}
		for answered.Load() < 500 {
			s.Inspect()
			_, _ = front.Send(bearing{}), back.Send(bearing{}) // a reply that was passed on and lost comes back with a restart
		}
		stopping.Store(true)
		if err := s.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if left := s.Inspect(); len(left) != 0 || asked.Load() != answered.Load() {
			t.Fatalf("left %v, asked %d, answered %d", left, asked.Load(), answered.Load())
		}
	}
}

func chaos(next Ref[bearing]) func(*Ctx[bearing]) Handler[bearing] {
	return func(*Ctx[bearing]) Handler[bearing] {
		var kept []Reply[string]
		return HandlerFunc[bearing](func(c *Ctx[bearing], m bearing) {
			switch rand.IntN(8) {
			case 0:
				panic("chaos")
			case 1:
				kept = append(kept, m.to)
				if len(kept) > 2 {
					panic("with replies kept")
				}
			case 2:
				c.Go(func(context.Context) bearing { m.to.Answer("beside"); return bearing{} })
			case 3:
				_ = next.Send(m) // refused ones are answered by Failed
			case 4:
				Request(c, next, func(r Reply[string]) bearing { return bearing{"", r} },
					func(v string, err error) bearing {
						if err != nil {
							m.to.Fail(err)
						} else {
							m.to.Answer(v)
						}
						return bearing{}
					})
			case 5:
				c.After(time.Microsecond, bearing{})
				m.to.Answer("timer")
			default:
				for _, r := range kept {
					r.Answer("kept")
				}
				kept = nil
				m.to.Answer("at once")
			}
		})
	}
}

func TestBridgePrintsTypesInPlaceOfPayloads(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(bridge{log: zerolog.New(&out)}).With("lib", "actor").WithGroup("g")
	type letter struct{ Secret string }
	log.Error("dead letter", slog.Any("pid", actor.NewPID("x", "troupe/a")), slog.Any("sender", (*actor.PID)(nil)),
		slog.Any("message", &letter{"hush"}), slog.Any("other", letter{"hush"}), slog.Any("reason", errors.New("broken\x1b[31m")), slog.Int("n", 3))
	want := `{"level":"error","lib":"actor","pid":"troupe/a","message_type":"*kernel.letter","other":"kernel.letter","reason":"broken�[31m","n":3,"message":"dead letter"}`
	if got := strings.TrimSpace(out.String()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPolicy(t *testing.T) {
	p := Policy{MaxRestarts: 3, Window: time.Minute, Min: time.Second, Max: 3 * time.Second}.withDefaults()
	now := time.Now()
	var kept []time.Time
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} {
		var d time.Duration
		var ok bool
		if kept, d, ok = p.next(kept, now, 0); !ok || d != want {
			t.Fatalf("failure %d: %v %v, want %v", i+1, d, ok, want)
		}
	}
	if _, _, ok := p.next(kept, now.Add(59*time.Second), 0); ok {
		t.Error("the fourth failure within the window must give up")
	}
	if _, d, ok := p.next(kept, now.Add(time.Minute), 0.999); !ok || d < 750*time.Millisecond || d > 751*time.Millisecond {
		t.Errorf("after the window the budget is fresh, with up to a quarter of jitter: %v %v", d, ok)
	}
	if d := (Policy{}).withDefaults(); d != (Policy{MaxRestarts: 5, Window: time.Minute, Min: 100 * time.Millisecond, Max: 10 * time.Second}) {
		t.Errorf("defaults %+v", d)
	}
}
