package jobs

import "reflect"

// Recorded lists the core with what it receives and what it does, for recordings of it.
func Recorded() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[*State](),
		reflect.TypeFor[Submit](), reflect.TypeFor[Get](), reflect.TypeFor[List](), reflect.TypeFor[Count](),
		reflect.TypeFor[Watch](), reflect.TypeFor[Unwatch](), reflect.TypeFor[Cancel](), reflect.TypeFor[Raise](),
		reflect.TypeFor[Revoke](), reflect.TypeFor[Drain](), reflect.TypeFor[loaded](), reflect.TypeFor[wrote](),
		reflect.TypeFor[erased](), reflect.TypeFor[opened](), reflect.TypeFor[ended](), reflect.TypeFor[tick](),
		reflect.TypeFor[done](),
		reflect.TypeFor[Load](), reflect.TypeFor[Write](), reflect.TypeFor[Erase](), reflect.TypeFor[SaveClock](),
		reflect.TypeFor[Open](), reflect.TypeFor[Start](), reflect.TypeFor[Close](), reflect.TypeFor[Depart](),
		reflect.TypeFor[RaiseRun](), reflect.TypeFor[Wake](), reflect.TypeFor[Stuck](), reflect.TypeFor[Refuse](),
		reflect.TypeFor[Requeue](), reflect.TypeFor[Reply](), reflect.TypeFor[Listed](), reflect.TypeFor[Counted](),
		reflect.TypeFor[Revoked](), reflect.TypeFor[Drained](),
		reflect.TypeFor[Pause](), reflect.TypeFor[Purge](), reflect.TypeFor[Inspect](), reflect.TypeFor[Underway](), reflect.TypeFor[Trace](), reflect.TypeFor[trailed](), reflect.TypeFor[Done](), reflect.TypeFor[Shown](), reflect.TypeFor[Flown](), reflect.TypeFor[HasTraced](),
	}
}
