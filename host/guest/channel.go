package guest

import "time"

// Rights are what one may do with a channel or a topic.
type Rights uint32

// The rights.
const (
	RightSend  Rights = 1
	RightRecv  Rights = 2
	RightClose Rights = 4
)

// Channel is an end of a channel: a send is over when somebody has received, first in, first out, each value once.
type Channel struct{ Handle Handle }

// NewChannel makes a channel, and hands out all rights to it.
func NewChannel() (*Channel, error) {
	var h uint32
	if errno := sysChannel(&h); errno != 0 {
		return nil, Errno(errno)
	}
	return &Channel{Handle(h)}, nil
}

// GrantChannel returns a channel that the manifest grants, with the rights that it grants.
func GrantChannel(name string) (*Channel, error) {
	h, err := grant(name)
	return &Channel{h}, err
}

func grant(name string) (Handle, error) {
	var h uint32
	errno := sysGrant(text(name), length(name), &h)
	return Handle(h), failure(errno)
}

// Send waits for a receiver. pass goes along, if it is not 0: the receiver gets a handle of the same thing, with the same rights.
// What fails with ErrPending was not sent.
func (c *Channel) Send(value []byte, pass Handle, timeout time.Duration) error {
	return failure(sysSend(uint32(c.Handle), millis(timeout), place(value), length(value), uint32(pass)))
}

// Recv returns a value, and a handle if one came along.
func (c *Channel) Recv(timeout time.Duration) (value []byte, passed Handle, err error) {
	return receive(c.Handle, timeout)
}

func receive(h Handle, timeout time.Duration) ([]byte, Handle, error) {
	buf := make([]byte, MaxBytes)
	var n uint64
	var passed uint32
	errno := wait(uint32(h), true, timeout, func(ms int64) uint32 {
		return sysRecv(uint32(h), ms, place(buf), length(buf), &n, &passed)
	})
	if errno != 0 {
		return nil, 0, ended(errno)
	}
	return buf[:min(n, uint64(len(buf)))], Handle(passed), nil
}

// Attenuate returns another end with some of the rights.
func (c *Channel) Attenuate(rights Rights) (*Channel, error) {
	h, err := attenuate(c.Handle, rights)
	return &Channel{h}, err
}

func attenuate(h Handle, rights Rights) (Handle, error) {
	var out uint32
	errno := sysAttenuate(uint32(h), uint32(rights), &out)
	return Handle(out), failure(errno)
}

// Close closes the channel for all. Its handle stays; see Release.
func (c *Channel) Close() error { return failure(sysChannelClose(uint32(c.Handle))) }

// Release gives this end back.
func (c *Channel) Release() error { return c.Handle.Close() }

// Topic is where messages go to all who have subscribed.
type Topic struct{ Handle Handle }

// GrantTopic returns a topic that the manifest grants, with the rights that it grants.
func GrantTopic(name string) (*Topic, error) {
	h, err := grant(name)
	return &Topic{h}, err
}

// Publish does not wait: who has no room misses the message.
func (t *Topic) Publish(message []byte) error {
	return failure(sysPublish(uint32(t.Handle), place(message), length(message)))
}

// Subscribe keeps up to buffer messages until they are received.
func (t *Topic) Subscribe(buffer int) (*Subscription, error) {
	var h uint32
	errno := sysSubscribe(uint32(t.Handle), uint32(buffer), &h)
	return &Subscription{Handle(h)}, failure(errno)
}

// Attenuate returns another end with some of the rights.
func (t *Topic) Attenuate(rights Rights) (*Topic, error) {
	h, err := attenuate(t.Handle, rights)
	return &Topic{h}, err
}

// Dropped counts what subscribers missed.
func (t *Topic) Dropped() (uint64, error) { return dropped(t.Handle) }

// Release gives this end back.
func (t *Topic) Release() error { return t.Handle.Close() }

// Subscription receives messages of a topic.
type Subscription struct{ Handle Handle }

// Recv returns the next message.
func (s *Subscription) Recv(timeout time.Duration) ([]byte, error) {
	b, _, err := receive(s.Handle, timeout)
	return b, err
}

// Dropped counts what this subscription missed.
func (s *Subscription) Dropped() (uint64, error) { return dropped(s.Handle) }

// Close ends it.
func (s *Subscription) Close() error { return s.Handle.Close() }

func dropped(h Handle) (n uint64, err error) {
	return n, failure(sysDropped(uint32(h), &n))
}
