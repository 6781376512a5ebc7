package api

import (
	"slices"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

// Spec is one row of the table of routes: what a route needs, changes, takes and gives. The server is built from it, and so are
// the document of OpenAPI and the test that who may only look changes nothing.
type Spec struct {
	Route   string
	Right   Right  // that a caller needs
	And     Right  // and this one too; "": none
	Changes string // in words; "": nothing
	Does    string // the row of Verbs that it carries out on one thing, or on all; "": none. A dangerous one needs HeaderReason.
	Whole   bool   // it concerns what belongs to all tenants: callers that are confined to their own are refused
	Gen     bool   // HeaderIfMatch is understood
	Again   bool   // HeaderIdempotency is understood: the reply is kept, and given again
	Params  []Param
	Body    any      // the type of a body in JSON; nil: none
	Form    []string // parts of a form
	Bytes   bool     // the body is bytes
	Reply   any      // the type of a reply in JSON; nil: Type says what it is
	Type    string   // of a reply that is not JSON
	Events  any      // the type of what a stream consists of
	Status  int      // of a success; 0: 200
	Or      int      // of another success
	About   string
}

// Param is a parameter in the query of a URL.
type Param struct {
	Name  string
	Kind  string // string, integer, boolean; "strings": it may come more than once
	About string
}

// Stream reports whether the reply is server-sent events, which last.
func (s Spec) Stream() bool { return s.Type == TypeSSE }

var (
	pAfter    = Param{"after", "string", "next of the page before"}
	pAfterNum = Param{"after", "integer", "the last one of the page before"}
	pLimit    = Param{"limit", "integer", "rows of a page"}
	pFind     = []Param{{"q", "string", "which rows; see the grammar of queries"}, {"sort", "string", "a field; a minus before it reverses"}, pAfter, pLimit}
	pWait     = Param{"wait_us", "integer", "how long to wait for news"}
	pPriority = Param{"priority", "string", "background, normal, high or critical"}
	pTenant   = Param{"tenant", "string", "whose"}
	pAddress  = Param{"address", "strings", "of an app"}
)

func with(list []Param, more ...Param) []Param { return append(slices.Clone(more), list...) }

func look(route string, reply any, about string, params ...Param) Spec {
	return Spec{Route: route, Right: View, Reply: reply, About: about, Params: params}
}

func change(route string, right Right, changes string, reply any, params ...Param) Spec {
	return Spec{Route: route, Right: right, Changes: changes, Reply: reply, Params: params, Again: true, About: changes}
}

var codeParts = []string{PartRequest, PartCode, PartInput, PartStdin}

// Table is the table of all routes.
var Table = []Spec{
	look(RouteLive, Done{}, "whether the host answers"),
	look(RouteReady, Done{}, "whether it accepts work"),
	look(RouteStartup, Done{}, "whether it has started"),
	{Route: RouteMetrics, Right: View, Type: TypeMetrics, About: "the metrics of the host"},
	look(RouteStatus, inspect.Host{}, "everything about the host"),
	{Route: RouteOpenAPI, Right: View, Type: TypeJSON, About: "this document"},
	look(RouteMe, Me{}, "who the caller is, and what it may do"),

	{Route: RouteExecute, Right: Operate, Changes: "runs code", Form: codeParts, Type: TypeEvents, Events: Event{}, About: "runs code and streams what it prints"},
	{Route: RouteCheck, Right: Operate, Changes: "prepares code", Form: codeParts[:2], Type: TypeEvents, Events: Event{}, About: "judges code"},
	{Route: RouteHeadsUp, Right: Operate, Changes: "announces code", Form: codeParts[:2], Reply: Done{}, Status: 202, About: "announces code that will be needed"},

	look(RouteList, ArtifactList{}, "artifacts", with(pFind, Param{"prefix", "string", "of the key"})...),
	look(RouteShow, Artifact{}, "one artifact"),
	change(RoutePrune, Operate, "prunes old artifacts", Pruned{}),
	gen(change(RouteVerify, Operate, "checks the bytes of an artifact, and drops it if it is damaged", Done{})),
	gen(change(RoutePin, Operate, "keeps an artifact", Done{})),
	gen(change(RouteUnpin, Operate, "lets an artifact be pruned", Done{})),
	does("artifact.evict", gen(change(RouteEvict, Admin, "removes an artifact", Done{}))),

	{Route: RouteSubmit, Right: Operate, Changes: "submits a job", Form: codeParts, Reply: run.Job{}, Or: 202, About: "submits a durable job"},
	look(RouteJobs, JobList{}, "jobs", with(pFind, pTenant, Param{"state", "string", "queued, running or settled"})...),
	look(RouteJob, run.Job{}, "one job; what it printed only with the right payload", Param{"seen", "integer", "events that are known"}, pWait),
	look(RouteTimeline, inspect.Timeline{}, "where the time of a job went"),
	does("job.cancel", change(RouteCancelJob, Operate, "cancels a job", run.Job{})),
	change(RouteRaiseJob, Operate, "raises a job", run.Job{}, pPriority),
	or(change(RouteRetryJob, Operate, "repeats a job", run.Job{}, Param{"idempotency_key", "string", "of the new job"}), 202),
	change(RouteRevoke, Operate, "ends the caller's requests that carry a tag", Revoked{}, Param{"tag", "string", "of validity"}),

	{Route: RouteWarm, Right: Operate, Changes: "keeps code prepared", Form: codeParts[:2], Reply: inspect.Warm{}, Status: 202, About: "keeps code prepared"},
	look(RouteWarmed, WarmList{}, "what is kept prepared"),
	change(RouteCool, Operate, "keeps code prepared no longer", Done{}),

	{Route: RouteDeploy, Right: Operate, Changes: "deploys an app", Form: []string{PartRequest, PartManifest, PartConfig}, Reply: inspect.App{}, About: "deploys an app"},
	{Route: RouteAnnounce, Right: Operate, Changes: "announces an app", Form: []string{PartRequest, PartManifest, PartConfig}, Reply: Done{}, Status: 202, About: "announces an app"},
	look(RouteApps, AppList{}, "apps", with(pFind, pTenant)...),
	look(RouteApp, inspect.App{}, "one app"),
	does("app.remove", whole(change(RouteRemoveAll, Admin, "removes all apps", AppsRemoved{}))),
	does("app.remove", change(RouteRemoveApp, Admin, "removes an app", inspect.AppMetrics{})),
	change(RouteStartApp, Operate, "starts an app", inspect.App{}),
	does("app.stop", change(RouteStopApp, Operate, "stops an app", inspect.App{})),
	change(RouteResizeApp, Operate, "changes the number of instances of an app", inspect.App{}, Param{"instances", "integer", "wanted"}),
	change(RouteRaiseApp, Operate, "raises the preparation of an app", inspect.App{}, pPriority),
	{Route: RouteQueryApp, Right: Payload, And: Operate, Changes: "asks an app", Bytes: true, Reply: AppReply{}, Params: []Param{{"path", "string", "of the query"}, pPriority}, About: "asks an app"},
	{Route: RouteAppLog, Right: Payload, Reply: AppLog{}, Params: []Param{pAfterNum, {"max", "integer", "lines"}, pWait}, About: "what an app said"},
	{Route: RouteSealedQuery, Right: Payload, And: Operate, Changes: "asks an app", Whole: true, Bytes: true, Type: TypeBytes, About: "asks an app under seal"},

	{Route: RoutePutBlob, Right: Operate, Changes: "stores a blob", Bytes: true, Reply: inspect.Blob{}, About: "stores a blob under its hash"},
	{Route: RouteAddBlob, Right: Operate, Changes: "stores a blob", Bytes: true, Reply: inspect.Blob{}, About: "stores a blob"},
	look(RouteBlobs, BlobList{}, "blobs"),
	{Route: RouteGetBlob, Right: Payload, Type: TypeBytes, About: "the bytes of a blob"},
	change(RouteRemoveBlob, Operate, "removes a blob", Done{}),

	look(RouteSession, inspect.Session{}, "the worker session"),
	whole(body(change(RouteOpenSession, Operate, "opens the worker session", Opened{}), OpenSession{})),
	whole(body(change(RouteSetBench, Operate, "names the benchmark app", inspect.Session{}), SetBench{})),
	look(RouteAppMetrics, AppMetricsList{}, "the use of apps", pAddress),
	whole(body(change(RouteReport, Operate, "signs a report of metrics", Reports{}), Report{})),

	secret(change(RouteBackupKey, Admin, "gives away the worker key, encrypted", Key{}), Key{}),
	secret(change(RouteRestoreKey, Admin, "replaces the worker key", inspect.Session{}), Key{}),
	secret(change(RouteRotateKey, Admin, "replaces the worker key by a new one", inspect.Session{}), nil),
	secret(change(RouteLockKey, Admin, "encrypts the worker key at rest, or no longer", Done{}), Key{}),
	secret(change(RouteSignEndpoints, Admin, "signs endpoints", Signed{}), Endpoints{}),
	secret(change(RouteSignDescription, Admin, "signs a description", Signed{}), Description{}),
	secret(change(RouteSignRegistration, Admin, "signs a registration", Signed{}), Registration{}),

	look(RouteChain, inspect.ChainView{}, "the chain"),
	look(RouteChainCalls, CallList{}, "calls on their way to the chain", Param{"history", "boolean", "those that are settled"}, Param{"newest", "boolean", "backwards"}, pAfterNum, pLimit),
	look(RouteChainDemands, DemandList{}, "what the chain wants", pAfter, pLimit),
	look(RouteChainPay, PayList{}, "what apps have earned", pAfter, pLimit),
	whole(change(RouteChainReport, Operate, "reports to the chain", ChainReported{}, pAddress)),
	secret(change(RouteChainSend, Admin, "sends a call to the chain", ChainSent{}), ChainCall{}),
	secret(change(RouteChainAdopt, Admin, "takes another chain", Done{}), Adopt{}),

	look(RouteActors, Page[inspect.Actor]{}, "actors", pFind...),
	look(RouteActor, inspect.ActorDetail{}, "one actor and its flight recorder"),
	look(RouteMailbox, Page[inspect.Letter]{}, "headers of what waits in a mailbox", pAfter, pLimit),
	look(RouteGuests, Page[inspect.Guest]{}, "what runs", pFind...),
	look(RouteWorkers, Page[inspect.Worker]{}, "worker processes", pFind...),
	look(RouteQueues, Page[inspect.Queue]{}, "queues", pFind...),
	look(RouteDead, Page[inspect.Letter]{}, "messages that were refused or never delivered", pFind...),
	look(RouteFailures, Page[Failing]{}, "what has failed", pFind...),
	look(RouteHealth, Page[inspect.Health]{}, "what an operator should know", pFind...),
	look(RouteLog, Page[inspect.LogLine]{}, "the log of the host", with(pFind, pWait)...),
	look(RouteAudit, Page[Audit]{}, "who changed what", pFind...),
	look(RouteCause, Page[inspect.Trace]{}, "what the flight recorders hold of one cause", pAfter, pLimit),
	look(RouteExplain, inspect.Explanation{}, "what a thing waits for"),
	look(RouteHistory, History{}, "the use of an app over time", Param{"address", "string", "of an app"}),
	look(RouteConfig, Page[Setting]{}, "what the host runs with"),
	{Route: RouteWatch, Right: View, Type: TypeSSE, Events: Frame{}, About: "a view, as it changes",
		Params: append(slices.Clone(pFind[:2]), pLimit, Param{"every_us", "integer", "between frames"})},
	{Route: RouteTrace, Right: View, Type: TypeSSE, Events: inspect.Trace{}, About: "messages, as they are handled", Params: []Param{
		{"actor", "string", "a path, with all actors below it"}, {"kind", "string", "of actors"}, {"type", "string", "a part of the type of a message"}, {"cause", "string", "32 hex digits"},
		{"min_us", "integer", "handled for at least so long"}, {"rows", "integer", "after which it ends"}, {"for_us", "integer", "after which it ends"},
		{"refused", "boolean", "only messages that were refused"}, {"sample_n", "integer", "one cause in so many"}}},

	{Route: RoutePlan, Right: View, Body: Wish{}, Reply: Plan{}, About: "what a wish would do; making a plan changes nothing, and needs the right of its verb"},
	{Route: RouteApply, Right: View, Changes: "carries out a plan", Again: true, Reply: Operation{}, Or: 202, About: "carries out a plan; needs the right of its verb"},
	look(RouteOperation, Operation{}, "how far an operation is", pWait),
	{Route: RouteSnapshot, Right: Admin, Type: TypeBytes, About: "a bundle of all that can be seen"},
	{Route: RouteBackup, Right: Admin, Type: TypeBytes, About: "a backup of state, keys and chain"},
}

func gen(s Spec) Spec   { s.Gen = true; return s }
func whole(s Spec) Spec { s.Whole = true; return s }

func does(verb string, s Spec) Spec { s.Does = verb; return s }

// Grave reports whether a route carries out a dangerous verb, which needs a reason.
func (s Spec) Grave() bool {
	v := VerbOf(s.Does)
	return v != nil && v.Danger
}

func or(s Spec, status int) Spec {
	s.Or = status
	return s
}

func body(s Spec, v any) Spec {
	s.Body = v
	return s
}

// secret is a change whose reply is not kept.
func secret(s Spec, v any) Spec {
	s.Body, s.Again, s.Whole = v, false, true
	return s
}

// SpecOf returns the row of a route, or nil.
func SpecOf(route string) *Spec {
	for i := range Table {
		if Table[i].Route == route {
			return &Table[i]
		}
	}
	return nil
}

// VerbOf returns the verb of a name, or nil.
func VerbOf(name string) *Verb {
	for i := range Verbs {
		if Verbs[i].Name == name {
			return &Verbs[i]
		}
	}
	return nil
}

// ViewOf is the view whose queries find things of a kind; "": they are not found but named.
func ViewOf(kind string) string {
	return map[string]string{"actor": "actors", "worker": "workers", "queue": "queues", "letter": "dead", "job": "jobs", "artifact": "artifacts", "app": "apps"}[kind]
}

// Would answers a request that was made with HeaderDryRun.
type Would struct {
	DryRun bool   `json:"dry_run"`
	Would  string `json:"would"` // in words
	Target string `json:"target,omitempty"`
}

// Holds reports whether rights contain one: payload, operate and admin contain view, and admin contains all.
func Holds(have []Right, need Right) bool {
	if need == "" || slices.Contains(have, need) || slices.Contains(have, Admin) {
		return true
	}
	return need == View && len(have) > 0
}

// Narrow returns the rights that all of the lists hold, with what they contain, in the order of Rights.
func Narrow(lists ...[]Right) []Right {
	out := []Right{}
	for _, r := range Rights {
		if !slices.ContainsFunc(lists, func(have []Right) bool { return !Holds(have, r) }) {
			out = append(out, r)
		}
	}
	return out
}

// ParseRights checks the names of rights.
func ParseRights(names []string) ([]Right, bool) {
	var out []Right
	for _, n := range names {
		if !slices.Contains(Rights, Right(n)) {
			return nil, false
		}
		out = append(out, Right(n))
	}
	return out, true
}
