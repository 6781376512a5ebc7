package pallet

import (
	"bytes"
	"encoding/json"

	"github.com/troupehost/troupe/actors/fault"
)

// Params reads the parameters of a view. None at all, or null, are those without a field.
//
// # Errors
//
// caller.invalid_request, for fields that the view does not know, too.
func Params(params json.RawMessage, into any) error {
	if len(params) == 0 || string(params) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(params))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fault.New(fault.CallerInvalid, "params", "", err)
	}
	if d.More() {
		return fault.New(fault.CallerInvalid, "params", "", nil).WithHint("they are one JSON object")
	}
	return nil
}

// MaxPage bounds the items of a page.
const MaxPage = 100

// Page asks for a page of a list: what comes after a key.
type Page[K any] struct {
	After *K  `json:"after"` // nil: from the first
	Limit int `json:"limit"` // at most MaxPage; 0: MaxPage
}

// Answer is a page. Next is the After of the next one, nil at the end.
type Answer[K, V any] struct {
	Items []V `json:"items"`
	Next  *K  `json:"next"`

	last  K
	limit int
}

// NewAnswer returns an empty page.
func NewAnswer[K, V any](p Page[K]) *Answer[K, V] {
	if p.Limit <= 0 || p.Limit > MaxPage {
		p.Limit = MaxPage
	}
	return &Answer[K, V]{Items: []V{}, limit: p.Limit}
}

// Add adds an item, and says whether to go on: hand it to what walks through a Map. It takes one more than there is room for to know
// that there is more.
func (a *Answer[K, V]) Add(k K, v V) bool {
	if len(a.Items) == a.limit {
		last := a.last
		a.Next = &last
		return false
	}
	a.Items, a.last = append(a.Items, v), k
	return true
}
