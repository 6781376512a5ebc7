package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// suite is a folder of scripts with what its modules may use.
type suite struct {
	name   string
	policy wasm.Policy
	engine api.CoreFeatures // that the reference is run with beside those of the policy
	// ungated says that the engine knows the types of the suite even when told not to, so that it is no witness of whether a
	// module uses them.
	ungated bool
}

// tally counts what was looked at.
type tally struct {
	sync.Mutex
	n map[string]int
}

func (c *tally) add(what string, n int) {
	c.Lock()
	defer c.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what] += n
}

// lines prints the counts in order.
func (c *tally) lines() (all []string) {
	for _, k := range slices.Sorted(maps.Keys(c.n)) {
		all = append(all, fmt.Sprintf("%7d %s", c.n[k], k))
	}
	return all
}

// stage is a world with the modules of one script.
type stage struct {
	*world
	named map[string]*instance
	last  *instance // nil while the last module was refused for a feature
	lost  map[string]bool
}

// runner plays a script on all stages at once.
type runner struct {
	t      *testing.T
	suite  suite
	file   string
	folder string
	stages []*stage
	judged wazero.Runtime // with the features of the policy
	count  *tally
	report func(string) // of what is not as it should be
	failed int
}

// maxFailures bounds what one script says of itself.
const maxFailures = 30

func runScript(t *testing.T, s suite, file string, all []mode, count *tally, report func(string)) {
	ctx := context.Background()
	folder := filepath.Dir(file)
	var text script
	if err := json.Unmarshal(readFile(t, file), &text); err != nil {
		t.Fatal(err)
	}
	r := &runner{t: t, suite: s, file: strings.TrimSuffix(filepath.Base(file), ".json"), folder: folder, count: count, report: report}
	features := engineFeatures(s.policy.Features)
	config := wazero.NewRuntimeConfigCompiler().WithDebugInfoEnabled(false)
	r.judged = wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(features))
	defer r.judged.Close(ctx)
	library := readFile(t, integrationFolder(t, "spectest", "testdata", "spectest.wasm"))
	for _, m := range all {
		on := features
		if m.original {
			on |= s.engine
		}
		w, err := newWorld(ctx, m, config.WithCoreFeatures(on))
		if err != nil {
			t.Fatal(err)
		}
		defer w.rt.Close(ctx)
		host, err := w.instantiate(library)
		if err != nil {
			t.Fatal(err)
		}
		w.registered["spectest"] = host.Module
		r.stages = append(r.stages, &stage{world: w, named: map[string]*instance{}, lost: map[string]bool{}})
	}
	for _, c := range text.Commands {
		if r.play(c); r.failed > maxFailures {
			break
		}
	}
	for _, s := range r.stages {
		count.add("refills, "+s.mode.name, s.refills)
	}
}

func (r *runner) errorf(c command, format string, args ...any) {
	what := c.Type + " " + c.Filename + c.Action.Field
	r.failed++
	r.report(fmt.Sprintf("%s/%s:%d %q %q: %s", r.suite.name, r.file, c.Line, what, c.Text, fmt.Sprintf(format, args...)))
}

func (r *runner) play(c command) {
	r.count.add("commands", 1)
	if c.ModuleType == "text" {
		r.count.add("commands about text, not for us", 1)
		return
	}
	switch c.Type {
	case "module", "assert_unlinkable", "assert_uninstantiable":
		r.module(c)
	case "assert_invalid", "assert_malformed":
		r.refused(c)
	case "register":
		r.register(c)
	case "action", "assert_return", "assert_trap", "assert_exhaustion", "assert_exception":
		r.act(c)
	default:
		r.errorf(c, "unknown command")
	}
}

// refusals are the codes by which bytes that are no valid module are refused.
var refusals = map[fault.Code]bool{
	fault.GuestNotWasm: true, fault.GuestVersion: true, fault.GuestTruncated: true, fault.GuestInvalid: true, fault.GuestFeature: true,
	fault.GuestComponent: true, // the version number of a component is one of the malformed headers
}

// refused holds that a module is refused under the policy of its suite, and that with everything on it is not accepted while
// the engine refuses it.
func (r *runner) refused(c command) {
	code := readFile(r.t, r.folder, c.Filename)
	r.count.add("modules", 1)
	_, err := wasm.Judge(code, r.suite.policy)
	if !refusals[fault.CodeOf(err)] && (c.Text != "too many locals" || fault.CodeOf(err) != fault.GuestTooComplex) {
		r.errorf(c, "not refused as invalid: %v", err)
		return
	}
	r.count.add("refused: "+string(fault.CodeOf(err)), 1)
	if _, err := wasm.Judge(code, wasm.Policy{Features: wasm.AllFeatures}); err == nil {
		rt := wazero.NewRuntimeWithConfig(context.Background(),
			wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(engineFeatures(wasm.AllFeatures)))
		defer rt.Close(context.Background())
		if _, err := rt.CompileModule(context.Background(), code); err != nil {
			r.errorf(c, "accepted with all features, though the engine says %v", err)
		}
	}
	for _, s := range r.stages[1:] {
		if _, instrumented := s.prepare(code, r.suite.policy); fault.CodeOf(instrumented) != fault.CodeOf(err) {
			r.errorf(c, "%s: instrumented: %v, judged: %v", s.mode.name, instrumented, err)
		}
		r.count.add("assertions, "+s.mode.name, 1)
	}
}

// module instantiates a module on every stage. They agree on whether that is possible, and on how it ended.
func (r *runner) module(c command) {
	code := readFile(r.t, r.folder, c.Filename)
	r.count.add("modules", 1)
	if !r.accepts(c, code) {
		r.count.add("modules refused for a feature, "+r.suite.name, 1)
	} else {
		r.count.add("modules accepted, "+r.suite.name, 1)
	}
	var want outcome
	for i, s := range r.stages {
		got, inst, ok := r.instantiate(c, s, code)
		s.last = inst
		if c.Name != "" {
			s.named[c.Name] = inst
		}
		if !ok {
			continue
		}
		if i == 0 {
			want = got
			r.expectStart(c, got)
		}
		if got.trap != want.trap {
			r.errorf(c, "%s: %q (%v), the reference %q (%v)", s.mode.name, got.trap, got.err, want.trap, want.err)
		}
		if err := s.settle(got.err != nil); err != nil && got.err == nil {
			r.errorf(c, "%s: %v", s.mode.name, err)
		}
		if c.Type != "module" {
			r.count.add("assertions, "+s.mode.name, 1)
		}
	}
}

// tooComplex are the modules that the default caps refuse: one has 1,056 locals, the other 24,615 targets of a br_table.
var tooComplex = map[string]bool{"skip-stack-guard-page.0.wasm": true, "br_table.0.wasm": true}

// accepts holds that a module is accepted just if the engine accepts it with the features of the policy, and is refused for a
// feature otherwise.
func (r *runner) accepts(c command, code []byte) bool {
	m, refused := wasm.Judge(code, r.suite.policy)
	compiled, err := r.judged.CompileModule(context.Background(), code)
	if err == nil {
		_ = compiled.Close(context.Background())
	}
	switch {
	case refused == nil && err != nil && c.Type != "assert_unlinkable": // some of these the engine finds out early
		r.errorf(c, "accepted, though the engine says %v", err)
	case refused != nil && err == nil && !r.suite.ungated:
		r.errorf(c, "refused: %v", refused)
	case refused != nil && fault.CodeOf(refused) != fault.GuestFeature:
		r.errorf(c, "refused, but not for a feature: %v", refused)
	case refused == nil && m == nil:
		r.errorf(c, "neither refused nor accepted")
	}
	if refused == nil {
		all := r.suite.policy
		all.Features = wasm.AllFeatures
		if _, err := wasm.Judge(code, all); err != nil {
			r.errorf(c, "refused with all features: %v", err)
		}
	}
	_, err = wasm.Judge(code, wasm.Policy{Features: r.suite.policy.Features})
	if want := tooComplex[c.Filename]; refused == nil && (fault.CodeOf(err) == fault.GuestTooComplex) != want {
		r.errorf(c, "past the default caps %t, got %v", want, err)
	}
	return refused == nil
}

// instantiate returns how a stage took a module, its instance if it has one, and whether it took it at all: not if the module
// or one that it imports is refused.
func (r *runner) instantiate(c command, s *stage, code []byte) (outcome, *instance, bool) {
	prepared, err := s.prepare(code, r.suite.policy)
	if err != nil {
		if _, judged := wasm.Judge(code, r.suite.policy); judged == nil {
			r.errorf(c, "%s: %v", s.mode.name, err)
		}
		return outcome{}, nil, false
	}
	if m, err := wasm.Scan(code); err == nil {
		for _, i := range m.Imports {
			if s.lost[i.Module] {
				return outcome{}, nil, false
			}
		}
	}
	before := s.gas()
	inst, err := s.instantiate(prepared)
	return outcome{trap: trapOf(err), err: err, gas: s.gas() - before}, inst, true
}

// expectStart holds the reference to what the script says.
func (r *runner) expectStart(c command, got outcome) {
	switch c.Type {
	case "module":
		if got.err != nil {
			r.errorf(c, "reference: %v", got.err)
		}
	case "assert_unlinkable":
		if got.err == nil { // of 1.0 that includes segments that do not fit, which trap since
			r.errorf(c, "reference: linked")
		}
	case "assert_uninstantiable":
		// The engine lets a module live whose element segment is out of bounds: the functions in the segments before it do.
		if want := traps[c.Text]; got.trap != want && (c.Text != "out of bounds table access" || got.err != nil) {
			r.errorf(c, "reference: %q, %v", got.trap, got.err)
		}
	}
}

func (r *runner) register(c command) {
	for _, s := range r.stages {
		inst := s.last
		if c.Name != "" {
			inst = s.named[c.Name]
		}
		s.lost[c.As] = inst == nil
		delete(s.registered, c.As)
		if inst != nil {
			s.registered[c.As] = inst.Module
		}
	}
}

// traps are the words of the specification and the engine's own.
var traps = map[string]string{
	"out of bounds memory access":   "out of bounds memory access",
	"indirect call type mismatch":   "indirect call type mismatch",
	"indirect call":                 "indirect call type mismatch",
	"undefined element":             "invalid table access",
	"undefined":                     "invalid table access",
	"uninitialized":                 "invalid table access",
	"uninitialized element":         "invalid table access",
	"out of bounds table access":    "invalid table access",
	"integer overflow":              "integer overflow",
	"invalid conversion to integer": "invalid conversion to integer",
	"integer divide by zero":        "integer divide by zero",
	"unreachable":                   "unreachable",
	"unaligned atomic":              "unaligned atomic",
	"expected shared memory":        "expected shared memory",
	"null":                          "null reference",
	"null reference":                "null reference",
	"null function":                 "null reference",
	"null function reference":       "null reference",
}

// act runs an action on every stage and holds each against the script, and against the reference.
func (r *runner) act(c command) {
	args, err := encode(c.Action.Args)
	if err != nil {
		r.errorf(c, "%v", err)
		return
	}
	var all []outcome
	for _, s := range r.stages {
		inst := s.last
		if c.Action.Module != "" {
			inst = s.named[c.Action.Module]
		}
		if inst == nil {
			if s.mode.original {
				r.errorf(c, "no module")
			}
			r.count.add("skipped for a module refused, "+s.mode.name, 1)
			continue
		}
		o := outcome{}
		switch c.Action.Type {
		case "invoke":
			o = s.call(inst, c.Action.Field, args)
		case "get":
			if g := inst.ExportedGlobal(c.Action.Field); g != nil {
				o.results = []uint64{g.Get()}
			}
		default:
			r.errorf(c, "unknown action")
		}
		r.expect(c, s, o)
		if len(all) > 0 {
			r.compare(c, s, o, all)
		}
		all = append(all, o)
		r.count.add("assertions, "+s.mode.name, 1)
	}
}

// expect holds an outcome against the script.
func (r *runner) expect(c command, s *stage, o outcome) {
	want := ""
	switch c.Type {
	case "action", "assert_return":
	case "assert_trap":
		known := false
		text := c.Text
		if strings.HasPrefix(text, "uninitialized element ") { // its number follows
			text = "uninitialized element"
		}
		if want, known = traps[text]; !known {
			r.errorf(c, "a trap of an unknown kind")
		}
	case "assert_exception":
		want = "uncaught exception"
	case "assert_exhaustion":
		if want = "stack overflow"; s.mode.options.Stack {
			want = errStack.Error()
		}
	}
	if o.trap != want {
		r.errorf(c, "%s: %q (%v), not %q", s.mode.name, o.trap, o.err, want)
		return
	}
	if want != "" || c.Type == "action" {
		return
	}
	strict := s.mode.options.CanonicalNaNs && !passesNaNs[c.Action.Field]
	if differ := mismatch(o.results, c.Expected, strict); differ != "" {
		r.errorf(c, "%s: %s", s.mode.name, differ)
	}
}

// passesNaNs are functions of the scripts that hand on the NaN they are given, or change but its sign: they do not make one.
var passesNaNs = map[string]bool{"f64x2_neg_canon": true}

// compare holds an outcome against the reference, which comes first, and gas against the first mode that is metered: neither
// the size of a slice nor other options change it.
func (r *runner) compare(c command, s *stage, o outcome, before []outcome) {
	if ref := before[0]; c.Type != "assert_exhaustion" && o.trap != ref.trap {
		r.errorf(c, "%s: %q (%v), the reference %q (%v)", s.mode.name, o.trap, o.err, ref.trap, ref.err)
	}
	if s.mode.options.Weights == nil || c.Type == "assert_exhaustion" {
		return
	}
	if o.metered && o.gas <= 0 {
		r.errorf(c, "%s: %d gas used", s.mode.name, o.gas)
	}
	for i, m := range r.stages[:len(before)] {
		if m.mode.options.Weights != nil && before[i].gas != o.gas {
			r.errorf(c, "%s: %d gas used, but %d in mode %s", s.mode.name, o.gas, before[i].gas, m.mode.name)
		}
	}
}
