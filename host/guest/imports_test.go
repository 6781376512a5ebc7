package guest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/troupehost/troupe/host/abi"
)

// spelled is the table of the module as lines "name letters", i for what is 32 bits there and I for 64.
func spelled() map[string]string {
	out := map[string]string{}
	for _, f := range abi.TroupeFunctions {
		out[f.Name] = strings.NewReplacer("b", "ii", "o", "ii", "p", "i", "P", "i").Replace(f.Params)
	}
	return out
}

func compare(t *testing.T, what string, have map[string]string) {
	t.Helper()
	want := spelled()
	for name, letters := range have {
		if want[name] != letters {
			t.Errorf("%s: %s has %q, want %q", what, name, letters, want[name])
		}
	}
	for name := range want {
		if _, ok := have[name]; !ok {
			t.Errorf("%s: there is no %s", what, name)
		}
	}
}

// TestImportsAreThoseOfTheTable: what Go guests import, and what stands for it on other systems.
func TestImportsAreThoseOfTheTable(t *testing.T) {
	letters := func(types *ast.FieldList) (out string) {
		for _, f := range types.List {
			letter := "i" // pointers, too
			if id, ok := f.Type.(*ast.Ident); ok && strings.HasSuffix(id.Name, "64") {
				letter = "I"
			}
			out += strings.Repeat(letter, max(len(f.Names), 1))
		}
		return out
	}
	read := func(name string) map[string]*ast.FuncDecl {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]*ast.FuncDecl{}
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok {
				out[d.Name.Name] = d
			}
		}
		return out
	}
	real, other := read("imports_wasip1.go"), read("imports_other.go")
	have, stubs := map[string]string{}, map[string]string{}
	for name, d := range real {
		found := regexp.MustCompile(`//go:wasmimport troupe_v1 (\w+)`).FindStringSubmatch(fmt.Sprint(d.Doc.List[0].Text))
		if found == nil || other[name] == nil {
			t.Errorf("%s: no import, or nothing on other systems", name)
			continue
		}
		have[found[1]], stubs[found[1]] = letters(d.Type.Params), letters(other[name].Type.Params)
	}
	compare(t, "Go", have)
	compare(t, "Go elsewhere", stubs)
}

// TestHeaderIsThatOfTheTable: what guests in C import, and its numbers.
func TestHeaderIsThatOfTheTable(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "guests", "src", "troupe.h"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^TROUPE\((\w+)\)\((.*)\);$`).FindAllStringSubmatch(string(b), -1) {
		letters := ""
		for p := range strings.SplitSeq(m[2], ", ") {
			switch {
			case strings.Contains(p, "*") || strings.HasPrefix(p, "u32"):
				letters += "i"
			default:
				letters += "I"
			}
		}
		have[m[1]] = letters
	}
	compare(t, "C", have)
	for name, want := range map[string]int{
		"ERR_ADDRESS": abi.ErrAddress, "ERR_PARAM": abi.ErrParam, "ERR_ENCODING": abi.ErrEncoding, "ERR_NOT_FOUND": abi.ErrNotFound,
		"ERR_UNSUPPORTED": abi.ErrUnsupported, "ERR_IO": abi.ErrIO, "ERR_LIMITED": abi.ErrLimited, "ERR_PENDING": abi.ErrPending,
		"ERR_END": abi.ErrEOF, "ERR_EXISTS": abi.ErrExists, "ERR_CORRUPT": abi.ErrCorrupt, "ERR_FORBIDDEN": abi.ErrForbidden,
		"ERR_CONDITION": abi.ErrCondition, "ERR_CLOSED": abi.ErrClosed, "FACT_CONFIG": abi.FactConfig, "FACT_BLOCK_TIME": abi.FactBlockTime,
		"EVENT_QUERY": abi.EventQuery, "EVENT_HTTP": abi.EventHTTP, "EVENT_CONNECTION": abi.EventConnection,
		"RIGHT_SEND": abi.RightSend, "RIGHT_RECV": abi.RightRecv, "RIGHT_CLOSE": abi.RightClose, "MAX_KEY": abi.MaxKey,
	} {
		if !strings.Contains(string(b), fmt.Sprintf("  %s = %d,\n", name, want)) {
			t.Errorf("%s is not %d", name, want)
		}
	}
}

// TestNumbersAreThoseOfTheTable compares what is written twice.
func TestNumbersAreThoseOfTheTable(t *testing.T) {
	for _, c := range []struct {
		name       string
		have, want uint64
	}{
		{"unknown", uint64(ErrUnknown), abi.ErrUnknown}, {"address", uint64(ErrAddress), abi.ErrAddress}, {"param", uint64(ErrParam), abi.ErrParam},
		{"encoding", uint64(ErrEncoding), abi.ErrEncoding}, {"memory", uint64(ErrMemory), abi.ErrMemory}, {"not found", uint64(ErrNotFound), abi.ErrNotFound},
		{"unsupported", uint64(ErrUnsupported), abi.ErrUnsupported}, {"io", uint64(ErrIO), abi.ErrIO}, {"limited", uint64(ErrLimited), abi.ErrLimited},
		{"pending", uint64(ErrPending), abi.ErrPending}, {"end", uint64(ErrEOF), abi.ErrEOF}, {"exists", uint64(ErrExists), abi.ErrExists},
		{"corrupt", uint64(ErrCorrupt), abi.ErrCorrupt}, {"forbidden", uint64(ErrForbidden), abi.ErrForbidden},
		{"condition", uint64(ErrCondition), abi.ErrCondition}, {"closed", uint64(ErrClosed), abi.ErrClosed},
		{"bytes", MaxBytes, abi.MaxBytes}, {"value", MaxKVValue, abi.MaxKVValue}, {"polled", maxPolled, abi.MaxPoll},
		{"query", eventQuery, abi.EventQuery}, {"http", eventHTTP, abi.EventHTTP}, {"connection", eventConnection, abi.EventConnection},
		{"to send", uint64(RightSend), abi.RightSend}, {"to receive", uint64(RightRecv), abi.RightRecv}, {"to close", uint64(RightClose), abi.RightClose},
		{"fact 1", factAddress, abi.FactAddress}, {"fact 2", factAppSession, abi.FactAppSession}, {"fact 3", factWorkerKey, abi.FactWorkerKey},
		{"fact 4", factWorkerSession, abi.FactWorkerSession}, {"fact 5", factInstance, abi.FactInstance}, {"fact 6", factLabel, abi.FactLabel},
		{"fact 7", factConfig, abi.FactConfig}, {"fact 8", factStorage, abi.FactStorage}, {"fact 9", factBlockTime, abi.FactBlockTime},
	} {
		if c.have != c.want {
			t.Errorf("%s: %d, want %d", c.name, c.have, c.want)
		}
	}
}

func TestErrorsAreThoseOfTheStandardLibrary(t *testing.T) {
	for e, want := range map[Errno]error{
		ErrNotFound: fs.ErrNotExist, ErrForbidden: fs.ErrPermission, ErrExists: fs.ErrExist, ErrClosed: fs.ErrClosed,
		ErrPending: os.ErrDeadlineExceeded, ErrUnsupported: errors.ErrUnsupported, ErrEOF: io.EOF,
	} {
		if !errors.Is(e, want) || errors.Is(e, io.ErrShortWrite) {
			t.Errorf("%v", e)
		}
	}
	if ended(uint32(ErrEOF)) != io.EOF || failure(0) != nil || failure(3) != error(ErrParam) || Errno(99).Error() != "error number 99" {
		t.Error("wrong errors")
	}
	if _, err := Get("key"); err != ErrUnsupported { // there is no host here
		t.Error(err)
	}
}
