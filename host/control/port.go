package control

import (
	"context"
	"io"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// Seen is what the server shows of a host, and what operators do to its parts. Generations are incarnations of actors and
// generations of artifacts; 0 matches all, any other must be that of the target: else caller.stale.
type Seen interface {
	Boot() string
	// Actors appends all actors to dst. What dst[:cap(dst)] refers to is overwritten.
	Actors(ctx context.Context, dst []inspect.Actor) ([]inspect.Actor, error)
	Actor(ctx context.Context, path string) (inspect.ActorDetail, error)
	Mailbox(ctx context.Context, path string) ([]inspect.Letter, error)
	// Trace calls f for each message that the filter matches, from one goroutine, until f fails, ctx ends or the budget of
	// the filter is used up. What f is too slow for is dropped and counted.
	Trace(ctx context.Context, filter inspect.TraceFilter, f func(inspect.Trace) error) error
	Cause(ctx context.Context, id string) ([]inspect.Trace, error)
	PauseActor(ctx context.Context, path string, generation uint64) error
	ResumeActor(ctx context.Context, path string, generation uint64) error
	RestartActor(ctx context.Context, path string, generation uint64) error
	KillActor(ctx context.Context, path string, generation uint64) error
	ActorLogLevel(ctx context.Context, path, level string, lasts time.Duration) error

	Guests(context.Context) ([]inspect.Guest, error)
	Workers(context.Context) ([]inspect.Worker, error)
	RecycleWorker(ctx context.Context, id string) error
	KillWorker(ctx context.Context, id string) error
	PauseQueue(ctx context.Context, name string) error
	ResumeQueue(ctx context.Context, name string) error
	PurgeQueue(ctx context.Context, name string) (int, error)
	DeadLetters(context.Context) ([]inspect.Letter, error)
	ReplayLetter(ctx context.Context, id string) error
	DropLetter(ctx context.Context, id string) error
	RetryArtifact(ctx context.Context, key string, generation uint64) error
	RaiseArtifact(ctx context.Context, key string, p run.Priority, by string) error
	Timeline(ctx context.Context, job string) (inspect.Timeline, error)
	Explain(ctx context.Context, id string) (inspect.Explanation, error)
	// LogLines returns up to most lines after a sequence, and how many of them were overtaken; it waits up to wait for the first.
	LogLines(ctx context.Context, after uint64, most int, wait time.Duration) (lines []inspect.LogLine, dropped uint64, err error)
	AppHistory(ctx context.Context, address string) ([]host.AppSample, time.Duration, error)
	PauseChain(context.Context) error
	ResumeChain(context.Context) error
	// Watched has the host sample rates until the function that it returns is called.
	Watched() (done func())
	// Backup writes a backup of state, keys and chain while the host goes on, and verifies what it wrote.
	Backup(ctx context.Context, w io.Writer) (host.BackupReport, error)
	// Recording writes what the cores were given, for a bundle; nothing if the host does not record.
	Recording(ctx context.Context, w io.Writer) error
}
