package tui

import (
	"strconv"
	"strings"

	"github.com/troupehost/troupe/actors/inspect"
)

// outboxView are the calls of this host on their way to the chain.
func outboxView() *spec {
	type C = inspect.Outgoing
	return &spec{
		name: "outbox", watch: "outbox", title: "calls", decode: decodeAs[C], empty: "nothing is on its way to the chain",
		columns: []column{
			col("NUMBER", 6, 85, "number", func(_ *scene, o C) (string, style) { return strconv.FormatUint(o.Number, 10), dim }),
			col("CALL", 20, 99, "call", func(_ *scene, o C) (string, style) { return safe(o.Call), normal }).growing(),
			col("CLASS", 7, 60, "class", func(_ *scene, o C) (string, style) {
				if o.Class == "urgent" {
					return "urgent", accent
				}
				return safe(o.Class), normal
			}),
			col("STATE", 9, 95, "state", func(_ *scene, o C) (string, style) {
				if o.State == "in_doubt" || o.State == "dropped" {
					return safe(o.State), bad
				}
				return state(o.State)
			}),
			col("SINCE", 7, 90, "age", func(c *scene, o C) (string, style) {
				if o.Since.IsZero() {
					return age(c.now, o.Accepted), normal
				}
				return age(c.now, o.Since), normal
			}),
			col("BLOCK", 10, 50, "block", func(_ *scene, o C) (string, style) {
				if o.Block == 0 {
					return "-", dim
				}
				return strconv.FormatUint(o.Block, 10), normal
			}),
			num("TRIES", 5, 70, "tries", func(o C) float64 { return float64(o.Tries) }, func(_ *scene, o C) (string, style) { return strconv.FormatUint(uint64(o.Tries), 10), normal }),
			col("NEXT", 9, 65, "next", func(c *scene, o C) (string, style) { return until(c.now, o.Next), normal }),
			col("ERROR", 20, 55, "error", func(_ *scene, o C) (string, style) { return faulted(o.Error) }),
		},
		pane: func(_ *scene, r *row) []line {
			o, _ := r.v.(C)
			second := line{{"key ", dim}, {safe(o.Key), normal}}
			if o.Error != "" {
				second = second.add(bad, "  "+safe(o.Error))
			}
			return []line{{{"sender ", dim}, {short(o.Sender), normal}, {"  hash ", dim}, {dash(short(o.Hash)), normal}}, second}
		},
	}
}

// demandView is what the chain wants of this host.
func demandView() *spec {
	type D = inspect.Demand
	return &spec{
		name: "demands", watch: "demands", title: "demands", decode: decodeAs[D], empty: "the chain wants nothing of this host", sorted: "id",
		columns: []column{
			col("DEMAND", 18, 99, "id", func(_ *scene, d D) (string, style) {
				kind, id, found := strings.Cut(safe(d.ID), "/")
				if !found {
					return kind, normal
				}
				return kind + "/" + short(id), normal
			}).growing(),
			col("KIND", 8, 80, "kind", func(_ *scene, d D) (string, style) { return safe(d.Kind), normal }),
			col("STATE", 10, 95, "state", func(_ *scene, d D) (string, style) { return state(d.State) }),
			col("SINCE", 7, 85, "age", func(c *scene, d D) (string, style) { return age(c.now, d.Since), normal }),
			col("TICKETS", 7, 60, "", func(_ *scene, d D) (string, style) { return strconv.Itoa(len(d.Tickets)), normal }),
			col("BALANCE", 12, 55, "", func(_ *scene, d D) (string, style) { return dash(safe(d.Balance)), normal }),
			num("TRIES", 5, 50, "tries", func(d D) float64 { return float64(d.Tries) }, func(_ *scene, d D) (string, style) { return strconv.Itoa(d.Tries), normal }),
			col("NEXT", 9, 52, "next", func(c *scene, d D) (string, style) { return until(c.now, d.NextAt), normal }),
			col("WHY", 20, 65, "reason", func(_ *scene, d D) (string, style) { return dash(safe(d.Reason)), normal }),
		},
		pane: func(_ *scene, r *row) []line {
			d, _ := r.v.(D)
			first := line{{"id ", dim}, {safe(d.ID), normal}}
			if d.ByHand {
				first = first.add(warn, "  deployed by hand: it is left alone")
			}
			return []line{first, {{safe(d.Reason), warn}}}
		},
	}
}
