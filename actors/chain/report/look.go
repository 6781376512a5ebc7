package report

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
)

// look reads what the chain says of the worker, and what the worker says of itself.
func look(ctx context.Context, port chain.Port, w Worker, key ID, node string) (v View, err error) {
	info, err := port.Info(ctx)
	if err != nil {
		return v, err
	}
	v.Genesis, v.Head, v.Time = info.Genesis, info.Head, info.Time
	var failed error // what the chain does not know is none; any other error ends the look
	ask := func(path string, params, out any) bool {
		if failed != nil {
			return false
		}
		err := port.Query(ctx, path, params, out)
		if err != nil && fault.CodeOf(err) != fault.CallerNotFound {
			failed = err
		}
		return err == nil
	}
	self := map[string]any{"worker": key}

	var reg registryView
	v.Known = ask(registry+"/worker", self, &reg)
	var sold marketView
	ask(market+"/worker", self, &sold)
	var c computationView
	ask(computation+"/worker", self, &c)
	if node != "" {
		var known json.RawMessage
		v.NodeKnown = ask(nodes+"/node", map[string]any{"node_id": node}, &known) && string(known) != "null"
	}
	if failed != nil {
		return v, failed
	}
	v.Known = v.Known && reg.Pubkey == key
	if reg.Operator != nil {
		v.Operator = *reg.Operator
	}
	v.Provider, v.AttestedAt = reg.Provider, ofMillis(reg.AttestedAt)
	if reg.InitialScore != nil {
		v.InitialScore = *reg.InitialScore
	}
	if s := sold.Session; s != nil {
		v.Session = &ChainSession{s.ID, s.LastNonce, s.MetricsSN, s.ScoreSN}
	}
	v.State, v.Challenges, v.Challenged = c.State, count(c.Challenges), c.Since
	if v.Open, err = w.Session(ctx); err != nil {
		return v, err
	}
	signed, err := w.Description(ctx)
	if err != nil {
		return v, err
	}
	if signed != nil {
		own, _, err := meter.OpenDescription(signed)
		if err != nil {
			return v, err
		}
		v.DescribeNew = !sold.says(own)
	}
	payload, _, err := w.Endpoints(ctx)
	if err != nil {
		return v, err
	}
	if payload != nil {
		own, err := meter.DecodeEndpoints(payload)
		if err != nil {
			return v, err
		}
		v.EndpointsNew = !slices.Equal(own.List, reg.Endpoints)
	}
	return v, nil
}

type registryView struct {
	Pubkey       ID       `json:"pubkey"`
	Operator     *ID      `json:"operator"`
	Provider     string   `json:"attestation_provider"`
	AttestedAt   uint64   `json:"attested_at"` // milliseconds of Unix time; 0: never
	InitialScore *uint32  `json:"initial_score"`
	Endpoints    []string `json:"endpoints"`
}

type marketView struct {
	Description json.RawMessage            `json:"description"`
	Prices      map[string]json.RawMessage `json:"prices"`
	Session     *struct {
		ID        ID     `json:"session_id"`
		LastNonce data   `json:"last_nonce"`
		MetricsSN uint64 `json:"last_metrics_sn"`
		ScoreSN   uint64 `json:"last_score_sn"`
	} `json:"session"`
}

type computationView struct {
	State      string          `json:"state"`
	Challenges json.RawMessage `json:"waiting_challenges"` // their number, or a list of them
	Since      uint64          `json:"waiting_since"`      // height of the first of them
}

// says compares the description that the chain has with the worker's own.
func (m *marketView) says(own meter.Description) bool {
	var text *string
	if json.Unmarshal(m.Description, &text) != nil || text == nil || *text != own.Text {
		return false
	}
	p := own.Prices
	for name, price := range map[string]*meter.Uint128{
		"general_fee_per_second": p.GeneralFeePerSecond, "gas_price": p.Gas, "net_ingress_price": p.NetIngress, "net_egress_price": p.NetEgress,
		"storage_read_price": p.StorageRead, "storage_write_price": p.StorageWrite, "storage_price": p.Storage, "memory_price": p.Memory, "tip_price": p.Tip,
	} {
		has := strings.Trim(string(m.Prices[name]), `"`)
		switch {
		case price == nil && has != "" && has != "null", price != nil && has != price.String():
			return false
		}
	}
	return true
}

// count reads a number, or counts a list.
func count(raw json.RawMessage) uint64 {
	var n uint64
	var list []json.RawMessage
	if json.Unmarshal(raw, &n) != nil && json.Unmarshal(raw, &list) == nil {
		n = uint64(len(list))
	}
	return n
}

func ofMillis(ms uint64) time.Time {
	if ms == 0 || ms > 1<<53 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}
