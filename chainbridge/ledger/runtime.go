package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Runtime is a set of pallets: what calls and views there are. Nothing changes it, so everybody may share it.
type Runtime struct {
	pallets []pallet.Pallet
	byIndex [256]*part
	byName  map[string]*part
}

type part struct {
	pallet.Pallet
	byIndex [256]*pallet.Info
	byName  map[string]*pallet.Info
	views   map[string]*pallet.View
}

// NewRuntime returns the set of pallets, which begin and end blocks in their order. Two of one name or index are a mistake in the
// program: it panics.
func NewRuntime(pallets ...pallet.Pallet) *Runtime {
	r := &Runtime{pallets: pallets, byName: map[string]*part{}}
	for _, p := range pallets {
		if r.byIndex[p.Index] != nil || r.byName[p.Name] != nil {
			panic(fmt.Sprintf("ledger: pallet %s has the index or name of another", p.Name))
		}
		in := &part{Pallet: p, byName: map[string]*pallet.Info{}, views: map[string]*pallet.View{}}
		r.byIndex[p.Index], r.byName[p.Name] = in, in
		for i := range p.Calls {
			c := &p.Calls[i]
			if in.byIndex[c.Index] != nil || in.byName[c.Name] != nil {
				panic(fmt.Sprintf("ledger: call %s.%s has the index or name of another", p.Name, c.Name))
			}
			in.byIndex[c.Index], in.byName[c.Name] = c, c
		}
		for i := range p.Views {
			in.views[p.Views[i].Name] = &p.Views[i]
		}
	}
	return r
}

// EncodeCall encodes a call of the standard pallets: see Runtime.EncodeCall.
func EncodeCall(pallet, call string, args json.RawMessage) ([]byte, error) {
	return standard().EncodeCall(pallet, call, args)
}

// DecodeCall decodes a call of the standard pallets: see Runtime.DecodeCall.
func DecodeCall(b []byte) (pallet, call string, args json.RawMessage, err error) {
	return standard().DecodeCall(b)
}

// EncodeCall encodes a call by the names of its pallet and of itself, with the arguments by name. Each argument must be there, but
// for options, and no other.
//
// # Errors
//
// caller.tx_call.
func (r *Runtime) EncodeCall(palletName, callName string, args json.RawMessage) ([]byte, error) {
	name := palletName + "." + callName
	p := r.byName[palletName]
	if p == nil {
		return nil, noCall(name, fmt.Errorf("there is no pallet %s", fault.Quote(palletName)))
	}
	info := p.byName[callName]
	if info == nil {
		return nil, noCall(name, fmt.Errorf("the pallet has no call %s", fault.Quote(callName)))
	}
	call := info.New()
	if err := readArgs(args, call); err != nil {
		return nil, noCall(name, err)
	}
	b := encodeCall(p.Index, info.Index, call)
	if _, _, _, err := r.decode(b); err != nil { // it knows the bounds of texts and lists
		return nil, err
	}
	return b, nil
}

func encodeCall(palletIndex, callIndex byte, call pallet.Call) []byte {
	var e scale.Encoder
	e.U8(palletIndex)
	e.U8(callIndex)
	scale.Append(&e, call)
	return e.Encoded()
}

func noCall(name string, err error) error {
	return fault.New(fault.CallerTxCall, "call", fault.Quote(name), err)
}

// readArgs reads an object whose fields are exactly those of the call.
func readArgs(args json.RawMessage, call pallet.Call) error {
	if len(args) == 0 || string(args) == "null" {
		args = json.RawMessage("{}")
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(args, &given); err != nil {
		return fmt.Errorf("the arguments are no JSON object: %w", err)
	}
	v := reflect.ValueOf(call).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Tag.Get("scale") == "-" {
			continue
		}
		name := fieldName(f)
		value, ok := given[name]
		delete(given, name)
		switch {
		case ok:
			d := json.NewDecoder(bytes.NewReader(value))
			d.DisallowUnknownFields()
			if err := d.Decode(v.Field(i).Addr().Interface()); err != nil {
				return fmt.Errorf("argument %s: %w", name, err)
			}
		case f.Type.Kind() != reflect.Pointer:
			return fmt.Errorf("the argument %s is missing", name)
		}
	}
	for name := range given {
		return fmt.Errorf("it has no argument %s", fault.Quote(name))
	}
	return nil
}

func fieldName(f reflect.StructField) string {
	if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
		return name
	}
	return f.Name
}

// decode reads an encoded call.
func (r *Runtime) decode(b []byte) (*part, *pallet.Info, pallet.Call, error) {
	if len(b) < 2 {
		return nil, nil, nil, noCall("", fmt.Errorf("%d bytes are no call", len(b)))
	}
	p := r.byIndex[b[0]]
	if p == nil {
		return nil, nil, nil, noCall("", fmt.Errorf("there is no pallet %d", b[0]))
	}
	info := p.byIndex[b[1]]
	if info == nil {
		return nil, nil, nil, noCall(p.Name, fmt.Errorf("the pallet has no call %d", b[1]))
	}
	call := info.New()
	if err := scale.Unmarshal(b[2:], call); err != nil {
		return nil, nil, nil, noCall(p.Name+"."+info.Name, err)
	}
	return p, info, call, nil
}

// DecodeCall returns the names and the arguments of an encoded call.
//
// # Errors
//
// caller.tx_call.
func (r *Runtime) DecodeCall(b []byte) (palletName, callName string, args json.RawMessage, err error) {
	p, info, call, err := r.decode(b)
	if err != nil {
		return "", "", nil, err
	}
	args, err = json.Marshal(call)
	if err != nil {
		return "", "", nil, noCall(p.Name+"."+info.Name, err)
	}
	return p.Name, info.Name, args, nil
}
