package query

import (
	"slices"
	"sync"
)

// Kind is the type of a field, which says what values and operators it takes.
type Kind uint8

// The kinds.
const (
	Text     Kind = 1 + iota
	Enum          // one of Values
	Ordered       // one of Values, which rise
	Bool          // true, false
	Number        // 12, 12k, 1.5M; a percentage if the field has a capacity
	Bytes         // 10KiB, 5MB, 300
	Duration      // 5s
	Time          // RFC 3339, a day, or a duration: so long ago
)

var kindNames = [...]string{Text: "text", Enum: "choice", Ordered: "level", Bool: "yes or no", Number: "number", Bytes: "size", Duration: "duration", Time: "time"}

// String names the kind for help.
func (k Kind) String() string {
	if int(k) < len(kindNames) && k > 0 {
		return kindNames[k]
	}
	return "kind(?)"
}

// Field is one field of a view.
type Field struct {
	Name    string
	Kind    Kind
	Aliases []string
	Values  []string // of Enum and Ordered
	Percent bool     // it has a capacity, of which a percentage may be given
	Help    string

	path string // names in JSON, with dots between them; after a bar, another one if the first is empty
	cap  string // the capacity
	age  bool   // from that time until now
}

// view is the schema of one view. The first field with the name that key says is the id of a row.
type view struct {
	key    string // JSON names of the id of a row, with spaces between them
	fields []Field
}

func text(name, path, help string, aliases ...string) Field {
	return Field{Name: name, Kind: Text, Aliases: aliases, path: path, Help: help}
}

func of(kind Kind, name, path, help string, aliases ...string) Field {
	return Field{Name: name, Kind: kind, Aliases: aliases, path: path, Help: help}
}

func choice(name, path, help string, values ...string) Field {
	return Field{Name: name, Kind: Enum, path: path, Values: values, Help: help}
}

func full(name, path, capacity, help string, aliases ...string) Field {
	return Field{Name: name, Kind: Number, path: path, cap: capacity, Percent: true, Help: help, Aliases: aliases}
}

// span is a time under two names: the time itself, and its age.
func span(path, help string, aliases ...string) []Field {
	return []Field{
		{Name: "since", Kind: Time, path: path, Help: help, Aliases: aliases},
		{Name: "age", Kind: Duration, path: path, age: true, Help: "how long ago: " + help},
	}
}

func aged(name, path, help string) Field {
	return Field{Name: name, Kind: Duration, path: path, age: true, Help: help}
}

func priority(path string) Field {
	return Field{Name: "priority", Kind: Ordered, path: path, Values: []string{"background", "normal", "high", "critical"}, Help: "how urgent it is"}
}

func level(path string, values ...string) Field {
	return Field{Name: "level", Kind: Ordered, path: path, Values: values, Help: "how bad it is"}
}

func join(parts ...any) []Field {
	var all []Field
	for _, p := range parts {
		switch p := p.(type) {
		case Field:
			all = append(all, p)
		case []Field:
			all = append(all, p...)
		}
	}
	return all
}

var blames = []string{"guest", "suspect", "host", "busy", "caller", "canceled", "bug"}

// views returns the schemas of all views.
var views = sync.OnceValue(func() map[string]*view {
	return map[string]*view{
		"overview": {key: "name"},
		"chain":    {key: ""},
		"actors": {key: "path", fields: join(
			text("path", "path", "where it is, e.g. troupe/execute/worker-3", "actor", "id"),
			text("kind", "kind", "what it is"),
			choice("state", "state", "what it does", "starting", "idle", "busy", "backoff", "stopping", "stopped", "gave_up"),
			span("since", "when its state began"),
			text("app", "app", "the app that it serves"),
			full("mailbox", "mailbox_depth", "mailbox_cap", "messages that wait; a percentage is of what it may hold", "depth"),
			aged("oldest", "oldest_since", "how long the oldest message waits"),
			text("handling", "handling", "type of the message that it handles"),
			aged("handling_for", "handling_since", "how long it handles this message"),
			of(Number, "accepted", "accepted_total", "messages so far"),
			of(Number, "handled", "handled_total", "messages so far"),
			of(Number, "refused", "refused_total", "messages so far"),
			of(Number, "dropped", "dropped", "messages that were never delivered"),
			of(Number, "rate", "rates.handled.s10", "messages handled per second, over 10 s", "handled_rate"),
			of(Number, "rate1", "rates.handled.s1", "the same over 1 s"),
			of(Number, "rate60", "rates.handled.s60", "the same over 60 s"),
			of(Number, "accepted_rate", "rates.accepted.s10", "messages accepted per second, over 10 s"),
			of(Number, "refused_rate", "rates.refused.s10", "messages refused per second, over 10 s"),
			of(Duration, "p50", "handler.p50_us", "half of the messages took at most so long"),
			of(Duration, "p99", "handler.p99_us", "99 of 100 messages took at most so long"),
			of(Duration, "max", "handler.max_us", "the longest that a message took"),
			full("restarts", "restarts", "max_restarts", "how often it began anew; a percentage is of what it may"),
			of(Time, "restart", "next_restart", "when it begins anew"),
			text("fault", "last_fault", "the last one", "last_fault"),
			of(Bool, "paused", "paused", "its work lane waits"),
			text("log_level", "log_level", "its own level of the log"),
			of(Number, "requests", "requests_out", "questions that it waits for answers to"),
			of(Number, "tasks", "tasks", "beside it"),
			of(Number, "timers", "timers", "that are armed"),
			of(Number, "children", "children", "actors that it owns"),
			of(Number, "incarnation", "incarnation", "grows with each restart", "generation"),
			aged("stale", "at", "how old what is shown is"),
		)},
		"guests": {key: "id", fields: join(
			text("id", "id", "of the run or instance"),
			choice("kind", "kind", "what it is", "run", "job", "instance", "prepare"),
			text("tenant", "tenant", "who owns it"),
			text("job", "job", "that it is"), text("app", "app", "that it serves"),
			text("code", "code_hash", "hash of the module", "code_hash"), text("artifact", "artifact", "that it runs"),
			text("worker", "worker", "that runs it"), priority("priority"),
			choice("stage", "stage", "how far it is", "received", "admitted", "artifact-wait", "queued", "assigned", "handshake", "running", "result-read", "verdict", "delivered"),
			span("since", "when its stage began"), aged("total", "started_at", "how long it has been under way"),
			of(Time, "started", "started_at", "when it began", "started_at"), of(Time, "deadline", "deadline", "by when it must have ended"),
			choice("engine", "engine", "how it is executed", "compiler", "interpreter"),
			Field{Name: "memory", Kind: Bytes, path: "memory_bytes", cap: "memory_cap_bytes", Percent: true, Help: "linear memory now; a percentage is of what it may have"},
			Field{Name: "peak", Kind: Bytes, path: "memory_peak_bytes", cap: "memory_cap_bytes", Percent: true, Help: "linear memory at most"},
			full("gas", "gas_used", "gas_cap", "used; a percentage is of what it may use"),
			Field{Name: "cpu", Kind: Duration, path: "cpu_us", cap: "cpu_cap_us", Percent: true, Help: "used; a percentage is of what it may use"},
			of(Number, "calls", "host_calls", "of host functions"), of(Number, "handles", "open_handles", "that it has open"),
			text("cause", "cause", "id of what began it"),
		)},
		"jobs": {key: "id", fields: join(
			text("id", "id", "of the job", "job"), text("key", "idempotency_key", "that its caller gave it"),
			text("tenant", "tenant", "who owns it"), choice("state", "state", "how far it is", "queued", "running", "settled"),
			choice("stage", "stage", "how far it is while it is under way", "preparing", "waiting", "running"),
			priority("priority"), text("code", "code_hash", "hash of the module", "code_hash"),
			text("mode", "mode", "how its code is entered"), text("validity", "validity", "tag that can revoke it"),
			text("retry_of", "retry_of", "the job that it repeats"), of(Number, "starts", "starts", "how often it was begun"),
			span("submitted_at", "when it was submitted", "submitted"),
			of(Time, "started", "started_at", "when it began", "started_at"), aged("running_for", "started_at", "since it began"),
			of(Time, "settled", "settled_at", "when it ended", "settled_at"), of(Time, "deadline", "deadline", "by when it must have begun"),
			of(Time, "expires", "expires_at", "when it is forgotten"),
			text("verdict", "receipt.verdict", "what became of it"), text("fault", "receipt.fault|fault", "why it has failed"),
			text("message", "receipt.message|message", "the same in words"),
		)},
		"queues": {key: "name", fields: join(
			text("name", "name", "of the queue", "id", "queue"), full("parked", "parked", "cap", "what waits in it; a percentage is of what it may hold", "depth"),
			of(Number, "running", "running", "under way"), full("workers", "workers", "hard_workers", "processes; a percentage is of what it may have"),
			of(Number, "refused", "refused_total", "so far"), span("oldest_since", "when the oldest that waits came"), of(Bool, "paused", "paused", "it takes nothing new"),
		)},
		"artifacts": {key: "key", fields: join(
			text("key", "key", "of the artifact", "id", "artifact"), text("code", "code_hash", "hash of the module", "code_hash"),
			choice("state", "state", "what it is", "preparing", "prepared", "failed", "absent"),
			of(Bytes, "size", "bytes", "on disk", "bytes"), of(Bool, "stored", "stored", "it is on disk"), priority("priority"),
			of(Number, "waiting", "waiting", "requests that wait for it"), of(Number, "in_use", "in_use", "runs that use it now"),
			text("pins", "pins", "who keeps it", "pinned"), span("prepared_at", "when it was prepared", "prepared"),
			of(Time, "needed", "last_needed", "when it was needed last", "last_needed"), aged("idle", "last_needed", "since it was needed last"),
			of(Duration, "cpu", "prepare_cpu_us", "that its preparation took"), text("fault", "fault", "why it failed"), text("message", "message", "the same in words"),
			of(Number, "failures", "failures", "in a row"), of(Time, "retry", "retry_at", "when it may be tried again", "retry_at"),
			of(Number, "generation", "generation", "grows with each preparation"),
		)},
		"workers": {key: "id", fields: join(
			text("id", "id", "of the worker", "worker"), choice("kind", "kind", "what it does", "prepare", "execute"), of(Number, "pid", "pid", "of its process"),
			choice("state", "state", "what it does now", "starting", "idle", "busy"), text("tenant", "tenant", "whom it belongs to"), text("app", "app", "that it serves"),
			text("artifact", "artifact", "that it has loaded"), text("job", "job", "what it does now"), of(Number, "runs", "runs", "so far"),
			span("since", "when its state began"), aged("up", "started_at", "since its process began"), of(Time, "started", "started_at", "when its process began"),
			text("sandbox", "sandbox", "what confines it"), text("build", "build_id", "of its program"), of(Duration, "cpu", "cpu_us", "of its process"),
			of(Bytes, "rss", "rss_bytes", "memory of its process"), text("recycle", "recycle", "why it will end"),
		)},
		"dead": {key: "id", fields: join(
			text("id", "id", "of the letter", "letter"), span("at", "when it was refused or lost", "at"), text("actor", "actor", "whom it was for", "path"),
			text("type", "type", "of the message"), text("lane", "lane", "of the mailbox"), text("cause", "cause", "id of what began it"),
			text("code", "code", "why", "fault"), text("reason", "reason", "the same in words"), of(Bool, "replayable", "replayable", "it may be sent again"),
		)},
		"failures": {key: "id", fields: join(
			text("id", "id", "of what failed"), choice("kind", "kind", "what failed", "job", "artifact", "app", "actor", "worker", "outgoing"),
			choice("blame", "blame", "whose fault it is", blames...), text("code", "code", "as a dotted code", "fault"), text("message", "message", "in words"),
			span("at", "when it failed", "at"), of(Bool, "retryable", "retryable", "it can be tried again"), of(Time, "retry", "retry_at", "when it is, by itself", "retry_at"),
			text("tenant", "tenant", "whose it is"),
		)},
		"apps": {key: "address", fields: join(
			text("address", "address", "of the app", "id", "app"), text("label", "label", "that its manifest gives it"), text("tenant", "tenant", "who owns it"),
			choice("state", "state", "what it does", "preparing", "running", "waiting", "idle", "backoff", "scheduled", "stopped", "failed"),
			text("reason", "reason", "why it is not running"), text("code", "code_hash", "hash of the module", "code_hash"),
			choice("entry", "entry", "how it is entered", "command", "handler", "service"), choice("reuse", "reuse", "what instances keep", "keep", "reset", "process"),
			of(Bool, "on_demand", "on_demand", "it runs when it is asked"), of(Bool, "resizable", "resizable", "its number of instances may change"), of(Bool, "bench", "bench", "it is the benchmark"),
			full("running", "running", "wanted", "instances; a percentage is of those wanted"), of(Number, "wanted", "wanted", "instances"),
			of(Number, "queued", "queued", "requests that wait"), of(Number, "active", "active", "requests under way"), of(Number, "refused", "refused_total", "requests so far"),
			of(Number, "restarts", "restarts", "so far"), of(Number, "weight", "weight", "its share"), span("deployed", "when it was deployed", "deployed"),
			text("last_end", "last_end", "how its last instance ended", "fault"), of(Time, "ended", "last_end_at", "when"), of(Time, "next", "next_at", "when it is started next"),
			of(Time, "queried", "last_query", "when it was asked last"), aged("unasked", "last_query", "since it was asked last"),
			of(Number, "gas", "metrics.gas_consumed", "used"), of(Bytes, "ingress", "metrics.network_ingress", "from the network"), of(Bytes, "egress", "metrics.network_egress", "to the network"),
			text("session", "session", "that it has"), of(Number, "sequence", "sequence", "in the order of deployment"),
		)},
		"health": {key: "code", fields: join(
			text("code", "code", "of the condition", "id", "fault"), level("level", "warning", "error"), text("message", "message", "in words"), text("hint", "hint", "what to do"), span("since", "when it began"),
		)},
		"log": {key: "seq", fields: join(
			of(Number, "seq", "seq", "grows by one with each record", "id"), span("at", "when", "at"), level("level", "trace", "debug", "info", "warn", "error", "fatal", "panic"),
			text("code", "code", "as a dotted code", "fault"), text("message", "message", "in words"), text("fields", "fields", "what else it says"),
			of(Number, "suppressed", "suppressed", "records that were left out before it"),
		)},
		"audit": {key: "seq", fields: join(
			of(Number, "seq", "seq", "grows by one with each entry", "id"), span("at", "when", "at"), text("caller", "caller", "who"), text("origin", "origin", "through what"),
			text("route", "route", "what was asked"), text("verb", "verb", "what was to be done"), text("target", "target", "to what"), text("plan", "plan", "that was applied"),
			text("reason", "reason", "why"), of(Bool, "dry_run", "dry_run", "nothing was to be changed"), choice("outcome", "outcome", "what became of it", "done", "refused", "failed", "planned"),
			text("code", "code", "why not", "fault"),
		)},
		"outbox": {key: "number", fields: join(
			of(Number, "number", "number", "in the order of acceptance", "id"), text("key", "key", "of the call"), text("call", "call", "pallet and name"), text("sender", "sender", "account that signs"),
			choice("class", "class", "how urgent it is", "plain", "report", "urgent"), choice("state", "state", "how far it is", "waiting", "signed", "submitted", "in_block", "in_doubt", "ending", "done", "failed", "dropped"),
			span("since", "when its state began"), of(Time, "accepted", "accepted", "when it came"), text("hash", "hash", "of the transaction"), of(Number, "block", "block", "that has it"),
			of(Number, "tries", "tries", "transactions so far"), of(Time, "next", "next", "when it is tried again"), text("error", "error", "the last one", "fault"),
		)},
		"demands": {key: "id", fields: join(
			text("id", "id", "of the demand"), choice("kind", "kind", "what it is", "ticket", "bench", "request", "leftover"), text("state", "state", "how far it is"),
			text("reason", "reason", "why"), span("since", "when its state began"), text("app", "app", "address"), of(Bool, "by_hand", "by_hand", "an operator deployed it"),
			text("owner", "owner", "of a request"), text("job", "job", "that serves it"), text("ip", "ip", "of a request"), of(Number, "tries", "tries", "that failed in a row"),
			of(Time, "next", "next_at", "when it is tried again"),
		)},
	}
})

// Views returns the names of all views that have a schema, sorted.
func Views() []string {
	var all []string
	for name := range views() {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// Fields returns the fields of a view in the order in which they are shown; none of an unknown view.
func Fields(name string) []Field {
	if v := views()[name]; v != nil {
		return slices.Clone(v.fields)
	}
	return nil
}

// find returns the field of a name or an alias.
func (v *view) find(name string) *Field {
	for i := range v.fields {
		if f := &v.fields[i]; f.Name == name || slices.Contains(f.Aliases, name) {
			return f
		}
	}
	return nil
}

// nearest returns the word that is the fewest changes away, if that is few enough to be meant.
func nearest(word string, all []string) string {
	best, least := "", max(2, len(word)/3)+1
	if len(word) > 32 {
		return ""
	}
	for _, w := range all {
		if d := distance(word, w); d < least {
			best, least = w, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			before, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, before+cost)
		}
	}
	return row[len(b)]
}

// names are all names and aliases of a view.
func (v *view) names() []string {
	var all []string
	for _, f := range v.fields {
		all = append(append(all, f.Name), f.Aliases...)
	}
	return all
}
