package devchain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

// session is a WebSocket.
type session struct {
	s    *server
	ctx  context.Context
	conn *websocket.Conn
	turn chan struct{} // full while a note is made and sent: one at a time, so that who does not read has one in memory, not sixteen

	mu   sync.Mutex
	last uint64 // the number of the newest subscription
	subs map[uint64]context.CancelFunc
}

func (s *server) connect(w http.ResponseWriter, r *http.Request) {
	select {
	case s.connections <- struct{}{}:
		defer func() { <-s.connections }()
	default:
		refuse(w, http.StatusServiceUnavailable, tooMany())
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // it has been answered
	}
	conn.SetReadLimit(MaxRequestBytes)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.c.ctx, func() { _ = conn.Close(websocket.StatusGoingAway, "the chain has been closed") })()
	in := &session{s: s, ctx: ctx, conn: conn, turn: make(chan struct{}, 1), subs: map[uint64]context.CancelFunc{}}
	in.serve()
}

// serve answers requests, one after the other, until the other side leaves.
func (in *session) serve() {
	defer func() { _ = in.conn.CloseNow() }()
	for {
		kind, body, err := in.conn.Read(in.ctx)
		if err != nil {
			return
		}
		if kind != websocket.MessageText {
			_ = in.conn.Close(websocket.StatusUnsupportedData, "requests are text")
			return
		}
		select {
		case in.s.requests <- struct{}{}: // with those that come by POST
		case <-in.ctx.Done():
			return
		}
		a := in.s.answer(in.ctx, body, in)
		<-in.s.requests
		if a != nil && in.write(a) != nil {
			return
		}
	}
}

// write sends a message. Who does not take it in time is dropped.
func (in *session) write(b []byte) error {
	ctx, cancel := context.WithTimeout(in.ctx, in.s.c.cfg.SendTimeout)
	defer cancel()
	return in.conn.Write(ctx, websocket.MessageText, b)
}

func (in *session) subscribe(p subscribeParams) (Subscription, error) {
	if p.Kind != "blocks" && p.Kind != "events" || len(p.Filter) > maxFilters || p.Kind == "blocks" && p.Filter != nil {
		return Subscription{}, fault.New(fault.CallerInvalid, "subscribe", fault.Quote(p.Kind), nil).
			WithHint(fmt.Sprintf("there are blocks, and events with up to %d filters", maxFilters))
	}
	after := in.s.c.tip.Load().block.Cursor
	if p.After != nil {
		after = *p.After
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.subs) == MaxSubscriptions {
		return Subscription{}, fault.New(fault.BusyChain, "subscribe", "", errors.New("the connection has as many subscriptions as it may"))
	}
	in.last++
	id := Subscription{in.last}
	ctx, cancel := context.WithCancel(in.ctx)
	in.subs[id.ID] = cancel
	go in.follow(ctx, id, p, after)
	return id, nil
}

func (in *session) unsubscribe(id uint64) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	cancel := in.subs[id]
	if cancel == nil {
		return fault.New(fault.CallerNotFound, "unsubscribe", fmt.Sprint(id), nil)
	}
	delete(in.subs, id)
	cancel()
	return nil
}

// follow sends blocks or events as fast as they are taken; nothing is queued. Who took up to the newest block once and has fallen far
// behind since is told to come back.
func (in *session) follow(ctx context.Context, id Subscription, p subscribeParams, after chain.Cursor) {
	c := in.s.c
	caughtUp := false
	err := c.Follow(ctx, after, func(b chain.Block) error {
		behind := c.tip.Load().Height - b.Height
		if caughtUp = caughtUp || behind == 0; caughtUp && behind > c.cfg.MaxLag {
			return fault.New(fault.BusyChain, "subscribe", "", fmt.Errorf("%d blocks behind: too slow", behind)).
				WithHint("subscribe again behind the cursor")
		}
		n := note{version, noteBlock, BlockNote{id, b}}
		if p.Kind == "events" {
			some := EventNote{Subscription: id, Cursor: b.Cursor, Time: b.Time}
			for _, e := range b.Events {
				if passes(p.Filter, e) {
					some.Events = append(some.Events, e)
				}
			}
			if some.Events == nil {
				after = b.Cursor
				return nil
			}
			n = note{version, noteEvents, some}
		}
		if err := in.note(ctx, n); err != nil {
			return err
		}
		after = b.Cursor
		return nil
	})
	in.mu.Lock()
	_, still := in.subs[id.ID]
	delete(in.subs, id.ID)
	in.mu.Unlock()
	if !still || ctx.Err() != nil {
		return
	}
	if m, e := json.Marshal(note{version, noteEnd, EndNote{id, after, wire(codeFault, err)}}); e == nil {
		_ = in.write(m)
	}
}

// note sends a note when it is its turn.
func (in *session) note(ctx context.Context, n note) error {
	select {
	case in.turn <- struct{}{}:
		defer func() { <-in.turn }()
	case <-ctx.Done():
		return fault.From(context.Cause(ctx))
	}
	m, err := json.Marshal(n)
	if err != nil {
		return fault.New(fault.BugUnexpected, "subscribe", "", err)
	}
	if err := in.write(m); err != nil {
		_ = in.conn.CloseNow()
		return err
	}
	return nil
}

func passes(filters []Filter, e chain.Event) bool {
	for _, f := range filters {
		if f.passes(e) {
			return true
		}
	}
	return len(filters) == 0
}
