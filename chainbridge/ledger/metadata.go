package ledger

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// CallInfo describes a call for people and for tools.
type CallInfo struct {
	Pallet      string `json:"pallet"`
	PalletIndex uint8  `json:"pallet_index"`
	Name        string `json:"name"`
	Index       uint8  `json:"index"`
	Args        []Arg  `json:"args"`
}

// Arg is an argument of a call. Its type is written as Substrate writes types.
type Arg struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// PalletInfo describes a pallet.
type PalletInfo struct {
	Name   string     `json:"name"`
	Index  uint8      `json:"index"`
	Calls  []CallInfo `json:"calls"`
	Events []string   `json:"events"`
	Errors []string   `json:"errors"`
	Views  []string   `json:"views"`
}

// Calls returns all calls of the standard pallets: see Runtime.Calls.
func Calls() []CallInfo { return standard().Calls() }

// Metadata describes the standard pallets: see Runtime.Metadata.
func Metadata() []PalletInfo { return standard().Metadata() }

// Calls returns all calls in the order of their pallets.
func (r *Runtime) Calls() []CallInfo {
	var all []CallInfo
	for _, p := range r.Metadata() {
		all = append(all, p.Calls...)
	}
	return all
}

// Metadata describes all pallets.
func (r *Runtime) Metadata() []PalletInfo {
	var all []PalletInfo
	for _, p := range r.pallets {
		info := PalletInfo{Name: p.Name, Index: p.Index, Calls: []CallInfo{}, Events: append([]string{}, p.Events...),
			Errors: append([]string{}, p.Errors...), Views: []string{}}
		for _, c := range p.Calls {
			call := CallInfo{Pallet: p.Name, PalletIndex: p.Index, Name: c.Name, Index: c.Index, Args: []Arg{}}
			t := reflect.TypeOf(c.New()).Elem()
			for i := range t.NumField() {
				if f := t.Field(i); f.Tag.Get("scale") != "-" {
					call.Args = append(call.Args, Arg{fieldName(f), typeName(f.Type, f.Tag.Get("scale"))})
				}
			}
			info.Calls = append(info.Calls, call)
		}
		for _, v := range p.Views {
			info.Views = append(info.Views, v.Name)
		}
		all = append(all, info)
	}
	return all
}

var typeNames = map[reflect.Type]string{
	reflect.TypeFor[pallet.Account](): "AccountId",
	reflect.TypeFor[pallet.Hash]():    "H256",
	reflect.TypeFor[pallet.Balance](): "u128",
	reflect.TypeFor[pallet.Bytes]():   "Bytes",
}

// typeName says how a value is encoded. Types that encode themselves are known by their names.
func typeName(t reflect.Type, tag string) string {
	if name := typeNames[t]; name != "" {
		return name
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[scale.Value]()) {
		return t.Name()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n := fmt.Sprintf("u%d", t.Bits())
		if strings.Contains(tag, "compact") {
			return "Compact<" + n + ">"
		}
		return n
	case reflect.Int64:
		return "i64"
	case reflect.String:
		return "Text"
	case reflect.Pointer:
		return "Option<" + typeName(t.Elem(), tag) + ">"
	case reflect.Array:
		return fmt.Sprintf("[%s; %d]", typeName(t.Elem(), ""), t.Len())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "Bytes"
		}
		return "Vec<" + typeName(t.Elem(), "") + ">"
	}
	return t.Name()
}
