package follow

import "reflect"

// Recorded lists the core with what it receives and what it does, for recordings of it.
func Recorded() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[*State](),
		reflect.TypeFor[Claims](), reflect.TypeFor[Unpaid](), reflect.TypeFor[Changed](), reflect.TypeFor[Adopt](),
		reflect.TypeFor[List](), reflect.TypeFor[Status](), reflect.TypeFor[loaded](), reflect.TypeFor[met](),
		reflect.TypeFor[seen](), reflect.TypeFor[lost](), reflect.TypeFor[answered](), reflect.TypeFor[acted](),
		reflect.TypeFor[stored](), reflect.TypeFor[tick](),
		reflect.TypeFor[Load](), reflect.TypeFor[Meet](), reflect.TypeFor[Follow](), reflect.TypeFor[Unfollow](),
		reflect.TypeFor[Ask](), reflect.TypeFor[SaveCursor](), reflect.TypeFor[Act](), reflect.TypeFor[Wake](),
		reflect.TypeFor[Claimed](), reflect.TypeFor[Listed](), reflect.TypeFor[Stated](), reflect.TypeFor[Taken](),
		// What reads and actions come back with.
		reflect.TypeFor[ticketPage](), reflect.TypeFor[*ticketView](), reflect.TypeFor[workerView](), reflect.TypeFor[benchView](),
		reflect.TypeFor[requestsView](), reflect.TypeFor[*requestView](), reflect.TypeFor[poolsView](), reflect.TypeFor[App](),
		reflect.TypeFor[[]App](), reflect.TypeFor[Image](), reflect.TypeFor[Progress](), reflect.TypeFor[VNC](),
		reflect.TypeFor[ListApps](), reflect.TypeFor[FetchManifest](), reflect.TypeFor[FetchBlob](), reflect.TypeFor[Announce](),
		reflect.TypeFor[Deploy](), reflect.TypeFor[Stop](), reflect.TypeFor[Settle](), reflect.TypeFor[Remove](),
		reflect.TypeFor[SetBench](), reflect.TypeFor[FetchImage](), reflect.TypeFor[FetchConfig](), reflect.TypeFor[Place](),
		reflect.TypeFor[FindJob](), reflect.TypeFor[JobStatus](), reflect.TypeFor[JobVNC](), reflect.TypeFor[JobDo](),
		reflect.TypeFor[ForgetPlaced](), reflect.TypeFor[SavePlaced](), reflect.TypeFor[Submit](),
	}
}
