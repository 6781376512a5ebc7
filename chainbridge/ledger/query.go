package ledger

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// Query implements machine.Machine. What a view writes is lost.
//
// # Errors
//
// caller.not_found for no such view, or for what it does not find; caller.invalid_request for parameters that it cannot take.
func (l *Ledger) Query(path string, params json.RawMessage) (answer json.RawMessage, err error) {
	defer caught("query", &err)
	name, viewName, _ := strings.Cut(path, "/")
	p := l.run.byName[name]
	if p == nil || p.views[viewName] == nil {
		return nil, fault.New(fault.CallerNotFound, "query", fault.Quote(path), nil).WithHint("there is no such view")
	}
	s := state.NewStore(l.src)
	var events []pallet.Event
	c := &pallet.Context{Store: s, Events: &events, Dispatch: func(pallet.Origin, []byte) error { return pallet.BadOrigin }}
	c.Genesis, _ = genesisHash.Get(s)
	c.Height, _ = number.Get(s)
	c.Time, _ = timestamp.Get(s)
	found, err := p.views[viewName].Run(c, params)
	if broken := s.Err(); broken != nil {
		return nil, broken
	}
	if err != nil {
		return nil, queryFault(path, err)
	}
	answer, err = json.Marshal(found)
	if err != nil {
		return nil, fault.New(fault.BugUnexpected, "query", fault.Quote(path), err)
	}
	return answer, nil
}

// queryFault says what is wrong with a question.
func queryFault(path string, err error) error {
	if known, ok := errors.AsType[*fault.Error](err); ok {
		return known
	}
	code := fault.CallerInvalid
	if failed, ok := errors.AsType[*pallet.Error](err); ok && strings.Contains(failed.Name, "NotFound") {
		code = fault.CallerNotFound
	}
	return fault.New(code, "query", fault.Quote(path), err)
}
