package pool

import (
	"errors"
	"net"
	"os"

	"github.com/troupehost/troupe/actors/fault"
)

// listen holds a worker that has loaded to its silence on the socket, until the socket is closed: everything else is said in
// the ring. A worker that says something there, or closes its end and lives on, breaks the protocol; its run need not wait for
// a limit. Of an end that is closed it takes lastWords to know that it is not a death.
func (x *executor) listen() {
	_, err := x.conn.Receive() // descriptors that come are dropped by the kernel
	what := "it speaks on its socket"
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed): // halted, or buried
		return
	case err != nil && x.diesOfItself(err):
		return
	case err != nil:
		what = "its socket: " + err.Error()
	}
	f := fault.New(fault.SuspectBadReply, opRun, x.id, worded(what))
	if x.line.fail(f) { // or whoever drives tells it
		x.killed(f)
	}
	x.halt()
}
