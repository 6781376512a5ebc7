package execute

import "reflect"

// Recorded lists the core with what it receives and what it does, for recordings of it.
func Recorded() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[*State](),
		reflect.TypeFor[Enqueue](), reflect.TypeFor[Cancel](), reflect.TypeFor[Raise](), reflect.TypeFor[Release](),
		reflect.TypeFor[Inspect](), reflect.TypeFor[ready](), reflect.TypeFor[unstarted](), reflect.TypeFor[finished](),
		reflect.TypeFor[returned](), reflect.TypeFor[exited](), reflect.TypeFor[tick](), reflect.TypeFor[runJob](),
		reflect.TypeFor[started](), reflect.TypeFor[ran](), reflect.TypeFor[died](),
		reflect.TypeFor[StartWorker](), reflect.TypeFor[RunOn](), reflect.TypeFor[StopWorker](), reflect.TypeFor[Answer](),
		reflect.TypeFor[Began](), reflect.TypeFor[Gone](), reflect.TypeFor[Grant](), reflect.TypeFor[Revoke](),
		reflect.TypeFor[Room](), reflect.TypeFor[Requeue](), reflect.TypeFor[Show](), reflect.TypeFor[TickAt](),
		reflect.TypeFor[Recycle](), reflect.TypeFor[Pause](), reflect.TypeFor[Purge](), reflect.TypeFor[Done](), reflect.TypeFor[Purged](),
	}
}
