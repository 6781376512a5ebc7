package report

import "reflect"

// Recorded lists the core with what it receives and what it does, for recordings of it.
func Recorded() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[*State](),
		reflect.TypeFor[ReportNow](), reflect.TypeFor[Nudge](), reflect.TypeFor[Used](), reflect.TypeFor[Status](),
		reflect.TypeFor[List](), reflect.TypeFor[block](), reflect.TypeFor[lost](), reflect.TypeFor[looked](),
		reflect.TypeFor[recalled](), reflect.TypeFor[acted](), reflect.TypeFor[made](), reflect.TypeFor[posted](),
		reflect.TypeFor[outcome](), reflect.TypeFor[tick](),
		reflect.TypeFor[Watch](), reflect.TypeFor[Look](), reflect.TypeFor[Recall](), reflect.TypeFor[Act](),
		reflect.TypeFor[Make](), reflect.TypeFor[Post](), reflect.TypeFor[Await](), reflect.TypeFor[Tell](),
		reflect.TypeFor[Alarm](), reflect.TypeFor[Warn](), reflect.TypeFor[Wake](), reflect.TypeFor[Reply](),
		reflect.TypeFor[Stands](), reflect.TypeFor[Listed](),
	}
}
