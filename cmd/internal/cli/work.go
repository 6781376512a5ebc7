package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

// workFlags say what to run and how: the flags that 'run' and 'submit' share.
type workFlags struct {
	invoke, entry, params string
	cpu, wall             span
	memory, output        size
	gas, initGas, stack   amount
	nan                   choice
	priority, imports     choice
	isolation             choice
	validity              string
	real                  bool
	env                   []string
}

func newWorkFlags() *workFlags {
	return &workFlags{
		priority:  choice{"normal", priorities},
		imports:   choice{api.ImportsRefuse, []string{api.ImportsRefuse, api.ImportsTrap}},
		nan:       choice{run.NaNDefault, []string{run.NaNDefault, run.NaNCanonical}},
		isolation: choice{run.Reset.String(), []string{run.Reset.String(), run.Process.String()}},
		gas:       amount{least: 1, most: run.MaxGas}, initGas: amount{least: 1, most: run.MaxGas},
		stack: amount{least: run.MinStackValues, most: run.MaxStackValues},
	}
}

var priorities = []string{"background", "normal", "high", "critical"}

func (f *workFlags) add(fs *pflag.FlagSet) {
	fs.Var(word{&f.invoke, "NAME"}, "invoke", "call the export NAME; the arguments are numbers and so is the result")
	fs.Var(word{&f.entry, "NAME"}, "entry", "call the export NAME with bytes: (pointer, length) -> length << 32 | pointer")
	fs.Var(word{&f.params, "FILE"}, "params", "input FILE of --entry; - is stdin")
	fs.Var(upTo(&f.cpu, run.MaxCPU), "cpu", "limit of CPU time D (default 12s)")
	fs.Var(upTo(&f.wall, run.MaxWall), "wall", "limit of wall time D (default 4 x CPU)")
	fs.Var(&f.memory, "memory", "limit of linear memory SIZE (default 128MiB)")
	fs.Var(&f.output, "output", "limit of output SIZE: stdout, stderr and result together (default 16MiB)")
	fs.Var(&f.gas, "gas", "limit of gas N, about 0.01 ns each: the same for the same work on each machine (default none)")
	fs.Var(&f.initGas, "init-gas", "limit of gas N of initialisation, which --gas does not count (default none)")
	fs.Var(&f.stack, "stack", "limit of the stack: N values in all frames at once (default 65536)")
	fs.Var(&f.nan, "nan", "NaNs of the guest's arithmetic: canonical ones are the same on each machine, and cost time")
	fs.Var(&f.priority, "priority", "how urgent preparation and run are")
	fs.Var(word{&f.validity, "TAG"}, "validity", "a tag that 'troupe queue revoke TAG' can end this by (default none)")
	fs.Var(&f.imports, "missing-imports", "imports that the host does not offer: trap fails only when they are called")
	fs.Var(&f.isolation, "isolation", "reset shares a process with other runs of the same code and puts it back in between; process is for this run alone")
	fs.BoolVar(&f.real, "real", false, "give the guest the machine's clock and random source, not deterministic ones")
	fs.StringArrayVar(&f.env, "env", nil, "`KEY=VALUE` in the guest's environment; repeatable, nothing is inherited")
}

// oneProgram wants a file, and the guest's arguments behind dashes.
func oneProgram(verb string) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		own := args
		if dash := c.ArgsLenAtDash(); dash >= 0 {
			own = args[:dash]
		}
		switch {
		case len(own) == 0:
			return usage("no program", "name a .wasm file: troupe "+verb+" [flags] app.wasm [-- args]")
		case len(own) > 1:
			return usage("too many arguments", "put -- before the guest's arguments: troupe "+verb+" "+own[0]+" -- "+strings.Join(own[1:], " "))
		}
		return nil
	}
}

// request checks the combination of flags and returns what to ask for.
func (f *workFlags) request(ctx context.Context, a *app, args []string) (api.Execute, []byte, error) {
	req := api.Execute{
		Priority: f.priority.value, Imports: f.imports.value, Validity: f.validity, Capture: a.json(),
		Limits: api.Limits{
			CPUMicros: time.Duration(f.cpu).Microseconds(), WallMicros: time.Duration(f.wall).Microseconds(),
			MemoryBytes: int64(f.memory), OutputBytes: int64(f.output),
			Gas: f.gas.n, InitGas: f.initGas.n, StackValues: f.stack.n,
		},
		Entry: api.Entry{Mode: run.Command.String(), Args: args, Env: f.env},
	}
	req.Isolation = f.isolation.value
	req.CanonicalNaNs = f.nan.value == run.NaNCanonical
	if f.real {
		req.World = api.WorldReal
	}
	for _, e := range f.env {
		if k, _, ok := strings.Cut(e, "="); !ok || k == "" {
			return req, nil, usage("--env "+fault.Quote(e), "write --env KEY=VALUE")
		}
	}
	switch {
	case f.invoke != "" && f.entry != "":
		return req, nil, usage("both --invoke and --entry", "choose one of them")
	case f.params != "" && f.entry == "":
		return req, nil, usage("--params without --entry", "only a bytes entry takes input: add --entry NAME")
	case len(f.env) > 0 && (f.invoke != "" || f.entry != ""):
		return req, nil, usage("--env with --invoke or --entry", "only a command has an environment")
	case f.entry != "" && len(args) > 0:
		return req, nil, usage("arguments with --entry", "a bytes entry takes its input from --params")
	case f.invoke != "":
		req.Entry.Mode, req.Entry.Name = run.Invoke.String(), f.invoke
	case f.entry != "":
		req.Entry.Mode, req.Entry.Name = run.Bytes.String(), f.entry
		input, err := a.readInput(ctx, f.params)
		return req, input, err
	}
	return req, nil, nil
}
