package report

import (
	"time"

	"github.com/troupehost/troupe/actors/chain"
)

// View is what the chain and the worker say of each other at one moment.
type View struct {
	Genesis ID
	Head    chain.Cursor
	Time    time.Time // of the head

	Known        bool // the worker is registered
	Operator     ID   // zero: none
	Provider     string
	AttestedAt   time.Time // by the chain's clock
	InitialScore uint32
	Session      *ChainSession
	State        string // of the worker's computing, "" if it has none
	Challenges   uint64 // that wait for an answer
	Challenged   uint64 // the block of the oldest of them; 0: it is not known
	NodeKnown    bool
	DescribeNew  bool // the worker's description is not that of the chain
	EndpointsNew bool // nor are its endpoints

	Open *Session // of the host
}

// ChainSession is the worker session as the chain has it.
type ChainSession struct {
	ID        ID
	LastNonce []byte
	MetricsSN uint64
	ScoreSN   uint64
}

// computing says whether challenges are for this worker.
func (v *View) computing() bool { return v.State == "WorkerIdle" || v.State == "WorkerUnresponsive" }

// equal says whether reports of the host's session are taken.
func (v *View) equal() bool {
	return v.Open != nil && v.Session != nil && v.Session.ID == v.Open.ID && v.Open.SN >= v.Session.newest()
}

// openOn says on which nonce a session is to be opened, and whether the one that is open is of no use though it is on that nonce.
func (v *View) openOn() (pnonce []byte, anew bool) {
	if v.Session == nil {
		return nil, false
	}
	return v.Session.LastNonce, v.Open != nil && v.Open.ID == v.Session.ID
}

// resumable says whether the chain takes the session that is open.
func (v *View) resumable() bool {
	switch {
	case v.Open == nil:
		return false
	case v.Session == nil:
		return true
	}
	return v.Open.ID != v.Session.ID && string(v.Open.PNonce) == string(v.Session.LastNonce)
}

// newest is the highest number that the chain has seen in the session.
func (c *ChainSession) newest() uint64 { return max(c.MetricsSN, c.ScoreSN) }
