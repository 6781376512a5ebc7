package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestMain makes the test binary a process that answers every call with its input.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (os.Args[1] == echoRing || os.Args[1] == echoSocket) {
		if err := echo(os.Args[1]); err != nil {
			_, _ = os.Stderr.WriteString("echo: " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	echoRing   = "echo-over-the-ring"
	echoSocket = "echo-over-the-socket"
)

// end is an end of a conversation, of either side and of either kind.
type end interface {
	Send(m Message) error
	Next(f *Frame) error
}

// sockets are the ends of one over the socket.
type (
	hostSocket   struct{ *HostConn }
	workerSocket struct{ *WorkerConn }
)

func (s hostSocket) Send(m Message) error   { return s.HostConn.Send(m) }
func (s hostSocket) Next(f *Frame) error    { return s.in.into(f) }
func (s workerSocket) Send(m Message) error { return s.WorkerConn.Send(m) }
func (s workerSocket) Next(f *Frame) error  { return s.in.into(f) }

func echo(kind string) error {
	conn := NewWorkerConn(Socket)
	if _, err := conn.Receive(); err != nil {
		return err
	}
	files, err := conn.TakeFiles(2)
	if err != nil {
		return err
	}
	ring, err := OpenWorkerRing(files[0], files[1])
	if err != nil {
		return err
	}
	var e end = workerSocket{conn}
	if kind == echoRing {
		e = ring
		go func() { // as a worker does
			_, _ = conn.Receive()
			os.Exit(0)
		}()
	}
	var f Frame
	var result Result
	var done Finished
	var input []byte
	for {
		if err := e.Next(&f); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		done.Run = f.Call.Run
		input = append(input[:0], f.Call.Data...)
		for int64(len(input)) < f.Call.InputBytes {
			if err := e.Next(&f); err != nil {
				return err
			}
			input = append(input, f.Input.Data...)
		}
		for p := range slices.Chunk(input, MaxChunk) {
			result.Data = p
			if err := e.Send(&result); err != nil {
				return err
			}
		}
		if err := e.Send(&done); err != nil {
			return err
		}
		if kind == echoRing && !ring.Buffered() {
			ring.Flush()
		}
	}
}

// echoing starts a process that echoes.
func echoing(t testing.TB, kind string) (end, *HostRing) {
	t.Helper()
	conn, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	ring, file, event, err := NewRing()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", kind)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ring.Close()
		_ = conn.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other side: %v", err)
		}
	})
	if err := conn.Send(Load{}, file.Fd(), event.Fd()); err != nil {
		t.Fatal(err)
	}
	_, _, _ = theirs.Close(), file.Close(), event.Close()
	if kind == echoRing {
		return ring, ring
	}
	return hostSocket{conn}, ring
}

// caller makes calls without memory of its own.
type caller struct {
	end
	call  Call
	input Input
	frame Frame
}

func (c *caller) send(id uint64, input []byte) error {
	first := min(len(input), MaxChunk)
	c.call = Call{Run: id, InputBytes: int64(len(input)), Data: input[:first]}
	if err := c.Send(&c.call); err != nil {
		return err
	}
	for rest := input[first:]; len(rest) > 0; {
		n := min(len(rest), MaxChunk)
		c.input.Data = rest[:n]
		if err := c.Send(&c.input); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// answer copies what comes back into result.
func (c *caller) answer(id uint64, result []byte) error {
	for at := 0; ; {
		if err := c.Next(&c.frame); err != nil {
			return err
		}
		switch c.frame.Type {
		case TypeResult:
			at += copy(result[at:], c.frame.Result.Data)
		case TypeFinished:
			if c.frame.Finished.Run != id || at != len(result) {
				return fmt.Errorf("run %d ends with %d bytes; want %d with %d", c.frame.Finished.Run, at, id, len(result))
			}
			return nil
		default:
			return errors.New("another message")
		}
	}
}

// TestRingBetweenProcesses has calls of all sizes echoed, many of them at once, with pauses on both sides: no wake-up is
// lost, and nothing is mixed up.
func TestRingBetweenProcesses(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 20_000
	}
	_, ring := echoing(t, echoRing)
	stop := time.AfterFunc(2*time.Minute, func() { panic("a wake-up was lost") })
	defer stop.Stop()
	data := make([]byte, 600<<10)
	for i := range data {
		data[i] = byte(i * 7)
	}
	size := func(r *rand.Rand) int {
		switch k := r.IntN(1000); {
		case k == 0:
			return r.IntN(len(data))
		case k < 20:
			return r.IntN(20 << 10)
		}
		return r.IntN(300)
	}
	wait := func(r *rand.Rand) {
		switch k := r.IntN(1000); {
		case k == 0:
			<-time.After(time.Duration(r.IntN(200)) * time.Microsecond)
		case k < 10:
			for begin := time.Now(); time.Since(begin) < time.Duration(r.IntN(60))*time.Microsecond; {
			}
		}
	}
	sent := make(chan error, 1)
	go func() {
		sizes, pauses := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(2, 2))
		c := caller{end: ring}
		for i := range n {
			wait(pauses)
			if err := c.send(uint64(i), data[:size(sizes)]); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	sizes, pauses := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(3, 3))
	c := caller{end: ring}
	result := make([]byte, len(data))
	for i := range n {
		wait(pauses)
		k := size(sizes)
		if err := c.answer(uint64(i), result[:k]); err != nil {
			t.Fatalf("call %d of %d bytes: %v", i, k, err)
		}
		if !bytes.Equal(result[:k], data[:k]) {
			t.Fatalf("call %d of %d bytes came back changed", i, k)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// BenchmarkEcho is a call to another process and back, over the ring and over the socket: one at a time, by size, and many
// at a time.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{100, 4 << 10, 64 << 10, 1 << 20, 10 << 20} {
		for _, kind := range []string{echoRing, echoSocket} {
			b.Run(fmt.Sprintf("%s/%d", kind, size), func(b *testing.B) {
				e, _ := echoing(b, kind)
				c := caller{end: e}
				data, result := make([]byte, size), make([]byte, size)
				took := make([]time.Duration, 0, 1<<17)
				b.ReportAllocs()
				for b.Loop() {
					begin := time.Now()
					if err := errors.Join(c.send(1, data), c.answer(1, result)); err != nil {
						b.Fatal(err)
					}
					if len(took) < cap(took) {
						took = append(took, time.Since(begin))
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[0].Nanoseconds())/1e3, "min-us")
				b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-us")
				b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-us")
			})
		}
	}
	for _, kind := range []string{echoRing, echoSocket} {
		b.Run(kind+"/100x32", func(b *testing.B) {
			e, _ := echoing(b, kind)
			c := caller{end: e}
			data, result := make([]byte, 100), make([]byte, 100)
			b.ReportAllocs()
			for b.Loop() {
				for i := range 32 {
					if err := c.send(uint64(i), data); err != nil {
						b.Fatal(err)
					}
				}
				for i := range 32 {
					if err := c.answer(uint64(i), result); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(32*float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
