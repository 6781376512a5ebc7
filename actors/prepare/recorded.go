package prepare

import "reflect"

// Recorded lists the core with what it receives and what it does, for recordings of it.
func Recorded() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[*State](),
		reflect.TypeFor[Enqueue](), reflect.TypeFor[Raise](), reflect.TypeFor[Cancel](), reflect.TypeFor[CancelAll](),
		reflect.TypeFor[Inspect](), reflect.TypeFor[ended](), reflect.TypeFor[exited](), reflect.TypeFor[passed](),
		reflect.TypeFor[steered](), reflect.TypeFor[wake](),
		reflect.TypeFor[StartWorker](), reflect.TypeFor[StopWorker](), reflect.TypeFor[Steer](), reflect.TypeFor[Tell](),
		reflect.TypeFor[Discard](), reflect.TypeFor[Answer](), reflect.TypeFor[Raised](), reflect.TypeFor[Requeue](),
		reflect.TypeFor[AllCanceled](), reflect.TypeFor[Show](), reflect.TypeFor[WakeAfter](),
		reflect.TypeFor[Pause](), reflect.TypeFor[Purge](), reflect.TypeFor[Done](), reflect.TypeFor[Purged](),
	}
}
