package pallet

import (
	"encoding/json"

	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// Call is a transaction's wish: the fields are the arguments.
type Call interface {
	// Run does it. Origin is who wants it.
	Run(c *Context) error
}

// Info describes a call.
type Info struct {
	Index byte
	Name  string // snake_case, as on chain
	New   func() Call
}

// View answers a question from the state. It must not change it.
type View struct {
	Name string
	Run  func(c *Context, params json.RawMessage) (any, error)
}

// Pallet is one part of the ledger.
type Pallet struct {
	Name  string // PascalCase, as on chain: it is in the keys of the state
	Index byte
	Calls []Info
	Views []View
	// Errors lists the errors by name, in the order of their indices.
	Errors []string
	// Events lists the events by name, in the order of their indices.
	Events []string

	Genesis    func(c *Context, config json.RawMessage) error // nil: nothing; config is that of the pallet, nil if it has none
	Begin, End func(c *Context) error                         // of a block; nil: nothing
}

// OriginKind is what somebody is.
type OriginKind uint8

// The kinds of origins.
const (
	Nobody OriginKind = iota // the ledger itself: Begin, End and views
	Signed                   // an account that signed
	Root                     // governance
)

// Origin is who wants a call.
type Origin struct {
	Kind    OriginKind
	Account Account // of Signed
}

// Event is what happened.
type Event struct {
	Pallet string `json:"pallet"`
	Name   string `json:"name"`
	Fields any    `json:"fields"` // a struct with names in JSON
}

// Context is where a call runs.
type Context struct {
	*state.Store
	Height  uint64 // of the block
	Time    uint64 // of the block, in milliseconds of Unix time
	Genesis Hash   // of the chain
	Origin  Origin
	Events  *[]Event
	// Dispatch runs an encoded call as somebody else. What it wrote and emitted is undone if it fails.
	Dispatch func(o Origin, call []byte) error
}

// Emit tells that something happened.
func (c *Context) Emit(pallet, name string, fields any) {
	*c.Events = append(*c.Events, Event{pallet, name, fields})
}

// As returns a Context of the same block for somebody else.
func (c *Context) As(o Origin) *Context {
	other := *c
	other.Origin = o
	return &other
}

// Signer returns the account that signed. Root is none.
//
// # Errors
//
// System.BadOrigin.
func (c *Context) Signer() (Account, error) {
	if c.Origin.Kind != Signed {
		return Account{}, BadOrigin
	}
	return c.Origin.Account, nil
}

// EnsureRoot lets governance pass only.
//
// # Errors
//
// System.BadOrigin.
func (c *Context) EnsureRoot() error {
	if c.Origin.Kind != Root {
		return BadOrigin
	}
	return nil
}

// Error is why a call failed.
type Error struct {
	Pallet, Name string
	Detail       string // for people
}

// BadOrigin refuses who may not ask for a call.
var BadOrigin = &Error{Pallet: "System", Name: "BadOrigin"}

// Fail returns an error of a pallet.
func Fail(pallet, name, detail string) *Error { return &Error{pallet, name, detail} }

// Error implements error.
func (e *Error) Error() string {
	if e.Detail != "" {
		return e.Pallet + "." + e.Name + ": " + e.Detail
	}
	return e.Pallet + "." + e.Name
}

// Is says that errors are the same if their names are.
func (e *Error) Is(other error) bool {
	o, ok := other.(*Error)
	return ok && o.Pallet == e.Pallet && o.Name == e.Name
}
