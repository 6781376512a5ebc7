package calls

import (
	"bytes"
	"io"
)

// Event is something for a service to handle.
type Event struct {
	Kind uint32 // abi.Event...
	// Head is, of a query: "path\n" and then the account of the origin in hex, or nothing. Of an HTTP request: its head as
	// HTTP/1.1 has it, with an empty line. Of a connection: "server name\npeer address".
	Head []byte
	// Body is payload, body, or what comes from the peer. A Read that blocks ends with Close. After a response with status 101
	// it goes on with what the peer sends, whatever it said before.
	Body io.ReadCloser
	Out  Responder
}

// Responder takes what a guest answers to one event. Calls come one at a time, but for Close, which may come during another call
// and even just before one, when the instance is ended from elsewhere.
type Responder interface {
	// Reply answers a query and ends it. status 0: the guest serves it. data is valid until it returns.
	Reply(status uint32, data []byte) error
	// Respond begins the response to an HTTP request. header has lines as HTTP/1.1 has them. 101: the connection is the guest's
	// from now on.
	Respond(status int, header []byte) error
	// Write sends bytes of the response or on the connection.
	Write(p []byte) (int, error)
	// CloseWrite says that no more follow.
	CloseWrite() error
	// Close ends the event, exactly once, whatever was answered: with nil when the guest closed it, else with why its
	// instance ended. It has a Write that blocks return.
	Close(why error)
}

// Bytes is a Body that is at hand: it is read without a goroutine.
func Bytes(p []byte) io.ReadCloser { return atHand{bytes.NewReader(p)} }

type atHand struct{ *bytes.Reader }

func (atHand) Close() error { return nil }
