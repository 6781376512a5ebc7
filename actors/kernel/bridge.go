package kernel

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

// bridge passes the library's own log records on. It never prints a payload: of a value that is not a plain one it prints
// the Go type, and the library's attribute "message", which would double zerolog's own field, becomes "message_type".
type bridge struct {
	log   zerolog.Logger
	attrs []slog.Attr
}

func (b bridge) Enabled(_ context.Context, l slog.Level) bool {
	return b.log.GetLevel() <= level(l)
}

func (b bridge) Handle(_ context.Context, r slog.Record) error {
	ev := b.log.WithLevel(level(r.Level))
	for _, a := range b.attrs {
		field(ev, a)
	}
	r.Attrs(func(a slog.Attr) bool { field(ev, a); return true })
	ev.Msg(r.Message)
	return nil
}

func (b bridge) WithAttrs(attrs []slog.Attr) slog.Handler {
	b.attrs = append(b.attrs[:len(b.attrs):len(b.attrs)], attrs...)
	return b
}

// WithGroup is flat: groups would bury the fields that operators search for.
func (b bridge) WithGroup(string) slog.Handler { return b }

// level puts the library's information one level lower ("actor system started", "recovering"): ours says it better.
func level(l slog.Level) zerolog.Level {
	switch {
	case l >= slog.LevelError:
		return zerolog.ErrorLevel
	case l >= slog.LevelWarn:
		return zerolog.WarnLevel
	case l >= slog.LevelInfo:
		return zerolog.DebugLevel
	}
	return zerolog.TraceLevel
}

func field(ev *zerolog.Event, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Key == zerolog.MessageFieldName {
		ev.Str("message_type", fmt.Sprintf("%T", v.Any()))
		return
	}
	switch v.Kind() {
	case slog.KindString:
		ev.Str(a.Key, fault.Quote(v.String()))
		return
	case slog.KindAny:
	default:
		ev.Interface(a.Key, v.Any()) // numbers, booleans, times, durations
		return
	}
	switch x := v.Any().(type) {
	case *actor.PID:
		if x == nil {
			return
		}
		ev.Str(a.Key, x.Id)
	case error:
		ev.Str(a.Key, fault.Quote(x.Error()))
	default:
		ev.Str(a.Key, fmt.Sprintf("%T", x))
	}
}
