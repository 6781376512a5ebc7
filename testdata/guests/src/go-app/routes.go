package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/troupehost/troupe/host/guest"
)

// keyValue does op=get, put, delete or list.
func keyValue(r *guest.Request, body []byte) ([]byte, error) {
	key := r.Param("key")
	switch r.Param("op") {
	case "put":
		return nil, guest.Put(key, body)
	case "delete":
		return nil, guest.Delete(key)
	case "list":
		var all []string
		for after := ""; ; {
			keys, err := guest.List(key, after)
			if err != nil || len(keys) == 0 {
				return []byte(strings.Join(all, "\n")), err
			}
			all, after = append(all, keys...), keys[len(keys)-1]
		}
	}
	return guest.Get(key)
}

func fetch(r *guest.Request, body []byte) ([]byte, error) {
	method := "GET"
	if len(body) > 0 {
		method = "POST"
	}
	f, err := guest.Fetch(method, r.Param("url"), nil, body, 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Body.Close() }()
	got, err := io.ReadAll(f.Body)
	return append(fmt.Appendf(nil, "%d ", f.Status), got...), err
}

// dial sends the body and returns what comes back until the other side closes.
func dial(r *guest.Request, body []byte) ([]byte, error) {
	open := guest.Dial
	if r.Param("tls") != "" {
		open = guest.DialTLS
	}
	c, err := open(r.Param("to"), 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write(body); err != nil {
		return nil, err
	}
	if err := c.CloseWrite(); err != nil {
		return nil, err
	}
	return io.ReadAll(c)
}

// listen echoes one connection, in the background.
func listen(r *guest.Request, _ []byte) ([]byte, error) {
	l, err := guest.Listen(r.Param("on"))
	if err != nil {
		return nil, err
	}
	guest.Go(func() {
		defer func() { _ = l.Close() }()
		c, err := l.Accept(time.Minute)
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	})
	return []byte("listening"), nil
}

func facts(*guest.Request, []byte) ([]byte, error) {
	var out []byte
	for _, f := range []struct {
		name string
		get  func() ([32]byte, error)
	}{
		{"address", guest.Address}, {"session", guest.AppSession}, {"worker", guest.WorkerKey}, {"worker session", guest.WorkerSession},
	} {
		v, err := f.get()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		out = fmt.Appendf(out, "%s %x\n", f.name, v)
	}
	n, err := guest.Instance()
	if err != nil {
		return nil, err
	}
	label, err := guest.Label()
	if err != nil {
		return nil, err
	}
	config, err := guest.Config()
	if err != nil {
		return nil, err
	}
	used, quota, err := guest.Storage()
	if err != nil {
		return nil, err
	}
	out = fmt.Appendf(out, "instance %d\nlabel %s\nconfig %s\nstorage %d of %d\n", n, label, config, used, quota)
	if t, err := guest.BlockTime(); err == nil {
		out = fmt.Appendf(out, "block time %d\n", t.UnixMilli())
	}
	return out, nil
}

func secret(_ *guest.Request, body []byte) ([]byte, error) {
	s, err := guest.DeriveSecret(body)
	return hex.AppendEncode(nil, s[:]), err
}

func sign(_ *guest.Request, body []byte) ([]byte, error) {
	s, err := guest.Sign(body)
	return hex.AppendEncode(nil, s[:]), err
}

func blob(r *guest.Request, _ []byte) ([]byte, error) {
	b, err := guest.OpenBlob(r.Param("hash"))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(b.Reader())
}

// ends are the channels and topics that this instance holds, by name.
var (
	ends          = map[string]*guest.Channel{}
	topics        = map[string]*guest.Topic{}
	subscriptions = map[string]*guest.Subscription{}
)

// end finds a channel: one that was taken from a message, or one of the manifest.
func end(r *guest.Request) (*guest.Channel, error) {
	name := r.Param("name")
	if c := ends[name]; c != nil {
		return c, nil
	}
	c, err := guest.GrantChannel(name)
	if err == nil {
		ends[name] = c
	}
	return c, err
}

func timeout(r *guest.Request) time.Duration {
	return time.Duration(number(r, "ms", 5000)) * time.Millisecond
}

// send sends the body; with n it sends the numbers up to n instead.
func send(r *guest.Request, body []byte) ([]byte, error) {
	c, err := end(r)
	if err != nil {
		return nil, err
	}
	n := number(r, "n", 0)
	for i := range n {
		if err := c.Send(fmt.Append(nil, i), 0, timeout(r)); err != nil {
			return nil, err
		}
	}
	if n == 0 {
		err = c.Send(body, 0, timeout(r))
	}
	return []byte("sent"), err
}

// recv returns one value, or n with a newline after each. A handle that comes along is kept under the name of as.
func recv(r *guest.Request, _ []byte) ([]byte, error) {
	c, err := end(r)
	if err != nil {
		return nil, err
	}
	n := number(r, "n", 0)
	var out []byte
	for range max(n, 1) {
		v, passed, err := c.Recv(timeout(r))
		if err != nil {
			return out, err
		}
		if out = append(out, v...); n > 0 {
			out = append(out, '\n')
		}
		if passed != 0 {
			ends[r.Param("as")] = &guest.Channel{Handle: passed}
		}
	}
	return out, nil
}

func closeChannel(r *guest.Request, _ []byte) ([]byte, error) {
	c, err := end(r)
	if err != nil {
		return nil, err
	}
	return []byte("closed"), c.Close()
}

// hand makes a channel, keeps it under the name of as, and sends an end of it with some rights.
func hand(r *guest.Request, body []byte) ([]byte, error) {
	c, err := end(r)
	if err != nil {
		return nil, err
	}
	made, err := guest.NewChannel()
	if err != nil {
		return nil, err
	}
	weak, err := made.Attenuate(guest.Rights(number(r, "rights", 1)))
	if err != nil {
		return nil, err
	}
	ends[r.Param("as")] = made
	return []byte("handed"), c.Send(body, weak.Handle, timeout(r))
}

// taken tells whether there is a channel of this name.
func taken(r *guest.Request, _ []byte) ([]byte, error) {
	return fmt.Append(nil, ends[r.Param("name")] != nil), nil
}

func topic(r *guest.Request) (*guest.Topic, error) {
	name := r.Param("name")
	if t := topics[name]; t != nil {
		return t, nil
	}
	t, err := guest.GrantTopic(name)
	if err == nil {
		topics[name] = t
	}
	return t, err
}

// publish publishes the body n times.
func publish(r *guest.Request, body []byte) ([]byte, error) {
	t, err := topic(r)
	if err != nil {
		return nil, err
	}
	for range number(r, "n", 1) {
		if err := t.Publish(body); err != nil {
			return nil, err
		}
	}
	n, err := t.Dropped()
	return fmt.Appendf(nil, "dropped %d", n), err
}

func subscribe(r *guest.Request, _ []byte) ([]byte, error) {
	t, err := topic(r)
	if err != nil {
		return nil, err
	}
	s, err := t.Subscribe(number(r, "buffer", 32))
	if err == nil {
		subscriptions[r.Param("name")] = s
	}
	return []byte("subscribed"), err
}

// next returns what a subscription has, and how much it missed.
func next(r *guest.Request, _ []byte) ([]byte, error) {
	s := subscriptions[r.Param("name")]
	if s == nil {
		return nil, guest.ErrNotFound
	}
	b, err := s.Recv(timeout(r))
	if err != nil {
		return nil, err
	}
	n, err := s.Dropped()
	return fmt.Appendf(nil, "%s, missed %d", b, n), err
}
