package chain

import "reflect"

// Recorded lists the core with what it receives and what it does, for recordings of it.
func Recorded() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[*State](),
		reflect.TypeFor[Send](), reflect.TypeFor[Wait](), reflect.TypeFor[Unwait](), reflect.TypeFor[Show](),
		reflect.TypeFor[List](), reflect.TypeFor[Status](), reflect.TypeFor[Adopt](), reflect.TypeFor[loaded](),
		reflect.TypeFor[added](), reflect.TypeFor[wrote](), reflect.TypeFor[marked](), reflect.TypeFor[found](),
		reflect.TypeFor[signed](), reflect.TypeFor[submitted](), reflect.TypeFor[dialed](), reflect.TypeFor[nonce](),
		reflect.TypeFor[read](), reflect.TypeFor[lost](), reflect.TypeFor[trimmed](), reflect.TypeFor[tick](),
		reflect.TypeFor[done](),
		reflect.TypeFor[Load](), reflect.TypeFor[Add](), reflect.TypeFor[Write](), reflect.TypeFor[SaveMark](),
		reflect.TypeFor[Find](), reflect.TypeFor[Turn](), reflect.TypeFor[Trim](), reflect.TypeFor[Sign](),
		reflect.TypeFor[Submit](), reflect.TypeFor[Dial](), reflect.TypeFor[AskNonce](), reflect.TypeFor[Follow](),
		reflect.TypeFor[Hangup](), reflect.TypeFor[Wake](), reflect.TypeFor[Stuck](), reflect.TypeFor[Refuse](),
		reflect.TypeFor[Requeue](), reflect.TypeFor[Shown](), reflect.TypeFor[Ended](), reflect.TypeFor[Listed](),
		reflect.TypeFor[Stated](), reflect.TypeFor[Adopted](),
		reflect.TypeFor[Paused](), reflect.TypeFor[Pause](),
	}
}
