package engine

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// seen is all that a host learns of a run.
type seen struct {
	Outcome
	Code                   fault.Code
	Result, Stdout, Stderr string
}

// listen returns streams without an input, and what they are written to.
func listen(into *seen) IO {
	return IO{
		Stdin: func([]byte) (int, error) { return 0, io.EOF },
		Output: func(stderr bool, p []byte) error {
			if stderr {
				into.Stderr += string(p)
			} else {
				into.Stdout += string(p)
			}
			return nil
		},
		Result: func(p []byte) error { into.Result = string(p); return nil },
	}
}

// settled leaves of an outcome what must be the same.
func (s *seen) settled(o Outcome) seen {
	s.Outcome = o
	if o.Fault != nil {
		s.Code, s.Fault = o.Fault.Code, nil
	}
	return *s
}

// TestInterpretedRunsAreCompiledRuns: gas, memory, results and output are those of the compiler, and so is how a run ends.
func TestInterpretedRunsAreCompiledRuns(t *testing.T) {
	ctx := context.Background()
	invoke := func(name string, args ...string) run.Entry {
		return run.Entry{Mode: run.Invoke, Name: name, Args: args}
	}
	command := run.Entry{Mode: run.Command, Args: []string{"3"}}
	type row struct {
		guest string
		spec  Spec
		deep  bool
	}
	rows := []row{
		{guest: "hash-puzzle", spec: Spec{Entry: invoke("run", "0", "1")}},
		{guest: "kernels", spec: Spec{Entry: invoke("fib", "12")}},
		{guest: "kernels", spec: Spec{Entry: invoke("sha256_", "10")}},
		{guest: "kernels", spec: Spec{Entry: invoke("interpreter", "500")}},
		{guest: "echo", spec: Spec{Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: []byte("hello")}},
		{guest: "echo-zstd", spec: Spec{Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: []byte("hello")}},
		{guest: "adder", spec: Spec{Entry: run.Entry{Mode: run.Bytes, Name: "validate_block"}, Input: make([]byte, 100)}},
		{guest: "c-hello", spec: Spec{Entry: command}},
		{guest: "go-hello", spec: Spec{Entry: command}},
		{guest: "echo-wasi", spec: Spec{Entry: command}},
		{guest: "exit", spec: Spec{Entry: command}},
		{guest: "sleep", spec: Spec{Entry: command}},
		{guest: "trap", spec: Spec{Entry: invoke("trap_unreachable")}},
		{guest: "trap", spec: Spec{Entry: invoke("div0")}},
		{guest: "trap", spec: Spec{Entry: invoke("oob")}},
		{guest: "start-trap", spec: Spec{Entry: invoke("run")}},
		{guest: "memhog", spec: Spec{Entry: invoke("pages"), MemoryBytes: 8 << 20}},
		{guest: "loop", spec: Spec{Entry: invoke("run"), Gas: 1_000_000}},
		{guest: "bigout", spec: Spec{Entry: command, OutputBytes: 100_000}},
		{guest: "recurse", spec: Spec{Entry: invoke("run", "0"), StackValues: 2048}},
		{guest: "recurse", spec: Spec{Entry: invoke("run", "0")}, deep: true},
		{guest: "unknown-import", spec: Spec{Entry: invoke("call"), Imports: run.TrapMissing}},
		{guest: "unknown-import", spec: Spec{Entry: invoke("call")}},
	}
	for _, r := range rows {
		for _, canonical := range []bool{false, true} {
			s := r.spec
			if s.MemoryBytes == 0 {
				s.MemoryBytes = 64 << 20
			}
			if s.OutputBytes == 0 {
				s.OutputBytes = 1 << 20
			}
			if s.Imports == 0 {
				s.Imports = run.RefuseMissing
			}
			s.Determinism = run.Deterministic
			code, o := guest(t, r.guest), Options{CanonicalNaNs: canonical}
			c, err := Compile(ctx, code, 64<<20, o)
			if err != nil {
				t.Fatalf("%s: %v", r.guest, err)
			}
			app, err := Load(ctx, c.Contents())
			if err != nil {
				t.Fatalf("%s: %v", r.guest, err)
			}
			var a, b seen
			want := a.settled(app.Run(ctx, s, listen(&a)))
			_ = app.Close()
			out, err := Interpret(ctx, code, 64<<20, o, s, listen(&b))
			got := b.settled(out.Outcome)
			name := strings.Join(append([]string{r.guest, s.Entry.Name}, s.Entry.Args...), " ")
			if err != nil || out.TooDeep != r.deep {
				t.Errorf("%s: %v, too deep: %v", name, err, out.TooDeep)
			}
			if d := cmp.Diff(want, got); d != "" && !r.deep {
				t.Errorf("%s, canonical %v: compiled and interpreted differ:\n%s", name, canonical, d)
			}
			if want.Code != fault.GuestUnknownImport && want.Code != fault.GuestStartTrap && want.GasUsed+want.InitGas == 0 {
				t.Errorf("%s used no gas: %+v", name, want)
			}
		}
	}
}

// TestWhichCodeMakesNaNs: making them canonical changes only that.
func TestWhichCodeMakesNaNs(t *testing.T) {
	const f64, f64Add, f64Neg, f64Const = 0x7c, 0xa0, 0x9a, 0x44
	number := append([]byte{f64Const}, make([]byte, 8)...)
	for name, row := range map[string]struct {
		code []byte
		want bool
	}{
		"integers": {body(opI32Const, 1, opDrop), false},
		"a sign":   {body(append(bytes.Clone(number), f64Neg, opDrop)...), false},
		"a sum":    {body(append(append(bytes.Clone(number), number...), f64Add, opDrop)...), true},
	} {
		code := binaryModule(section(secType, funcType("", "")), section(secFunc, []byte{0}), section(secExport, exportFunc("f", 0)), section(secCode, row.code))
		for _, canonical := range []bool{false, true} {
			var s seen
			out, err := Interpret(context.Background(), code, 1<<20, Options{CanonicalNaNs: canonical},
				Spec{Entry: run.Entry{Mode: run.Invoke, Name: "f"}, MemoryBytes: 1 << 20, OutputBytes: 100, Determinism: run.Deterministic}, listen(&s))
			if err != nil || out.Fault != nil || out.Floats != (row.want && !canonical) {
				t.Errorf("%s: floats %v, %v, %v", name, out.Floats, out.Fault, err)
			}
		}
	}
	if _, err := Interpret(context.Background(), []byte("nothing"), 1<<20, Options{}, Spec{}, IO{}); err == nil {
		t.Error("what is not code was run")
	}
}
