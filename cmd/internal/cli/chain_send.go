package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

const (
	txLifetime = 64 // blocks that a transaction waits for one to take it
	nonceTries = 3  // when somebody else used the nonce meanwhile
)

// sent is what became of a transaction. Its JSON form is a contract.
type sent struct {
	Tx     string        `json:"tx"`
	Height uint64        `json:"height"`
	Signer string        `json:"signer"`
	Nonce  uint64        `json:"nonce"`
	Events []chain.Event `json:"events"`
}

// chainFlags say which chain is meant, and who signs.
type chainFlags struct {
	url string
	accountFlags
}

func (f *chainFlags) addURL(fs *pflag.FlagSet) {
	fs.Var(word{&f.url, "URL"}, "chain", "the chain, like http://127.0.0.1:9944 or unix:///run/chain.sock (default: that of the host)")
}

// addSigner adds the flags of verbs that send transactions.
func (f *chainFlags) addSigner(fs *pflag.FlagSet) {
	f.addURL(fs)
	f.accountFlags.add(fs)
}

// args returns the arguments of a call.
func args(v map[string]any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and numbers
	}
	return b
}

// send signs a call, hands it in, and returns when it is in a block.
func (a *app) send(ctx context.Context, c chain.Port, who chain.Signer, call chain.Call) (sent, error) {
	for try := 1; ; try++ {
		s, err := sendOnce(ctx, c, who, call)
		if fault.CodeOf(err) != fault.CallerTxNonce || try == nonceTries {
			return s, err
		}
	}
}

var errSeen = errors.New("seen")

func sendOnce(ctx context.Context, c chain.Port, who chain.Signer, call chain.Call) (s sent, err error) {
	info, err := c.Info(ctx)
	if err != nil {
		return s, err
	}
	public := who.Public()
	account, err := c.Account(ctx, public)
	if err != nil {
		return s, err
	}
	until := info.Head.Height + txLifetime
	tx, err := c.Sign(call, chain.Signing{Signer: who, Genesis: info.Genesis, Nonce: account.Nonce, ValidUntil: until})
	if err != nil {
		return s, err
	}
	if err := c.Submit(ctx, tx.Bytes); err != nil {
		return s, err
	}
	s = sent{Tx: tx.Hash.String(), Signer: chain.Hash(public).String(), Nonce: account.Nonce, Events: []chain.Event{}}
	err = c.Follow(ctx, info.Head, func(b chain.Block) error {
		for i, r := range b.Txs {
			if r.Hash != tx.Hash {
				continue
			}
			s.Height = b.Height
			for _, e := range b.Events {
				if e.Tx == i {
					s.Events = append(s.Events, e)
				}
			}
			if r.Error != nil {
				return r.Error.Fault()
			}
			return errSeen
		}
		if b.Height >= until {
			return fault.New(fault.CallerTxExpired, "transaction", s.Tx, nil)
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		err = nil
	}
	return s, err
}

// transact sends a call and tells what it did. told may add a line for people.
func (a *app) transact(ctx context.Context, f *chainFlags, call chain.Call, told func(sent)) error {
	if f.from == workerAccount {
		return a.sendByWorker(ctx, call, told)
	}
	who, err := a.signer(ctx, &f.accountFlags)
	if err != nil {
		return err
	}
	return a.onChain(ctx, f, func(ctx context.Context, c chainClient) error {
		s, err := a.send(ctx, c, who, call)
		if err == nil {
			err = s.sudoFault()
		}
		if err != nil {
			return err
		}
		a.tellSent(s, told)
		return nil
	})
}

// workerAccount stands for the worker key, which the host itself signs with.
const workerAccount = "worker"

// sendByWorker has the host send a call.
func (a *app) sendByWorker(ctx context.Context, call chain.Call, told func(sent)) error {
	return a.at(ctx, served, func(ctx context.Context, n *node) error {
		o, err := n.SendToChain(ctx, api.ChainCall{Key: rand.Text(), Pallet: call.Pallet, Name: call.Name, Args: call.Args})
		if err != nil {
			return err
		}
		s := sent{Tx: o.Tx, Height: o.Height, Signer: workerAccount, Events: []chain.Event{}}
		for _, e := range o.Events {
			s.Events = append(s.Events, chain.Event{Pallet: e.Pallet, Name: e.Name, Fields: e.Fields})
		}
		a.tellSent(s, told)
		return nil
	})
}

func (a *app) tellSent(s sent, told func(sent)) {
	switch {
	case a.json():
		a.printJSON(s)
	case told != nil:
		told(s)
	default:
		a.printSent(s)
	}
}

func (a *app) printSent(s sent) {
	fmt.Fprintf(a.out, "block %d  %s\n", s.Height, s.Tx)
	for _, e := range s.Events {
		a.printEvent(e)
	}
}

func (a *app) printEvent(e chain.Event) {
	fmt.Fprintf(a.out, "  %s.%s %s\n", fault.Quote(e.Pallet), fault.Quote(e.Name), oneLine(string(e.Fields)))
}

// field returns a field of the first event of that name, "" if there is none.
func (s sent) field(pallet, name, field string) string {
	for _, e := range s.Events {
		if e.Pallet != pallet || e.Name != name {
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(e.Fields, &fields) != nil {
			return ""
		}
		var text string
		if json.Unmarshal(fields[field], &text) == nil {
			return text
		}
		return string(fields[field])
	}
	return ""
}

// blockClock tells when a block was made.
func blockClock(t time.Time) string { return clock(t) + "  " + ago(t) }
