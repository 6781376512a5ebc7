package guest_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/engine"
	"github.com/troupehost/troupe/host/internal/calls"
)

// The guests run here on the engine and on what serves their calls, without worker and process between.

var compiled sync.Map // name -> func() ([]byte parts, error)

// load returns an app of its own of a guest, which is compiled once.
func load(t testing.TB, name string) *engine.App {
	t.Helper()
	type result struct {
		c   *engine.Compiled
		err error
	}
	f, _ := compiled.LoadOrStore(name, sync.OnceValue(func() result {
		code, err := os.ReadFile(filepath.Join("..", "..", "testdata", "guests", name+".wasm"))
		if err != nil {
			return result{err: err}
		}
		c, err := engine.Compile(context.Background(), code, 64<<20, engine.Options{})
		return result{c, err}
	}))
	r := f.(func() result)()
	if r.err != nil {
		t.Fatalf("%s: %v", name, r.err)
	}
	a, err := engine.Load(context.Background(), r.c.Contents())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// space is a key-value space in memory.
type space struct {
	mu   sync.Mutex
	keys map[string][]byte
}

func (s *space) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.keys[key]
	if !ok {
		return nil, calls.ErrNotFound
	}
	return v, nil
}

func (s *space) Put(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[key] = bytes.Clone(value)
	return nil
}

func (s *space) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.keys[key]; !ok {
		return calls.ErrNotFound
	}
	delete(s.keys, key)
	return nil
}

func (s *space) List(_ context.Context, prefix, after string, most int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for k := range s.keys {
		if strings.HasPrefix(k, prefix) && k > after {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), most)], nil
}

func (s *space) Used() (used, quota int64) { return 0, 1 << 20 }

// keys has the key of a worker.
type keys struct{}

var worker = meter.KeyFromSeed([32]byte{7})

func (keys) SignApp(app manifest.Address, data []byte) [64]byte {
	return worker.Sign(meter.AppMessage(app, data))
}

func (keys) Secret(app manifest.Address, path []byte) [64]byte {
	return sha512.Sum512(slices.Concat([]byte("secret"), app[:], path))
}

func (keys) Public() [32]byte { return worker.Public() }

type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) Write(_ int, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, string(b))
}

type blobs map[string][]byte

func (b blobs) ReadAt(_ context.Context, _, hash string, p []byte, off int64) (int, int64, error) {
	data := b[hash]
	return copy(p, data[min(off, int64(len(data))):]), int64(len(data)), nil
}

// rig is an app with one long-lived instance.
type rig struct {
	t     testing.TB
	name  string
	args  []string
	app   *calls.App
	inst  *calls.Instance
	log   *lines
	space *space
	ended chan struct{}
	out   engine.Outcome
}

var address = manifest.Address{1, 2, 3}

const mostReply = 1 << 20

// start runs a service until the test is over.
func start(t testing.TB, name string, server calls.Config, cfg calls.AppConfig, args ...string) *rig {
	t.Helper()
	r := &rig{t: t, log: &lines{}, space: &space{keys: map[string][]byte{}}, ended: make(chan struct{})}
	cfg.Address, cfg.Session, cfg.WorkerSession, cfg.Label = address, [32]byte{4}, [32]byte{5}, "test"
	cfg.KV, cfg.Keys = r.space, keys{}
	cfg.Grants.KVBytes = 1 << 20
	sn := uint64(0)
	cfg.Token = func(context.Context) (uint64, meter.Token, error) {
		sn++
		return sn * 1000, meter.Token{SN: sn}, nil
	}
	r.app = calls.New(server).App(cfg)
	r.name, r.args = name, args
	r.run()
	return r
}

// another starts another instance of the app.
func (r *rig) another() *rig {
	other := &rig{t: r.t, app: r.app, name: r.name, args: r.args, log: r.log, space: r.space, ended: make(chan struct{})}
	other.run()
	return other
}

func (r *rig) run() {
	r.t.Helper()
	r.inst = r.app.Instance(calls.InstanceConfig{ID: 9, Log: r.log, Reply: mostReply})
	app := load(r.t, r.name)
	go func() {
		defer close(r.ended)
		r.out = runOn(app, r.inst, engine.Spec{Entry: run.Entry{Mode: run.Command, Name: "app", Args: r.args}}, nil)
		r.inst.End(errors.New("the guest ended"))
	}()
	r.t.Cleanup(func() {
		r.inst.Stop()
		r.inst.End(errors.New("the test is over"))
		<-r.ended
	})
}

// runOn runs an app whose calls an instance serves.
func runOn(app *engine.App, inst run.Calls, s engine.Spec, result *[]byte) engine.Outcome {
	s.MemoryBytes, s.OutputBytes = 64<<20, 16<<20
	s.Gas, s.InitGas = run.NoGasLimit, run.NoGasLimit
	s.Determinism = run.RealWorld
	var answer run.Answer
	io := engine.IO{
		Stdin:  func([]byte) (int, error) { return 0, io.EOF },
		Output: func(_ bool, p []byte) error { return nil },
		Result: func(p []byte) error {
			if result != nil {
				*result = bytes.Clone(p)
			}
			return nil
		},
		Ask: func(a *run.Ask) (*run.Answer, error) {
			answer = inst.Call(context.Background(), *a)
			return &answer, nil
		},
	}
	if s.Entry.Mode == run.Command && result != nil {
		io.Output = func(stderr bool, p []byte) error {
			*result = append(*result, p...)
			return nil
		}
	}
	return app.Run(context.Background(), s, io)
}

// caller is who waits for the answer to one event.
type caller struct {
	mu     sync.Mutex
	status uint32
	header string
	body   bytes.Buffer
	arrive chan struct{} // something was written
	why    error
	closed chan struct{}
}

func newCaller() *caller {
	return &caller{closed: make(chan struct{}), arrive: make(chan struct{}, 1)}
}

func (c *caller) Reply(status uint32, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
	c.body.Write(data)
	return nil
}

func (c *caller) Respond(status int, header []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.header = uint32(status), string(header)
	return nil
}

func (c *caller) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.body.Write(p)
	select {
	case c.arrive <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (c *caller) CloseWrite() error { return nil }

func (c *caller) Close(why error) {
	c.why = why
	close(c.closed)
}

// next waits until so many bytes came, and takes them.
func (c *caller) next(t testing.TB, n int) string {
	t.Helper()
	for {
		c.mu.Lock()
		if c.body.Len() >= n {
			defer c.mu.Unlock()
			return string(c.body.Next(n))
		}
		c.mu.Unlock()
		select {
		case <-c.arrive:
		case <-c.closed:
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.body.Len() < n {
				t.Fatalf("%d bytes came, and then the end (%v)", c.body.Len(), c.why)
			}
		}
	}
}

func (r *rig) deliver(e calls.Event) *caller {
	r.t.Helper()
	c := newCaller()
	e.Out = c
	if err := r.inst.Deliver(context.Background(), e); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// ask begins a query.
func (r *rig) ask(path, payload string) *caller {
	r.t.Helper()
	return r.deliver(calls.Event{Kind: abi.EventQuery, Head: []byte(path + "\n0badcafe\n"), Body: io.NopCloser(strings.NewReader(payload))})
}

// query makes a query and returns its reply; one that failed begins with its number.
func (r *rig) query(path, payload string) string {
	r.t.Helper()
	c := r.ask(path, payload)
	<-c.closed
	if c.why != nil {
		return "closed: " + c.why.Error()
	}
	if c.status != 0 {
		return string(rune('0'+c.status)) + " " + c.body.String()
	}
	return c.body.String()
}

// request begins an HTTP request with this head, whose lines end in \n here.
func (r *rig) request(head string, body io.Reader) *caller {
	r.t.Helper()
	head = strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n"
	return r.deliver(calls.Event{Kind: abi.EventHTTP, Head: []byte(head), Body: io.NopCloser(body)})
}
