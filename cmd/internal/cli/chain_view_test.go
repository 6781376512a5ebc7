package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/keys"
)

// Views are the words of a chain, which may say anything: people see one line of plain letters for each.
func TestFieldsOfViews(t *testing.T) {
	for _, test := range []struct{ view, want string }{
		{`{"id":1,"owner":null,"is_open":true}`, "id       1\nowner    -\nis open  true\n"},
		{`{"list":[],"ids":[1,2],"names":["a","b"]}`, "list   -\nids    1,2\nnames  a,b\n"},
		{`{"prices":{"tip":null,"gas":"1"},"none":{"tip":null}}`, "prices  gas=1\nnone    -\n"},
		{`{"rows":[{"b":1,"a":"x"},{"a":"y"}]}`, "rows  a=x b=1\n      a=y\n"},
		{`{"deep":{"a":{"b":1}}}`, `deep  {"a":{"b":1}}` + "\n"},
		{`{"text":"two\nlines\u001b[31m"}`, "text  two lines\ufffd[31m\n"},
		{`"5"`, "5\n"},
		{`[]`, "-\n"},
	} {
		var out bytes.Buffer
		a := &app{out: &sink{w: &out}}
		a.printFields(json.RawMessage(test.view))
		if diff := cmp.Diff(test.want, out.String()); diff != "" {
			t.Errorf("%s: %s", test.view, diff)
		}
	}
}

func TestItemsOfViews(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &sink{w: &out}}
	a.printItems([]json.RawMessage{[]byte(`{"id":7,"session":{"sn":3}}`), []byte(`{"session":null}`), []byte(`5`)}, []column{{"ID", "id"}, {"SN", "session.sn"}})
	if diff := cmp.Diff("ID  SN\n7   3\n-   -\n-   -\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

// What root's call says is the result of the transaction around it.
func TestResultOfSudo(t *testing.T) {
	of := func(fields string) sent {
		return sent{Events: []chain.Event{{Pallet: "Sudo", Name: "Sudid", Fields: json.RawMessage(fields)}}}
	}
	for _, fields := range []string{`{"result":null}`, `{}`, `{"result":""}`} {
		if err := of(fields).sudoFault(); err != nil {
			t.Errorf("%s: %v", fields, err)
		}
	}
	err := of(`{"result":"Wapod.NotAllowed"}`).sudoFault()
	if fault.CodeOf(err) != fault.CallerTxFailed || !strings.Contains(err.Error(), "Wapod.NotAllowed") {
		t.Error(err)
	}
	if err := (sent{}).sudoFault(); err != nil {
		t.Error(err)
	}
}

func TestMissingViews(t *testing.T) {
	missing := fault.New(fault.CallerNotFound, "query", "", nil)
	for _, test := range []struct {
		what asked
		err  error
		want string
	}{
		{asked{"ticket 5", "look elsewhere"}, missing, "ticket 5: no such thing"},
		{asked{}, missing, missing.Error()},
		{asked{"ticket 5", "look elsewhere"}, errors.New("other"), "other"},
	} {
		if got := test.what.orMissing(test.err); got.Error() != test.want {
			t.Errorf("%v: %v", test.what, got)
		}
	}
	if err := (asked{"ticket 5", "x"}).orMissing(nil); err != nil {
		t.Error(err)
	}
}

func TestChainLine(t *testing.T) {
	now := time.Now()
	up := inspect.ChainView{Chain: inspect.Chain{Connected: true, Head: 7, Finalized: 6, HeadTime: now, Outbox: map[string]int{"ready": 2}}}
	up.Follower.State = "following"
	down := inspect.ChainView{Chain: inspect.Chain{Since: now, Waiting: "the chain answers again", Outbox: map[string]int{"ready": 1}}}
	for _, test := range []struct {
		view inspect.ChainView
		err  error
		want []string
	}{
		{up, nil, []string{"block 7 ", "finalized 6", "2 calls on the way", "following"}},
		{down, nil, []string{"lost ", "the chain answers again", "1 call waiting"}},
	} {
		got := chainLine(test.view, test.err)
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%q is without %q", got, want)
			}
		}
	}
	if got := chainLine(up, fault.CallerNotFound); got != "" {
		t.Errorf("without a chain: %q", got)
	}
}

// Names stand for accounts where the ledger wants one, and nowhere else.
func TestAccountsInArguments(t *testing.T) {
	a := &app{dataDir: t.TempDir()}
	k, err := a.newAccount("alice", keys.Unlock{})
	if err != nil {
		t.Fatal(err)
	}
	alice := chain.Hash(k.Public()).String()
	for _, test := range []struct {
		pallet, call, args, want string
		code                     fault.Code
	}{
		{"Balances", "transfer_all", `{"dest":"alice","keep_alive":true}`, `{"dest":"` + alice + `","keep_alive":true}`, ""},
		{"Wapod", "worker_list_add_workers", `{"list":1,"workers":["alice","0x` + alice + `"]}`, `{"list":1,"workers":["` + alice + `","` + alice + `"]}`, ""},
		{"Marketplace", "purchase_plan", `{"pay_for":null,"selected_image_name":"alice"}`, `{"pay_for":null,"selected_image_name":"alice"}`, ""},
		{"Balances", "transfer_all", `{"dest":5}`, `{"dest":5}`, ""}, // the ledger says what it thinks of that
		{"Nope", "nope", `{"dest":"alice"}`, `{"dest":"alice"}`, ""},
		{"Balances", "transfer_all", `{"dest":"bob"}`, "", fault.CallerNotFound},
	} {
		got, err := a.callArgs(t.Context(), []string{test.pallet, test.call, test.args})
		if test.code != "" {
			if fault.CodeOf(err) != test.code {
				t.Errorf("%s: %v", test.args, err)
			}
			continue
		}
		if diff := cmp.Diff(test.want, string(got.Args)); err != nil || diff != "" {
			t.Errorf("%s: %v %s", test.args, err, diff)
		}
	}
	for _, bad := range []string{"", "[]", "null", "{", `"alice"`} {
		if _, err := a.callArgs(t.Context(), []string{"Balances", "transfer_all", bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzFieldsOfViews(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		a := &app{out: &sink{w: &out}}
		a.printFields(b)
		a.printItems([]json.RawMessage{b}, []column{{"A", "a.b"}})
		if bytes.ContainsAny(out.Bytes(), "\x1b\x00\r") {
			t.Errorf("%q", out.Bytes())
		}
	})
}
