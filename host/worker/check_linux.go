package worker

import (
	"context"
	"crypto/sha256"
	"io"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/engine"
	"github.com/troupehost/troupe/host/wire"
)

// check runs code on the interpreter, once, and ends.
func (s *session) check(m wire.Check) error {
	files, err := s.conn.TakeFiles(2)
	if err != nil {
		return err
	}
	code, err := view(files[0])
	if err != nil {
		return err
	}
	input, err := view(files[1])
	if err != nil {
		return err
	}
	if err := s.time.set(m.Terms.Clock); err != nil {
		return err
	}
	stdout, stderr, result := sha256.New(), sha256.New(), sha256.New()
	out, err := engine.Interpret(context.Background(), code, m.MaxInflatedBytes,
		engine.Options{Policy: m.Policy, CanonicalNaNs: m.CanonicalNaNs},
		specOf(&m.Terms, input),
		engine.IO{
			Stdin: func([]byte) (int, error) { return 0, io.EOF },
			Output: func(isStderr bool, p []byte) error {
				if isStderr {
					stderr.Write(p)
				} else {
					stdout.Write(p)
				}
				return nil
			},
			Result: func(p []byte) error { result.Write(p); return nil },
		})
	if err != nil {
		return s.failed(err)
	}
	if input != nil {
		_ = unix.Munmap(input)
	}
	done := wire.Checked{Exited: out.Exited, Exit: out.Exit, MemoryPeakBytes: out.MemoryPeak, GasUsed: out.GasUsed, InitGas: out.InitGas,
		Result: [32]byte(result.Sum(nil)), Stdout: [32]byte(stdout.Sum(nil)), Stderr: [32]byte(stderr.Sum(nil)),
		TooDeep: out.TooDeep, Floats: out.Floats}
	if f := out.Fault; f != nil {
		if f.Class != fault.Guest && f.Class != fault.Caller {
			return f // no word on the run
		}
		done.Code = f.Code
	}
	return s.conn.Send(done)
}
