package ingress

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
)

// exchange is one request with its response. Nothing touches the ResponseWriter once its handler has returned.
type exchange struct {
	s      *Server
	w      http.ResponseWriter
	rc     *http.ResponseController
	r      *http.Request
	ctx    context.Context // ends with the client, the server, or what limit says
	cancel context.CancelFunc
	place  func() // gives its place among the requests back

	up     string // what the client wants to speak after an upgrade
	target string // as in the request line
	adm    Admission
	body   *body
	bytes  traffic
	active atomic.Int64 // when something was read or written last, since epoch

	// Of the response. Its owner is who answers, and the handler when nobody else does any more: see leave.
	began   bool // the app has begun
	opened  bool // the head went out
	gone    bool // the client is
	bare    bool // no body goes out: HEAD, or a status that has none
	status  int
	header  http.Header
	length  int64 // -1: unknown
	sent    int64 // of it, also what is held
	sign    bool
	collect bool
	held    []byte // of a reply that is collected: all; of another one of known length: the piece that completes it
	quota   int64  // taken of Server.collected
	room    int64  // taken of Server.taken
	commits time.Time

	writing sync.Mutex // held while the app responds
	left    bool       // guarded by writing: what the app says now is too late
	mu      sync.Mutex // guards what follows, and is never held over a write
	under   bool
	over    bool // nothing more is written
}

var epoch = time.Now()

func (x *exchange) touch()               { x.active.Store(int64(time.Since(epoch))) }
func (x *exchange) quiet() time.Duration { return time.Since(epoch) - time.Duration(x.active.Load()) }

// patient returns how much longer the head of the response is waited for: 0 no longer, below 0 that it came. A client that sends
// its body slowly does not use up the app's time.
func (x *exchange) patient(patience time.Duration) time.Duration {
	if !x.writing.TryLock() {
		return time.Second // it is being written
	}
	defer x.writing.Unlock()
	switch wait := patience - x.quiet(); {
	case x.began:
		return -1
	case x.body.busy():
		return max(wait, time.Second)
	default:
		return max(wait, 0)
	}
}

// allow says whether something may be written, and gives it a deadline.
func (x *exchange) allow() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.under = true
	_ = x.rc.SetWriteDeadline(time.Now().Add(x.s.lim.WriteTimeout))
	return true
}

func (x *exchange) wrote() {
	x.mu.Lock()
	x.under = false
	x.mu.Unlock()
	x.touch()
}

// leave has whoever still writes or reads stop, and waits for it. Afterwards the response is the handler's alone.
func (x *exchange) leave() {
	x.mu.Lock()
	x.over = true
	if x.under {
		x.gone = true
		_ = x.rc.SetWriteDeadline(past)
	}
	x.mu.Unlock()
	x.writing.Lock()
	x.left = true
	x.writing.Unlock()
	_ = x.body.Close()
	x.mu.Lock()
	x.over = false
	x.mu.Unlock()
}

// begin begins the response of an app. h is not used afterwards. It is called with writing held, as push is.
func (x *exchange) begin(status int, h http.Header) error {
	if x.began {
		return fault.New(fault.GuestBadReply, "respond", "", errors.New("the response has begun"))
	}
	if status < 200 || status > 599 {
		return badReply("a status must be between 200 and 599")
	}
	n, err := length(h)
	if err != nil {
		return badReply(err.Error())
	}
	clean(h)
	x.status, x.header, x.length = status, h, n
	x.bare = x.r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
	x.began = true
	if x.bare {
		return nil // it goes out with finish, when it is known to be whole
	}
	if n >= 0 && n <= MaxSigned && x.sign {
		x.collect = true
		return nil
	}
	return x.open(n)
}

// reserve takes room for what more there is of a reply that is collected. A reply that only says how long it is takes none.
func (x *exchange) reserve(n int64) bool {
	if x.s.collected.Add(n) > x.s.lim.CollectBytes {
		x.s.collected.Add(-n)
		return false
	}
	x.quota += n
	return true
}

// release gives back what was collected, as the beginning of a reply that is streamed.
func (x *exchange) release() error {
	x.collect = false
	held := x.held
	x.held = nil
	if err := x.open(x.length); err != nil {
		return err
	}
	if len(held) > 0 {
		if _, err := x.write(held); err != nil {
			return err
		}
	}
	x.s.collected.Add(-x.quota)
	x.quota = 0
	return nil
}

// open sends the head of the response.
func (x *exchange) open(n int64) error {
	to := x.w.Header()
	for name, v := range x.header {
		to[name] = v
	}
	if n >= 0 {
		to["Content-Length"] = []string{strconv.FormatInt(n, 10)}
	}
	x.plain(to)
	if !x.allow() {
		return errLeft
	}
	defer x.wrote()
	x.opened = true
	x.w.WriteHeader(x.status)
	if n < 0 || n > bufferBytes {
		return x.flush()
	}
	return nil
}

// plain has browsers take a response for what it says it is. If the request has not ended when its response begins, the connection
// does: net/http, which reads the rest, would take what comes too late for another request.
func (x *exchange) plain(h http.Header) {
	if !x.body.eof.Load() {
		h["Connection"] = []string{"close"}
	}
	if h["Content-Type"] == nil && x.status != http.StatusNoContent && x.status != http.StatusNotModified {
		h["Content-Type"] = []string{"application/octet-stream"}
	}
	h["X-Content-Type-Options"] = []string{"nosniff"}
}

var errLeft = fault.New(fault.CanceledCaller, "respond", "", nil)

func (x *exchange) flush() error {
	if err := x.rc.Flush(); err != nil {
		x.gone = true
		return errLeft
	}
	return nil
}

// push sends a piece of the body.
func (x *exchange) push(p []byte) (int, error) {
	switch {
	case !x.began:
		return 0, fault.New(fault.GuestBadReply, "respond", "", errors.New("the response has not begun"))
	case len(p) == 0:
		return 0, nil
	case x.bare:
		return len(p), nil // a command need not care
	case x.length >= 0 && int64(len(p)) > x.length-x.sent:
		return 0, badReply("the body is longer than its Content-Length says")
	}
	x.mu.Lock()
	over := x.over
	x.mu.Unlock()
	if over {
		return 0, errLeft
	}
	if x.collect && !x.reserve(int64(len(p))) {
		if err := x.release(); err != nil {
			return 0, err
		}
	}
	x.sent += int64(len(p))
	if x.collect || x.sent == x.length {
		x.held = append(x.held, p...)
		x.touch()
		return len(p), nil
	}
	n, err := x.write(p)
	if err != nil {
		return n, err
	}
	return n, x.commitLong()
}

// write sends bytes behind the head.
func (x *exchange) write(p []byte) (int, error) {
	if !x.allow() {
		return 0, errLeft
	}
	n, err := x.w.Write(p)
	if err == nil {
		err = x.flush()
	}
	x.wrote()
	x.bytes.out.Add(uint64(n))
	if err != nil {
		x.gone = true
		return n, errLeft
	}
	return n, nil
}

// commitLong has what a long stream used written while it goes on.
func (x *exchange) commitLong() error {
	if x.bytes.pending() < commitBytes && time.Since(x.commits) < commitEvery {
		return nil
	}
	x.commits = time.Now()
	return x.adm.Commit(x.ctx, x.bytes.take())
}

// commit has all that was used written, also if the client is gone.
func (x *exchange) commit() error {
	x.bytes.out.Add(ShutdownBytes)
	return x.adm.Commit(context.WithoutCancel(x.ctx), x.bytes.take())
}

// finish ends the response of an app that has said all.
func (x *exchange) finish() {
	switch {
	case !x.began:
		x.fail(badReply("the app ended the request without a response"))
		return
	case x.gone:
		x.abort()
		return
	case !x.bare && x.length >= 0 && x.sent != x.length:
		err := badReply("the body is shorter than its Content-Length says")
		x.fail(err)
		return
	}
	if !x.opened {
		x.whole(x.status, x.header, x.held)
		return
	}
	x.bytes.out.Add(uint64(len(x.held)))
	if err := x.settle(); err != nil {
		x.s.report(err)
		x.abort()
	}
	if len(x.held) > 0 && x.allow() {
		_, _ = x.w.Write(x.held)
		x.wrote()
	}
}

// settle commits once.
func (x *exchange) settle() error {
	if x.adm == nil {
		return nil
	}
	err := x.commit()
	x.adm.Leave()
	x.adm = nil
	return err
}

// whole sends a response that is all here, signed.
func (x *exchange) whole(status int, h http.Header, p []byte) {
	x.status = status
	x.bare = status == http.StatusNoContent || status == http.StatusNotModified || x.r.Method == http.MethodHead
	if !x.bare {
		x.bytes.out.Add(uint64(len(p)))
	}
	if err := x.settle(); err != nil {
		x.s.report(err)
		var retry time.Duration
		x.status, retry, p = page(err)
		x.bare = x.r.Method == http.MethodHead
		h = http.Header{"Content-Type": {"application/json"}, "Retry-After": {strconv.Itoa(int(max(retry, time.Second) / time.Second))}}
	}
	to := x.w.Header()
	for name, v := range h {
		to[name] = v
	}
	size := int64(len(p))
	if x.bare {
		p, size = nil, x.length
	}
	if size >= 0 && status != http.StatusNoContent && status != http.StatusNotModified {
		to["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	}
	if x.sign && len(p) <= MaxSigned {
		if sum, ok := x.body.digest(); ok {
			sig := x.s.cfg.Sign(replyMessage(x.r.Method, x.target, sum, x.status, p))
			to[HeaderSignature] = []string{hex.EncodeToString(sig[:])}
		}
	}
	x.plain(to)
	if !x.allow() {
		return
	}
	x.w.WriteHeader(x.status)
	if len(p) > 0 {
		_, _ = x.w.Write(p)
	}
	x.wrote()
}

// abort ends the connection, so that nobody takes what was sent for a whole response.
func (x *exchange) abort() {
	panic(http.ErrAbortHandler)
}

// limit bounds the time of a request that a client can prolong.
func (x *exchange) limit() {
	d := x.s.lim.RequestTime
	if x.up != "" {
		d = x.s.lim.StreamTime
	}
	x.ctx, x.cancel = context.WithTimeout(x.ctx, d)
}

// start makes the exchange of a request.
func (s *Server) start(w http.ResponseWriter, r *http.Request) (*exchange, func()) {
	x := &exchange{s: s, w: w, rc: http.NewResponseController(w), r: r, cancel: func() {}, ctx: r.Context(), up: upgrade(r), length: -1, commits: time.Now(), target: r.RequestURI}
	if x.target == "" || x.target[0] != '/' {
		x.target = r.URL.RequestURI()
	}
	x.sign = s.cfg.Sign != nil && r.Header.Get(HeaderSign) != "no"
	x.body = newBody(x)
	if x.sign && !x.body.eof.Load() {
		x.body.sum, _ = blake2b.New256(nil)
	}
	if !x.body.eof.Load() {
		_ = x.rc.EnableFullDuplex() // else net/http takes the whole body before a response
	}
	x.touch()
	return x, func() {
		if !x.body.eof.Load() { // net/http reads a little of what is left
			_ = x.rc.SetReadDeadline(time.Now().Add(min(s.lim.ReadTimeout, time.Second)))
		}
		x.cancel()
		if x.adm != nil { // the response was aborted
			if err := x.settle(); err != nil {
				s.report(err)
			}
		}
		s.collected.Add(-x.quota)
		s.taken.Add(-x.room)
	}
}

// grow makes room for more of a body, twice as much but no more than most. What is not small counts for all bodies together.
func (x *exchange) grow(p *[]byte, most int64) error {
	size := max(min(2*int64(cap(*p)), most), bufferBytes)
	if more := size - x.room; size > bufferBytes {
		if x.s.taken.Add(more) > x.s.lim.BodyBytes {
			x.s.taken.Add(-more)
			return fault.New(fault.BusyQueueFull, "read a request", "", nil).WithRetryAfter(time.Second)
		}
		x.room += more
	}
	*p = append(make([]byte, 0, size), *p...)
	return nil
}

// readAll reads a body that may have up to limit bytes, behind what p has.
func (x *exchange) readAll(p *[]byte, limit int64) error {
	if x.r.ContentLength > limit {
		return fault.New(fault.CallerParamsTooBig, "read a request", "", nil)
	}
	from := len(*p)
	x.body.until = time.Now().Add(x.s.lim.ReadTimeout)
	for {
		if len(*p) == cap(*p) {
			if err := x.grow(p, int64(from)+limit+1); err != nil {
				return err
			}
		}
		n, err := x.body.Read((*p)[len(*p):cap(*p)])
		*p = (*p)[:len(*p)+n]
		switch {
		case int64(len(*p)-from) > limit:
			return fault.New(fault.CallerParamsTooBig, "read a request", "", nil)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
