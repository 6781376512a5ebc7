package record

import (
	"maps"
	"reflect"
	"slices"
)

// Types are the types that a recording may name: cores, and what interfaces within states, inputs and effects may hold.
type Types struct {
	names  []string // sorted, or in the order of a recording
	byName map[string]reflect.Type
	number map[reflect.Type]int
	cores  map[reflect.Type]bool // pointers to states
}

// NewTypes collects types, as the actor packages list them in Recorded. A pointer to a struct with a method Step is a core.
func NewTypes(lists ...[]reflect.Type) *Types {
	t := &Types{byName: map[string]reflect.Type{}, number: map[reflect.Type]int{}, cores: map[reflect.Type]bool{}}
	plain := []reflect.Type{reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[uint64](), reflect.TypeFor[int64](),
		reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[struct{}]()}
	for _, list := range append(lists, plain) {
		for _, x := range list {
			t.byName[nameOf(x)] = x
			if _, steps := x.MethodByName("Step"); steps && x.Kind() == reflect.Pointer {
				t.cores[x] = true
			}
		}
	}
	t.order(slices.Sorted(maps.Keys(t.byName)))
	return t
}

// order has the types numbered as the names are. Names that are not known here keep their number.
func (t *Types) order(names []string) {
	t.names = names
	clear(t.number)
	for i, n := range names {
		if x, ok := t.byName[n]; ok {
			t.number[x] = i
		}
	}
}

// ordered is t with the numbers of a recording.
func (t *Types) ordered(names []string) *Types {
	o := &Types{byName: t.byName, number: map[reflect.Type]int{}, cores: t.cores}
	o.order(names)
	return o
}

func (t *Types) at(i uint64) (reflect.Type, bool) {
	if i >= uint64(len(t.names)) {
		return nil, false
	}
	x, ok := t.byName[t.names[i]]
	return x, ok
}

// core returns x if it is a core.
func (t *Types) core(x any) (reflect.Value, bool) {
	v := reflect.ValueOf(x)
	return v, v.IsValid() && t.cores[v.Type()]
}

func nameOf(t reflect.Type) string {
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		return "*" + nameOf(t.Elem())
	}
	if t.Name() != "" && t.PkgPath() != "" {
		return t.PkgPath() + "." + t.Name()
	}
	return t.String()
}

func (t *Types) name(i uint64) string {
	if i >= uint64(len(t.names)) {
		return "none"
	}
	return t.names[i]
}
