package artifacts

import (
	"errors"
	"strconv"
	"strings"
)

// Caps are numbers of code that are bounded before it is compiled. It mirrors wasm.Caps field by field, where each is
// described; who converts one into the other does not compile when they differ.
type Caps struct {
	BodyBytes     int `json:"body_bytes"`
	ControlOps    int `json:"control_ops"`
	Locals        int `json:"locals"`
	BranchTargets int `json:"branch_targets"`
	Nesting       int `json:"nesting"`
	PhiWork       int `json:"phi_work"`
	Lookups       int `json:"lookups"`
	Params        int `json:"params"`
	Carried       int `json:"carried"`

	Functions          int `json:"functions"`
	Types              int `json:"types"`
	TypeValues         int `json:"type_values"`
	Imports            int `json:"imports"`
	Exports            int `json:"exports"`
	Globals            int `json:"globals"`
	Tables             int `json:"tables"`
	TableElements      int `json:"table_elements"`
	Segments           int `json:"segments"`
	SegmentElements    int `json:"segment_elements"`
	ControlSquares     int `json:"control_squares"`
	TotalPhiWork       int `json:"total_phi_work"`
	TotalLookups       int `json:"total_lookups"`
	TotalBranchTargets int `json:"total_branch_targets"`
	TotalCarried       int `json:"total_carried"`
	GlobalFunctions    int `json:"global_functions"`
}

// Shape is what the policy of a host judges code by, as it was measured: an artifact that was prepared under another policy
// is judged by it anew, without its code.
type Shape struct {
	Features string `json:"features"` // names, joined by commas
	Caps
}

func (c *Caps) fields() []*int {
	return []*int{
		&c.BodyBytes, &c.ControlOps, &c.Locals, &c.BranchTargets, &c.Nesting, &c.PhiWork, &c.Lookups, &c.Params, &c.Carried,
		&c.Functions, &c.Types, &c.TypeValues, &c.Imports, &c.Exports, &c.Globals, &c.Tables, &c.TableElements, &c.Segments,
		&c.SegmentElements, &c.ControlSquares, &c.TotalPhiWork, &c.TotalLookups, &c.TotalBranchTargets, &c.TotalCarried,
		&c.GlobalFunctions,
	}
}

// Compact returns the shape in one string, which is read many times faster than an object of as many numbers.
func (s Shape) Compact() string {
	var b []byte
	for _, f := range s.fields() {
		b = append(strconv.AppendInt(b, int64(*f), 10), ' ')
	}
	return string(append(b, s.Features...))
}

// ParseShape reads what Compact returned. The empty string is the zero value.
func ParseShape(text string) (s Shape, err error) {
	if text == "" {
		return s, nil
	}
	for _, f := range s.fields() {
		number, rest, ok := strings.Cut(text, " ")
		if *f, err = strconv.Atoi(number); err != nil || !ok {
			return Shape{}, errors.New("a shape has " + strconv.Itoa(len(s.fields())) + " numbers")
		}
		text = rest
	}
	s.Features = text
	return s, nil
}
