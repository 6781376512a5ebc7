package cache

import "reflect"

// Recorded lists the core with what it receives and what it does, for recordings of it.
func Recorded() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[*State](),
		reflect.TypeFor[Ask](), reflect.TypeFor[Depart](), reflect.TypeFor[Raise](), reflect.TypeFor[Revoke](),
		reflect.TypeFor[Used](), reflect.TypeFor[List](), reflect.TypeFor[Show](), reflect.TypeFor[Verify](),
		reflect.TypeFor[Pin](), reflect.TypeFor[Evict](), reflect.TypeFor[Prune](), reflect.TypeFor[Persist](),
		reflect.TypeFor[indexed](), reflect.TypeFor[described](), reflect.TypeFor[deleted](), reflect.TypeFor[prepared](),
		reflect.TypeFor[passed](), reflect.TypeFor[stored](), reflect.TypeFor[executed](), reflect.TypeFor[verified](),
		reflect.TypeFor[pinned](), reflect.TypeFor[look](), reflect.TypeFor[looked](), reflect.TypeFor[done](),
		reflect.TypeFor[alone](),
		reflect.TypeFor[StartPrepare](), reflect.TypeFor[RaisePrepare](), reflect.TypeFor[CancelPrepare](),
		reflect.TypeFor[StorePut](), reflect.TypeFor[StoreAgain](), reflect.TypeFor[Describe](), reflect.TypeFor[Requeue](),
		reflect.TypeFor[Accept](), reflect.TypeFor[Discard](), reflect.TypeFor[StoreFailure](), reflect.TypeFor[Delete](),
		reflect.TypeFor[Touch](), reflect.TypeFor[StartExecute](), reflect.TypeFor[RaiseExecute](),
		reflect.TypeFor[CancelExecute](), reflect.TypeFor[HasRevoked](), reflect.TypeFor[Release](),
		reflect.TypeFor[StartVerify](), reflect.TypeFor[StartPin](), reflect.TypeFor[Retried](), reflect.TypeFor[Quarantined](),
		reflect.TypeFor[Reply](), reflect.TypeFor[Listed](), reflect.TypeFor[Shown](), reflect.TypeFor[Done](),
		reflect.TypeFor[HasPruned](),
		reflect.TypeFor[Left](), reflect.TypeFor[Stand](), reflect.TypeFor[Lift](), reflect.TypeFor[Pause](), reflect.TypeFor[Underway](), reflect.TypeFor[trailed](),
	}
}
