package calls

import (
	"slices"
	"sync"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// capability is a handle of a channel or a topic, with what its holder may do.
type capability struct {
	i       *Instance
	channel *channel // or
	topic   *topic
	rights  uint8
	name    *shared // nil: it has none
}

func (c *capability) release(error) { c.i.app.s.drop(c.name) }

// share returns the same for another holder, or for one on the way.
func (c *capability) share(to *Instance, rights uint8) *capability {
	c.i.app.s.hold(c.name)
	return &capability{to, c.channel, c.topic, rights, c.name}
}

// channel has a value go over from who sends to who receives, once both are there. Who receives takes it: the first of those who
// wait takes from the first of those who send. So one who leaves in between leaves the value to the next.
type channel struct {
	mu        sync.Mutex // Instance.mu may be taken under it
	closed    bool
	senders   []*message
	receivers []*Instance
	watchers  map[*Instance]int
}

// message is a value that its sender waits with.
type message struct {
	from  *Instance
	data  []byte
	along *capability
	now   bool // it does not wait for somebody to come
	taken bool
}

func (i *Instance) grant(r *request) run.Answer {
	name := string(r.args[0])
	if name == "" || len(name) > abi.MaxKey {
		return refuse(abi.ErrParam)
	}
	g := &i.app.cfg.Grants
	for _, c := range g.Channels {
		if c.Name == name && c.Rights&abi.RightAll != 0 {
			h := i.app.s.take(sharedName{i.app.cfg.Tenant, name, false})
			return i.give(&capability{i, h.channel, nil, c.Rights & abi.RightAll, h})
		}
	}
	for _, c := range g.Topics {
		if rights := c.Rights & (abi.RightSend | abi.RightRecv); c.Name == name && rights != 0 {
			h := i.app.s.take(sharedName{i.app.cfg.Tenant, name, true})
			return i.give(&capability{i, nil, h.topic, rights, h})
		}
	}
	return refuse(abi.ErrForbidden)
}

func (i *Instance) channel(*request) run.Answer {
	return i.give(&capability{i, &channel{}, nil, abi.RightAll, nil})
}

func (i *Instance) attenuate(r *request) run.Answer {
	c, errno := get[*capability](i, r.handle(0))
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	rights := uint32(r.nums[1])
	switch {
	case rights == 0:
		return refuse(abi.ErrParam)
	case rights&^uint32(c.rights) != 0:
		return refuse(abi.ErrForbidden)
	}
	return i.give(c.share(i, uint8(rights)))
}

// end returns the channel of a handle that has a right.
func (i *Instance) end(handle uint32, right uint8) (*capability, *channel, uint32) {
	c, errno := get[*capability](i, handle)
	switch {
	case errno != abi.ErrNone:
		return nil, nil, errno
	case c.channel == nil:
		return nil, nil, abi.ErrParam
	case c.rights&right == 0 && !anyRight:
		return nil, nil, abi.ErrForbidden
	}
	return c, c.channel, abi.ErrNone
}

func (i *Instance) send(r *request) run.Answer {
	_, c, errno := i.end(r.handle(0), abi.RightSend)
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	m := &message{from: i, data: r.args[0], now: r.nums[1] == 0}
	timeout := r.nums[1]
	if m.now {
		timeout = -1 // until it is clear that nobody takes it
	}
	if h := r.handle(2); h != 0 {
		along, errno := get[*capability](i, h)
		if errno != abi.ErrNone {
			return refuse(errno)
		}
		m.along = along.share(nil, along.rights)
		defer func() {
			if !m.taken {
				i.app.s.drop(m.along.name)
			}
		}()
	}
	if errno := c.offer(m); errno != abi.ErrNone {
		return refuse(errno)
	}
	errno = i.wait(r.ctx, timeout, func() (uint32, bool) { return c.outcome(m) })
	return refuse(c.withdraw(m, errno))
}

// offer has a message wait for somebody to take it.
func (c *channel) offer(m *message) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return abi.ErrClosed
	case m.now && len(c.receivers) <= len(c.senders):
		return abi.ErrPending
	case len(c.senders) >= abi.MaxBacklog:
		return abi.ErrLimited
	}
	c.senders = append(c.senders, m)
	c.tellLocked()
	return abi.ErrNone
}

// outcome says what became of a message, if anything.
func (c *channel) outcome(m *message) (uint32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.taken:
		return abi.ErrNone, true
	case c.closed:
		return abi.ErrClosed, true
	case m.now && slices.Index(c.senders, m) >= len(c.receivers):
		return abi.ErrPending, true
	}
	return 0, false
}

// withdraw takes a message back, if nobody took it: then errno says why.
func (c *channel) withdraw(m *message, errno uint32) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.taken {
		return abi.ErrNone
	}
	if n := slices.Index(c.senders, m); n >= 0 {
		c.senders = slices.Delete(c.senders, n, n+1)
	}
	return errno
}

// tellLocked wakes whose turn it is.
func (c *channel) tellLocked() {
	if len(c.senders) > 0 && len(c.receivers) > 0 {
		c.receivers[0].notify()
	}
	if len(c.senders) > len(c.receivers) {
		for i := range c.watchers {
			i.notify()
		}
	}
}

func (i *Instance) recv(r *request) run.Answer {
	if s, errno := get[*subscription](i, r.handle(0)); errno == abi.ErrNone {
		return i.next(r, s)
	}
	_, c, errno := i.end(r.handle(0), abi.RightRecv)
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	if errno := c.come(i); errno != abi.ErrNone {
		return refuse(errno)
	}
	var out run.Answer
	errno = i.wait(r.ctx, r.nums[1], func() (uint32, bool) {
		errno, ok := c.takeFor(i, r.room(2), &out)
		return errno, ok
	})
	if errno != abi.ErrNone {
		c.leave(i)
		return refuse(errno)
	}
	return out
}

// come has an instance wait for a value.
func (c *channel) come(i *Instance) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return abi.ErrClosed
	case len(c.receivers) >= abi.MaxBacklog:
		return abi.ErrLimited
	}
	c.receivers = append(c.receivers, i)
	return abi.ErrNone
}

// leave has it wait no more. The next one may have been waiting for it.
func (c *channel) leave(i *Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := slices.Index(c.receivers, i); n >= 0 {
		c.receivers = slices.Delete(c.receivers, n, n+1)
	}
	for _, m := range c.senders {
		if m.now {
			m.from.notify()
		}
	}
	c.tellLocked()
}

// takeFor takes a value for an instance that waits, if it is its turn.
func (c *channel) takeFor(i *Instance, room int, out *run.Answer) (uint32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case i.ended.Load() || c.closed:
		return abi.ErrClosed, true
	case len(c.senders) == 0 || c.receivers[0] != i:
		return 0, false
	}
	m := c.senders[0]
	var handle uint32
	if m.along != nil {
		along := *m.along // the message's hold on it becomes the receiver's
		along.i = i
		h, errno := i.add(&along)
		if errno != abi.ErrNone {
			return errno, true // the value is for somebody else
		}
		handle = h
	}
	m.taken = true
	c.senders = slices.Delete(c.senders, 0, 1)
	c.receivers = slices.Delete(c.receivers, 0, 1)
	m.from.notify()
	c.tellLocked()
	out.Data = append([]byte(nil), m.data[:min(len(m.data), room)]...) // the sender's bytes are its own again
	out.Nums = []uint64{uint64(len(m.data)), uint64(handle)}
	return abi.ErrNone, true
}

func (i *Instance) channelClose(r *request) run.Answer {
	_, c, errno := i.end(r.handle(0), abi.RightClose)
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return refuse(abi.ErrCondition)
	}
	c.closed = true
	for _, m := range c.senders {
		m.from.notify()
	}
	for _, r := range c.receivers {
		r.notify()
	}
	for w := range c.watchers {
		w.notify()
	}
	return run.Answer{}
}

// ready implements waitable. poll does not take handles without the right to receive.
func (c *capability) ready() bool {
	if c.channel == nil {
		return false
	}
	c.channel.mu.Lock()
	defer c.channel.mu.Unlock()
	return c.channel.closed || len(c.channel.senders) > len(c.channel.receivers)
}

// watch implements watchable.
func (c *capability) watch(i *Instance) {
	c.channel.mu.Lock()
	defer c.channel.mu.Unlock()
	if c.channel.watchers == nil {
		c.channel.watchers = map[*Instance]int{}
	}
	c.channel.watchers[i]++
}

func (c *capability) unwatch(i *Instance) {
	c.channel.mu.Lock()
	defer c.channel.mu.Unlock()
	if c.channel.watchers[i]--; c.channel.watchers[i] == 0 {
		delete(c.channel.watchers, i)
	}
}
