package cache

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// What becomes of a request whose preparation ended with a code.
const (
	keep = "verdict, remembered"                     // for good; only a limit gives way, to a larger budget
	cool = "verdict, remembered until the cool-down" // which is for executions and announcements, never for prechecks
	fail = "error"                                   // nothing is remembered: the next request prepares
)

// What becomes of a request whose run ended with a code.
const (
	verdict  = "verdict"
	artifact = "again with a new artifact"
	worker   = "again on a fresh worker with a new artifact"
	failed   = "error"
)

// matrix says for each code what follows when a preparation, and when a run ends with it. Neither brings all of them; what
// comes all the same is treated by its class.
var matrix = map[fault.Code]struct{ prepared, ran string }{
	fault.GuestNotWasm:           {keep, verdict},
	fault.GuestTruncated:         {keep, verdict},
	fault.GuestVersion:           {keep, verdict},
	fault.GuestComponent:         {keep, verdict},
	fault.GuestInvalid:           {keep, verdict},
	fault.GuestUnknownImport:     {keep, verdict},
	fault.GuestMissingExport:     {keep, verdict},
	fault.GuestBadSignature:      {keep, verdict},
	fault.GuestCodeTooLarge:      {keep, verdict},
	fault.GuestDecompressionBomb: {keep, verdict},
	fault.GuestBadCompression:    {keep, verdict},
	fault.GuestPrepareCPU:        {keep, verdict},
	fault.GuestPrepareMemory:     {keep, verdict},
	fault.GuestStartTrap:         {keep, verdict},
	fault.GuestTrap:              {keep, verdict},
	fault.GuestExit:              {keep, verdict},
	fault.GuestBadOutput:         {keep, verdict},
	fault.GuestOutputLimit:       {keep, verdict},
	fault.GuestCPULimit:          {keep, verdict},
	fault.GuestWallLimit:         {keep, verdict},
	fault.GuestMemory:            {keep, verdict},
	fault.GuestStack:             {keep, verdict},
	fault.GuestTooManySymbols:    {keep, verdict},
	fault.GuestFeature:           {keep, verdict},
	fault.GuestTooComplex:        {keep, verdict},
	fault.GuestGasLimit:          {keep, verdict},
	fault.GuestQuarantined:       {keep, verdict},
	fault.GuestNoReply:           {keep, verdict},
	fault.GuestRefused:           {keep, verdict},
	fault.GuestBadReply:          {keep, verdict},
	fault.GuestNotServing:        {keep, verdict},

	fault.SuspectWorkerDied:  {cool, worker},
	fault.SuspectWallLimit:   {cool, verdict}, // a limit: it had all its time
	fault.SuspectBadReply:    {cool, worker},
	fault.SuspectArtifact:    {cool, artifact},
	fault.SuspectPrepareDied: {cool, verdict}, // no run brings it
	fault.SuspectPrepareWall: {cool, verdict}, // no run brings it

	fault.HostUnsupported:     {fail, failed},
	fault.HostWorkerMissing:   {fail, failed},
	fault.HostSandboxMissing:  {fail, failed},
	fault.HostWorkerMismatch:  {fail, failed},
	fault.HostSpawnFailed:     {fail, failed},
	fault.HostDataDir:         {fail, failed},
	fault.HostDataDirNewer:    {fail, failed},
	fault.HostDataDirLocked:   {fail, failed},
	fault.HostDataDirCorrupt:  {fail, failed},
	fault.HostChainCorrupt:    {fail, failed},
	fault.HostChainOther:      {fail, failed},
	fault.HostAgent:           {fail, failed},
	fault.HostDataDirTrust:    {fail, failed},
	fault.HostDiskFull:        {fail, failed},
	fault.HostDiskIO:          {fail, failed},
	fault.HostArtifactMissing: {fail, artifact},
	fault.HostArtifactCorrupt: {fail, artifact},
	fault.HostMemory:          {fail, failed},
	fault.HostEngine:          {fail, failed},
	fault.HostGaveUp:          {fail, failed},
	fault.HostKey:             {fail, failed},

	fault.BusyQueueFull: {fail, failed},
	fault.BusyDraining:  {fail, failed},
	fault.BusyPaused:    {fail, failed},
	fault.BusyDisk:      {fail, failed},
	fault.BusyChain:     {fail, failed},
	fault.BusyApp:       {fail, failed},
	fault.BusySlots:     {fail, failed},

	fault.CallerInvalid:          {fail, failed},
	fault.CallerConfig:           {fail, failed},
	fault.CallerNotFound:         {fail, failed},
	fault.CallerDenied:           {fail, failed},
	fault.CallerConflict:         {fail, failed},
	fault.CallerStale:            {fail, failed},
	fault.CallerReason:           {fail, failed},
	fault.CallerQuery:            {fail, failed},
	fault.CallerQuota:            {fail, failed},
	fault.CallerParamsTooBig:     {fail, failed},
	fault.CallerClosed:           {fail, failed},
	fault.CallerUnreachable:      {fail, failed},
	fault.CallerOutput:           {fail, failed},
	fault.CallerManifest:         {fail, failed},
	fault.CallerManifestVersion:  {fail, failed},
	fault.CallerManifestConflict: {fail, failed},
	fault.CallerManifestLabel:    {fail, failed},
	fault.CallerManifestTooLarge: {fail, failed},
	fault.CallerAppExists:        {fail, failed},
	fault.CallerAppState:         {fail, failed},
	fault.CallerBlobMissing:      {fail, failed},
	fault.CallerBlobMismatch:     {fail, failed},
	fault.CallerBlobInUse:        {fail, failed},
	fault.CallerBlobTooLarge:     {fail, failed},
	fault.CallerNoSession:        {fail, failed},
	fault.CallerSession:          {fail, failed},
	fault.CallerTx:               {fail, failed},
	fault.CallerTxNonce:          {fail, failed},
	fault.CallerTxExpired:        {fail, failed},
	fault.CallerTxFailed:         {fail, failed},
	fault.CallerTxCall:           {fail, failed},
	fault.CallerChainURL:         {fail, failed},
	fault.CallerSignature:        {fail, failed},
	fault.CallerSignatureExpired: {fail, failed},
	fault.CallerSignatureScope:   {fail, failed},
	fault.CallerSignatureWorker:  {fail, failed},
	fault.CallerSignatureReplay:  {fail, failed},
	fault.CallerSealed:           {fail, failed},

	fault.CanceledCaller:   {fail, failed},
	fault.CanceledDeadline: {fail, failed},
	fault.CanceledStopped:  {fail, failed},
	fault.CanceledRevoked:  {fail, failed},

	fault.BugUnexpected: {fail, failed},
	fault.BugPanic:      {fail, failed},
	fault.BugProtocol:   {fail, failed},
	fault.BugNoAnswer:   {fail, failed},
}

func TestBlameMatrixIsComplete(t *testing.T) {
	for _, c := range fault.Codes() {
		if _, ok := matrix[c]; !ok {
			t.Errorf("%s has no row", c)
		}
	}
	if n := len(fault.Codes()); n != len(matrix) {
		t.Errorf("%d codes, %d rows", n, len(matrix))
	}
}

func TestBlameOfPreparations(t *testing.T) {
	for code, row := range matrix {
		for kind := Execute; kind <= HeadsUp; kind++ {
			for _, asError := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", code, kind, asError), func(t *testing.T) {
					b := newBench(t, Limits{Cooldown: 15 * time.Minute, Retries: 5})
					end := func() {
						f := fault.New(code, "prepare", "", nil)
						if asError {
							b.step(prepared{key: key, gen: b.jobs[len(b.jobs)-1].Gen, err: f})
							return
						}
						b.prepared(prepare.Outcome{Fault: f, CPU: time.Second})
					}
					id := uint64(0)
					ask := func(wantJob bool, what string) {
						t.Helper()
						before := len(b.jobs)
						id++
						b.ask(Request{ID: id, Kind: kind})
						if got := len(b.jobs) > before; got != wantJob {
							t.Fatalf("%s: prepared %v, want %v", what, got, wantJob)
						}
						if wantJob {
							end()
						}
						if row.prepared == fail {
							if !errors.Is(b.err[id], code) || b.done[id] != 1 {
								t.Errorf("%s: error %v, answered %d times", what, b.err[id], b.done[id])
							}
							return
						}
						b.wantFault(id, code)
					}
					ask(true, "first")
					if want := row.prepared != fail; want != (len(b.stored) == 1) {
						t.Errorf("stored %d failures", len(b.stored))
					}
					ask(row.prepared == fail, "again at once")
					b.now = b.now.Add(15 * time.Minute)
					retried := row.prepared == cool && kind != Precheck
					ask(row.prepared == fail || retried, "after the cool-down")
					if !retried {
						return
					}
					for n := 2; n <= 5; n++ {
						b.now = b.now.Add(15 * time.Minute)
						ask(true, fmt.Sprint("retry ", n))
					}
					b.now = b.now.Add(time.Hour)
					ask(false, "after the last retry")
				})
			}
		}
	}
}

// ranInto has a run of a prepared artifact end with a code, and re-prepares what is asked for.
func ranInto(b *bench, id uint64, code fault.Code, delivered int64) {
	b.t.Helper()
	jobs := len(b.jobs)
	b.executed(id, run.Outcome{Fault: fault.New(code, "execute", "", errors.New("cause")), Delivered: delivered})
	if len(b.jobs) > jobs {
		b.prepared(prepare.Outcome{})
	}
}

func TestBlameOfRuns(t *testing.T) {
	for code, row := range matrix {
		class := fault.Describe(code).Class
		t.Run(string(code), func(t *testing.T) {
			for _, delivered := range []int64{0, 1} {
				for _, forgive := range []bool{false, true} {
					b := newBench(t, Limits{Forgive: forgive}, one(1))
					b.ask(Request{ID: 1, Kind: Execute})
					ranInto(b, 1, code, delivered)
					again := delivered == 0 && (row.ran == artifact || row.ran == worker)
					if (len(b.runs) == 2) != again || (len(b.jobs) == 1) != again {
						t.Fatalf("delivered %d: %d runs, %d preparations", delivered, len(b.runs), len(b.jobs))
					}
					if again {
						ranInto(b, 1, code, 0)
					}
					if class != fault.Guest && class != fault.Suspect {
						if !errors.Is(b.err[1], code) {
							t.Errorf("delivered %d: error %v", delivered, b.err[1])
						}
						continue
					}
					b.wantFault(1, code)
					a := b.answer[1]
					attempts := 1
					if again {
						attempts = 2
					}
					if a.Attempts != attempts || a.Repeated != again || a.Counted != (again && !forgive) {
						t.Errorf("delivered %d: %d attempts, repeated %v, counted %v", delivered, a.Attempts, a.Repeated, a.Counted)
					}
					noted := strings.Contains(a.Outcome.Fault.Error(), "cause; not repeated: output was delivered")
					if want := delivered > 0 && row.ran != verdict; noted != want {
						t.Errorf("delivered %d: %v", delivered, a.Outcome.Fault)
					}
					if e := b.s.entries[key]; e == nil || e.state != artifacts.Prepared || len(b.stored) != 0 {
						t.Errorf("delivered %d: a run was remembered against the preparation: %+v", delivered, e)
					}
				}
			}
			// Whatever a second attempt brings ends it.
			b := newBench(t, Limits{}, one(1))
			b.ask(Request{ID: 1, Kind: Execute})
			ranInto(b, 1, fault.SuspectWorkerDied, 0)
			ranInto(b, 1, code, 0)
			if len(b.runs) != 2 || b.done[1] != 1 {
				t.Fatalf("%d runs, answered %d times", len(b.runs), b.done[1])
			}
			if a := b.answer[1]; a.Repeated != (class == fault.Suspect) || a.Counted != (class == fault.Suspect) {
				t.Errorf("after another suspicion: repeated %v, counted %v", a.Repeated, a.Counted)
			}
			// Nor does trouble of the host make a suspect.
			b = newBench(t, Limits{}, one(1))
			b.ask(Request{ID: 1, Kind: Execute})
			ranInto(b, 1, fault.HostArtifactCorrupt, 0)
			ranInto(b, 1, code, 0)
			if a := b.answer[1]; a.Repeated || a.Counted {
				t.Errorf("after a damaged artifact: repeated %v, counted %v", a.Repeated, a.Counted)
			}
			// An error of the queue is nobody's verdict.
			b = newBench(t, Limits{}, one(1))
			b.ask(Request{ID: 1, Kind: Execute})
			b.step(executed{id: 1, err: fault.New(code, "", "", nil)})
			if !errors.Is(b.err[1], code) || len(b.runs) != 1 {
				t.Errorf("as an error: %v, %d runs", b.err[1], len(b.runs))
			}
		})
	}
}

func TestASecondAttemptAtEveryPriority(t *testing.T) {
	for p := run.Background; p <= run.Critical; p++ {
		b := newBench(t, Limits{}, one(1))
		b.ask(Request{ID: 1, Kind: Execute, Priority: p})
		ranInto(b, 1, fault.SuspectWorkerDied, 0)
		if len(b.runs) != 2 || b.jobs[0].Job.Priority != p || b.runs[1].Priority != p {
			t.Errorf("%s: %d runs, prepared at %v", p, len(b.runs), b.jobs)
		}
	}
}

func TestAnArtifactThatWorksForOthersStays(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	for id := range uint64(4) {
		b.ask(Request{ID: id, Kind: Execute})
	}
	b.executed(0, run.Outcome{})
	b.executed(1, run.Outcome{Fault: fault.New(fault.SuspectBadReply, "", "", nil)})
	if len(b.jobs) != 0 || len(b.runs) != 5 {
		t.Errorf("it works for others: %d preparations, %d runs", len(b.jobs), len(b.runs))
	}
	b.executed(2, run.Outcome{Fault: fault.New(fault.SuspectBadReply, "", "", nil)})
	if len(b.jobs) != 1 {
		t.Errorf("nothing of it ended well since: %d preparations", len(b.jobs))
	}
	b = newBench(t, Limits{}, one(1))
	for id := range uint64(4) {
		b.ask(Request{ID: id, Kind: Execute})
	}
	b.executed(0, run.Outcome{Fault: fault.New(fault.GuestTrap, "", "", nil)})
	b.executed(1, run.Outcome{Fault: fault.New(fault.SuspectBadReply, "", "", nil)})
	if len(b.jobs) != 0 || len(b.runs) != 5 {
		t.Errorf("a run ended by the code's own doing: %d preparations, %d runs", len(b.jobs), len(b.runs))
	}
	b = newBench(t, Limits{}, one(1))
	b.ask(Request{ID: 1, Kind: Execute})
	b.executed(1, run.Outcome{})
	b.ask(Request{ID: 2, Kind: Execute})
	b.executed(2, run.Outcome{Fault: fault.New(fault.SuspectBadReply, "", "", nil)})
	if len(b.jobs) != 1 {
		t.Errorf("it worked, and nobody uses it now: %d preparations", len(b.jobs))
	}
	b = newBench(t, Limits{}, one(1))
	b.ask(Request{ID: 1, Kind: Execute, NoCode: true})
	b.executed(1, run.Outcome{Fault: fault.New(fault.SuspectWorkerDied, "", "", nil)})
	if len(b.jobs) != 0 || len(b.runs) != 2 {
		t.Errorf("nobody has the code: %d preparations, %d runs", len(b.jobs), len(b.runs))
	}
	costly := one(1)
	costly.Meta.PrepareCPU = 2 * time.Minute
	b = newBench(t, Limits{}, costly)
	b.ask(Request{ID: 1, Kind: Execute, Budget: strict})
	b.executed(1, run.Outcome{Fault: fault.New(fault.SuspectWorkerDied, "", "", nil)})
	if len(b.jobs) != 0 || len(b.runs) != 2 {
		t.Errorf("its budget does not suffice: %d preparations, %d runs", len(b.jobs), len(b.runs))
	}
}

// TestASecondAttemptDeservesItsOwnBudget has the artifact be lost, and prepared in vain for somebody with less.
func TestASecondAttemptDeservesItsOwnBudget(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	b.ask(Request{ID: 1, Kind: Execute, Budget: loose})
	b.ask(Request{ID: 2, Kind: Execute, Budget: strict})
	b.executed(2, run.Outcome{Fault: fault.New(fault.HostArtifactCorrupt, "", "", nil)})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.GuestPrepareCPU, "", "", nil), CPU: strict.CPU})
	b.wantFault(2, fault.GuestPrepareCPU)
	b.executed(1, run.Outcome{Fault: fault.New(fault.HostArtifactCorrupt, "", "", nil)})
	if len(b.jobs) != 2 || b.done[1] != 0 {
		t.Errorf("%d preparations, answered %d times", len(b.jobs), b.done[1])
	}
}

// condemn has a run of a tenant be suspect twice.
func (b *bench) condemn(id uint64, tenant string) {
	b.t.Helper()
	b.ask(Request{ID: id, Kind: Execute, Tenant: tenant})
	ranInto(b, id, fault.SuspectWorkerDied, 0)
	ranInto(b, id, fault.SuspectWorkerDied, 0)
	b.wantFault(id, fault.SuspectWorkerDied)
}

func TestQuarantine(t *testing.T) {
	b := newBench(t, Limits{}, one(1))
	b.condemn(1, "a")
	b.condemn(2, "a")
	b.ask(Request{ID: 3, Kind: Execute, Tenant: "a"})
	b.executed(3, run.Outcome{}) // a success counts anew
	b.condemn(4, "a")
	b.condemn(5, "a")
	b.ask(Request{ID: 6, Kind: Execute, Tenant: "a"})
	ranInto(b, 6, fault.GuestTrap, 0) // a trap says nothing about it
	b.wantFault(6, fault.GuestTrap)
	b.condemn(7, "a")
	ends := b.now.Add(15 * time.Minute)
	b.now = b.now.Add(time.Minute)
	runs := len(b.runs)
	b.ask(Request{ID: 8, Kind: Execute, Tenant: "a"})
	b.wantFault(8, fault.GuestQuarantined)
	if got := b.answer[8].Outcome.Fault.Error(); !strings.HasSuffix(got, "14m0s are left") {
		t.Errorf("%q", got)
	}
	if at := b.s.list()[0].RetryAt; len(b.runs) != runs || !at.Equal(ends) {
		t.Errorf("%d runs more; until %v, want %v", len(b.runs)-runs, at, ends)
	}
	b.ask(Request{ID: 9, Kind: Precheck, Tenant: "a"})
	b.wantFault(9, "")
	b.ask(Request{ID: 10, Kind: Execute, Tenant: "b"})
	b.executed(10, run.Outcome{})
	b.wantFault(10, "")
	b.now = ends
	b.ask(Request{ID: 11, Kind: Execute, Tenant: "a"})
	b.executed(11, run.Outcome{})
	b.wantFault(11, "")
	if len(b.s.suspicion[key]) != 0 || !b.s.list()[0].RetryAt.IsZero() {
		t.Errorf("after its end: %v", b.s.suspicion)
	}
}

func TestEvictionLiftsAQuarantine(t *testing.T) {
	b := newBench(t, Limits{QuarantineAfter: 1}, one(1))
	b.condemn(1, "a")
	b.ask(Request{ID: 2, Kind: Execute, Tenant: "a"})
	b.wantFault(2, fault.GuestQuarantined)
	b.step(Evict{Key: key})
	b.ask(Request{ID: 3, Kind: Execute, Tenant: "a"})
	b.prepared(prepare.Outcome{})
	b.executed(3, run.Outcome{})
	b.wantFault(3, "")
}

// TestEvictionLiftsAQuarantineWithoutAnArtifact has the artifact pruned meanwhile.
func TestEvictionLiftsAQuarantineWithoutAnArtifact(t *testing.T) {
	b := newBench(t, Limits{QuarantineAfter: 1, Quarantine: time.Hour, Policy: artifacts.PrunePolicy{Age: time.Minute}}, one(1))
	b.condemn(1, "a")
	b.now = b.now.Add(time.Minute)
	b.step(Prune{})
	if len(b.s.entries) != 0 {
		t.Fatal("it was not pruned")
	}
	b.ask(Request{ID: 2, Kind: Execute, Tenant: "a"})
	b.wantFault(2, fault.GuestQuarantined)
	var err error
	b.step(Evict{Key: key, Reply: kernel.ReplyFunc(func(_ struct{}, e error) { err = e })})
	b.ask(Request{ID: 3, Kind: Execute, Tenant: "a"})
	b.prepared(prepare.Outcome{})
	b.executed(3, run.Outcome{})
	b.wantFault(3, "")
	if err != nil {
		t.Error(err)
	}
}

// TestQuarantineReachesWhoWaits has a quarantine begin while another run of the same code waits for the artifact.
func TestQuarantineReachesWhoWaits(t *testing.T) {
	b := newBench(t, Limits{QuarantineAfter: 1}, one(1))
	b.ask(Request{ID: 1, Kind: Execute, Tenant: "a"})
	ranInto(b, 1, fault.SuspectWorkerDied, 0)
	b.ask(Request{ID: 2, Kind: Execute, Tenant: "a"})
	b.executed(2, run.Outcome{Fault: fault.New(fault.HostArtifactCorrupt, "", "", nil)}) // its second attempt waits
	b.ask(Request{ID: 3, Kind: Execute, Tenant: "a"})
	b.executed(1, run.Outcome{Fault: fault.New(fault.SuspectWorkerDied, "", "", nil)})
	b.wantFault(1, fault.SuspectWorkerDied)
	b.prepared(prepare.Outcome{})
	b.wantFault(3, fault.GuestQuarantined)
	b.executed(2, run.Outcome{})
	b.wantFault(2, "") // what was begun is ended
}

func TestForgivenAndUnboundedRunsGoOn(t *testing.T) {
	for _, l := range []Limits{{Forgive: true}, {QuarantineAfter: -1}} {
		b := newBench(t, l, one(1))
		for id := range uint64(10) {
			b.condemn(id, "a")
		}
		if len(b.runs) != 20 || b.answer[9].Counted == l.Forgive {
			t.Errorf("%+v: %d runs, counted %v", l, len(b.runs), b.answer[9].Counted)
		}
	}
}

func TestSuspicionIsBounded(t *testing.T) {
	b := newBench(t, Limits{})
	for n := range maxSuspicion + 10 {
		b.now = b.now.Add(time.Second)
		b.s.suspect(b.now, &ask{Request: Request{Key: artifacts.Key{byte(n), byte(n >> 8)}, Tenant: "a"}})
	}
	n := 0
	for _, tenants := range b.s.suspicion {
		n += len(tenants)
	}
	if _, oldest := b.s.suspicion[artifacts.Key{}]["a"]; n != maxSuspicion || oldest {
		t.Errorf("%d records, the oldest among them: %v", n, oldest)
	}
}

// TestSuspectFailuresSurviveARestart has the count and the cool-down of a failure go on where they were.
func TestSuspectFailuresSurviveARestart(t *testing.T) {
	b := newBench(t, Limits{Retries: 1})
	b.ask(Request{ID: 1, Kind: Execute})
	b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "prepare", "", errors.New("signal"))})
	if len(b.stored) != 1 {
		t.Fatalf("%d failures are stored", len(b.stored))
	}
	next := newBench(t, Limits{Retries: 1}, Entry{Key: key, Failure: &b.stored[0]})
	next.now = b.now.Add(15*time.Minute - 1)
	next.ask(Request{ID: 2, Kind: Execute})
	next.wantFault(2, fault.SuspectPrepareDied)
	if a := next.s.list()[0]; !a.RetryAt.Equal(b.now.Add(15*time.Minute)) || a.Failures != 1 || !strings.Contains(a.Message, "signal") {
		t.Errorf("%+v", a)
	}
	next.now = next.now.Add(1)
	next.ask(Request{ID: 3, Kind: Execute})
	next.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "prepare", "", nil)})
	next.wantFault(3, fault.SuspectPrepareDied)
	if f := next.stored[0]; f.Count != 2 || !next.s.list()[0].RetryAt.IsZero() {
		t.Errorf("%+v", f)
	}
	ahead := b.stored[0]
	ahead.At = b.now.Add(1000 * time.Hour)
	next = newBench(t, Limits{}, Entry{Key: key, Failure: &ahead})
	next.now = next.now.Add(15 * time.Minute)
	next.ask(Request{ID: 4, Kind: Execute, Code: artifacts.CodeHash{1}, Tenant: "a"})
	if len(next.jobs) != 1 {
		t.Error("a clock that was set back makes the cool-down last")
	}
}

// TestOtherFailuresDoNotUseUpRetries lets strict prechecks of somebody else fail first, for limits that an execution does
// not have.
func TestOtherFailuresDoNotUseUpRetries(t *testing.T) {
	for name, f := range map[string]fault.Code{"the code's": fault.GuestPrepareCPU, "a wall limit": fault.SuspectPrepareWall} {
		b := newBench(t, Limits{})
		for n := range 7 {
			own := time.Duration(1+n) * time.Second
			b.ask(Request{ID: uint64(n), Kind: Precheck, Tenant: "other", Budget: budget(own, own, 1)})
			used := prepare.Outcome{Fault: fault.New(f, "", "", nil), CPU: own, Wall: own}
			if f == fault.SuspectPrepareWall {
				used.CPU = 1
			}
			b.prepared(used)
			b.wantFault(uint64(n), f)
		}
		attempts := -len(b.jobs)
		for n := range 10 {
			b.ask(Request{ID: 10 + uint64(n), Kind: Execute, Budget: loose})
			if len(b.stored) < len(b.jobs) {
				b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "", "", nil), CPU: 20 * time.Second})
			}
			b.wantFault(10+uint64(n), fault.SuspectPrepareDied)
			b.now = b.now.Add(15 * time.Minute)
		}
		if attempts += len(b.jobs); attempts != 6 {
			t.Errorf("%s: %d attempts, want one and 5 retries", name, attempts)
		}
	}
}

func TestRetriesWithoutEnd(t *testing.T) {
	b := newBench(t, Limits{Retries: -1})
	for id := range uint64(20) {
		b.ask(Request{ID: id, Kind: HeadsUp})
		b.prepared(prepare.Outcome{Fault: fault.New(fault.SuspectPrepareDied, "", "", nil)})
		b.now = b.now.Add(15 * time.Minute)
	}
	if len(b.jobs) != 20 {
		t.Errorf("%d preparations", len(b.jobs))
	}
}
