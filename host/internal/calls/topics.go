package calls

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

const (
	defaultBuffered = 32      // messages of a subscription
	maxKept         = 4 << 20 // bytes of messages of one instance
	perMessage      = 64      // that one counts beside its bytes
)

// topic gives a message to all who subscribed and have room. Who publishes never waits.
type topic struct {
	mu      sync.Mutex
	subs    []*subscription
	dropped uint64
}

// subscription keeps messages until its instance takes them. Its fields are guarded by topic.mu.
type subscription struct {
	i       *Instance
	topic   *topic
	name    *shared
	keep    int
	msgs    [][]byte // shared between subscriptions, never changed
	dropped uint64
	gone    bool
}

// on returns the topic of a handle that has a right.
func (i *Instance) on(handle uint32, right uint8) (*capability, uint32) {
	c, errno := get[*capability](i, handle)
	switch {
	case errno != abi.ErrNone:
		return nil, errno
	case c.topic == nil:
		return nil, abi.ErrParam
	case c.rights&right == 0 && !anyRight:
		return nil, abi.ErrForbidden
	}
	return c, abi.ErrNone
}

func (i *Instance) publish(r *request) run.Answer {
	c, errno := i.on(r.handle(0), abi.RightSend)
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	t := c.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	var msg []byte
	for _, s := range t.subs {
		if len(s.msgs) >= s.keep || !s.i.keep(len(r.args[0])+perMessage) {
			add64(&s.dropped, 1)
			add64(&t.dropped, 1)
			continue
		}
		if msg == nil {
			msg = append([]byte{}, r.args[0]...)
		}
		s.msgs = append(s.msgs, msg)
		s.i.notify()
	}
	return run.Answer{}
}

// keep makes room for so many bytes of messages, or gives it back.
func (i *Instance) keep(bytes int) bool {
	if i.kept.Add(int64(bytes)) > maxKept && bytes > 0 {
		i.kept.Add(int64(-bytes))
		return false
	}
	return true
}

func (i *Instance) subscribe(r *request) run.Answer {
	c, errno := i.on(r.handle(0), abi.RightRecv)
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	if r.nums[1] < 0 || r.nums[1] > abi.MaxBuffered {
		return refuse(abi.ErrParam)
	}
	s := &subscription{i: i, topic: c.topic, name: c.name, keep: cmp.Or(int(r.nums[1]), defaultBuffered)}
	s.topic.mu.Lock()
	if len(s.topic.subs) >= abi.MaxSubscribe {
		s.topic.mu.Unlock()
		return refuse(abi.ErrLimited)
	}
	s.topic.subs = append(s.topic.subs, s)
	s.topic.mu.Unlock()
	i.app.s.hold(c.name)
	return i.give(s)
}

// next is recv from a subscription.
func (i *Instance) next(r *request, s *subscription) run.Answer {
	var msg []byte
	errno := i.wait(r.ctx, r.nums[1], func() (uint32, bool) {
		s.topic.mu.Lock()
		defer s.topic.mu.Unlock()
		if len(s.msgs) == 0 {
			return 0, false
		}
		msg = s.msgs[0]
		s.msgs = slices.Delete(s.msgs, 0, 1)
		i.keep(-len(msg) - perMessage)
		return abi.ErrNone, true
	})
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	return run.Answer{Data: bytes.Clone(msg[:min(len(msg), r.room(2))]), Nums: []uint64{uint64(len(msg)), 0}}
}

func (s *subscription) ready() bool {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	return len(s.msgs) > 0
}

func (s *subscription) release(error) {
	s.topic.mu.Lock()
	if !s.gone {
		s.gone = true
		if n := slices.Index(s.topic.subs, s); n >= 0 {
			s.topic.subs = slices.Delete(s.topic.subs, n, n+1)
		}
		for _, m := range s.msgs {
			s.i.keep(-len(m) - perMessage)
		}
		s.msgs = nil
	}
	s.topic.mu.Unlock()
	s.i.app.s.drop(s.name)
}

func (i *Instance) dropped(r *request) run.Answer {
	if s, errno := get[*subscription](i, r.handle(0)); errno == abi.ErrNone {
		s.topic.mu.Lock()
		defer s.topic.mu.Unlock()
		return answer(abi.ErrNone, s.dropped)
	}
	c, errno := i.on(r.handle(0), abi.RightAll)
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	c.topic.mu.Lock()
	defer c.topic.mu.Unlock()
	return answer(abi.ErrNone, c.topic.dropped)
}
