package bundle

import (
	"context"
	"io"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// What would change a host, start something on it or read what only it has. A bundle answers each with caller.denied.

func no[T any]() (v T, err error) { return v, denied() }

func no2[T, U any]() (v T, u U, err error) { return v, u, denied() }

func denied() error {
	return fault.New(fault.CallerDenied, "bundle", "", nil).WithHint("a bundle cannot be changed: connect to the host itself")
}

func (*Offline) PauseActor(context.Context, string, uint64) error                   { return denied() }
func (*Offline) ResumeActor(context.Context, string, uint64) error                  { return denied() }
func (*Offline) RestartActor(context.Context, string, uint64) error                 { return denied() }
func (*Offline) KillActor(context.Context, string, uint64) error                    { return denied() }
func (*Offline) ActorLogLevel(context.Context, string, string, time.Duration) error { return denied() }
func (*Offline) RecycleWorker(context.Context, string) error                        { return denied() }
func (*Offline) KillWorker(context.Context, string) error                           { return denied() }
func (*Offline) PauseQueue(context.Context, string) error                           { return denied() }
func (*Offline) ResumeQueue(context.Context, string) error                          { return denied() }
func (*Offline) PurgeQueue(context.Context, string) (int, error)                    { return no[int]() }
func (*Offline) ReplayLetter(context.Context, string) error                         { return denied() }
func (*Offline) DropLetter(context.Context, string) error                           { return denied() }
func (*Offline) RetryArtifact(context.Context, string, uint64) error                { return denied() }
func (*Offline) RaiseArtifact(context.Context, string, run.Priority, string) error  { return denied() }
func (*Offline) PauseChain(context.Context) error                                   { return denied() }
func (*Offline) ResumeChain(context.Context) error                                  { return denied() }
func (*Offline) Backup(context.Context, io.Writer) (host.BackupReport, error) {
	return no[host.BackupReport]()
}
func (*Offline) Execute(context.Context, host.Request) (run.Receipt, error) { return no[run.Receipt]() }
func (*Offline) Precheck(context.Context, host.CodeRequest) (host.Judgement, error) {
	return no[host.Judgement]()
}
func (*Offline) HeadsUp(context.Context, host.CodeRequest) error            { return denied() }
func (*Offline) Verify(context.Context, string) error                       { return denied() }
func (*Offline) Pin(context.Context, string, string) error                  { return denied() }
func (*Offline) Unpin(context.Context, string, string) error                { return denied() }
func (*Offline) Evict(context.Context, string) error                        { return denied() }
func (*Offline) Prune(context.Context) (host.PruneReport, error)            { return no[host.PruneReport]() }
func (*Offline) Submit(context.Context, host.JobRequest) (run.Job, error)   { return no[run.Job]() }
func (*Offline) CancelJob(context.Context, string, string) (run.Job, error) { return no[run.Job]() }
func (*Offline) RaiseJob(context.Context, string, run.Priority, string) (run.Job, error) {
	return no[run.Job]()
}
func (*Offline) RetryJob(context.Context, string, string) (run.Job, error) { return no[run.Job]() }
func (*Offline) Revoke(context.Context, string, string) (int, error)       { return no[int]() }
func (*Offline) Warm(context.Context, host.CodeRequest) (inspect.Warm, error) {
	return no[inspect.Warm]()
}
func (*Offline) Unwarm(context.Context, string, string) error { return denied() }
func (*Offline) Deploy(context.Context, host.DeployRequest) (inspect.App, error) {
	return no[inspect.App]()
}
func (*Offline) Announce(context.Context, host.DeployRequest) error    { return denied() }
func (*Offline) StartApp(context.Context, string) (inspect.App, error) { return no[inspect.App]() }
func (*Offline) StopApp(context.Context, string) (inspect.App, error)  { return no[inspect.App]() }
func (*Offline) ResizeApp(context.Context, string, uint32) (inspect.App, error) {
	return no[inspect.App]()
}
func (*Offline) RaiseApp(context.Context, string, run.Priority) (inspect.App, error) {
	return no[inspect.App]()
}
func (*Offline) RemoveApp(context.Context, string) (inspect.AppMetrics, error) {
	return no[inspect.AppMetrics]()
}
func (*Offline) RemoveAllApps(context.Context) (int, error) { return no[int]() }
func (*Offline) Query(context.Context, host.AppQuery) (host.AppReply, error) {
	return no[host.AppReply]()
}
func (*Offline) SealedQuery(context.Context, [32]byte, []byte) ([]byte, error) { return no[[]byte]() }
func (*Offline) PutBlob(context.Context, string, io.Reader) (inspect.Blob, error) {
	return no[inspect.Blob]()
}
func (*Offline) GetBlob(context.Context, string) (io.ReadCloser, int64, error) {
	return no2[io.ReadCloser, int64]()
}
func (*Offline) RemoveBlob(context.Context, string) error { return denied() }
func (*Offline) OpenSession(context.Context, host.SessionRequest) (host.Signed, error) {
	return no[host.Signed]()
}
func (*Offline) SetBench(context.Context, string, uint32) (inspect.Session, error) {
	return no[inspect.Session]()
}
func (*Offline) ReportMetrics(context.Context, ...string) ([]host.SignedReport, error) {
	return no[[]host.SignedReport]()
}
func (*Offline) SignEndpoints(context.Context, []string) (host.Signed, error) {
	return no[host.Signed]()
}
func (*Offline) SignDescription(context.Context, string, meter.Prices) (host.Signed, error) {
	return no[host.Signed]()
}
func (*Offline) SignRegistration(context.Context, [32]byte, *[32]byte, uint32) (host.Signed, error) {
	return no[host.Signed]()
}
func (*Offline) BackupKey(context.Context, []byte) ([]byte, error)  { return no[[]byte]() }
func (*Offline) RestoreKey(context.Context, []byte, []byte) error   { return denied() }
func (*Offline) RotateKey(context.Context) (inspect.Session, error) { return no[inspect.Session]() }
func (*Offline) LockKey(context.Context, []byte) error              { return denied() }
func (*Offline) ReportToChain(context.Context, ...string) (int, uint64, error) {
	return no2[int, uint64]()
}
func (*Offline) SendToChain(context.Context, string, chain.Call) (chain.Outcome, error) {
	return no[chain.Outcome]()
}
func (*Offline) AdoptChain(context.Context, [32]byte) error { return denied() }
