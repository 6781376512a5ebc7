package api

// Verb is one thing that can be done to things of one kind. Consoles and the command line offer what is here and nothing
// else; each goes through a [Plan].
type Verb struct {
	Name   string // of a plan: kind and action
	Kind   string // whose ids it takes: actor, worker, queue, letter, job, artifact, app, node, chain
	Action string
	Right  Right
	Key    string   // in the consoles
	Danger bool     // a typed confirmation and a reason
	Effect string   // one sentence without a subject: "…"
	Args   []string // names; a question mark after one that may be left out
}

// Verbs is the table of all of them.
var Verbs = []Verb{
	{Name: "actor.pause", Kind: "actor", Action: "pause", Right: Operate, Key: "P", Effect: "its work lane waits; control messages and answers still arrive"},
	{Name: "actor.resume", Kind: "actor", Action: "resume", Right: Operate, Key: "P", Effect: "its work lane moves again"},
	{Name: "actor.restart", Kind: "actor", Action: "restart", Right: Operate, Key: "R", Effect: "a new incarnation begins; what it had accepted is sent to it once more"},
	{Name: "actor.kill", Kind: "actor", Action: "kill", Right: Admin, Key: "K", Danger: true, Effect: "the worker process or the app behind it ends; parts of the host can only be restarted"},
	{Name: "actor.log_level", Kind: "actor", Action: "log-level", Right: Operate, Args: []string{"level", "for_us?"}, Effect: "its log level is another one for a while"},
	{Name: "worker.recycle", Kind: "worker", Action: "recycle", Right: Operate, Key: "R", Effect: "it ends as soon as it is idle"},
	{Name: "worker.kill", Kind: "worker", Action: "kill", Right: Admin, Key: "K", Danger: true, Effect: "its process is killed, and what it runs ends as suspect and may be repeated"},
	{Name: "queue.pause", Kind: "queue", Action: "pause", Right: Operate, Key: "P", Effect: "it accepts and starts nothing new"},
	{Name: "queue.resume", Kind: "queue", Action: "resume", Right: Operate, Key: "P", Effect: "it accepts and starts again"},
	{Name: "queue.purge", Kind: "queue", Action: "purge", Right: Admin, Key: "x", Danger: true, Effect: "all that waits in it is answered with canceled.host_stopped"},
	{Name: "letter.replay", Kind: "letter", Action: "replay", Right: Operate, Key: "r", Effect: "the message is sent again"},
	{Name: "letter.drop", Kind: "letter", Action: "drop", Right: Operate, Key: "x", Effect: "the record of the message is forgotten"},
	{Name: "job.cancel", Kind: "job", Action: "cancel", Right: Operate, Key: "K", Danger: true, Effect: "it ends as canceled, running or not"},
	{Name: "job.raise", Kind: "job", Action: "raise", Right: Operate, Key: "u", Args: []string{"priority?"}, Effect: "its priority rises, by one or to the one named; it never falls"},
	{Name: "job.retry", Kind: "job", Action: "retry", Right: Operate, Key: "r", Effect: "a new job repeats it"},
	{Name: "artifact.retry", Kind: "artifact", Action: "retry", Right: Operate, Key: "r", Effect: "a failed preparation begins again now, whatever its cool-down"},
	{Name: "artifact.raise", Kind: "artifact", Action: "raise", Right: Operate, Key: "u", Args: []string{"priority?"}, Effect: "its preparation rises"},
	{Name: "artifact.pin", Kind: "artifact", Action: "pin", Right: Operate, Key: "p", Effect: "it is not pruned"},
	{Name: "artifact.unpin", Kind: "artifact", Action: "unpin", Right: Operate, Key: "p", Effect: "it may be pruned"},
	{Name: "artifact.verify", Kind: "artifact", Action: "verify", Right: Operate, Key: "v", Effect: "its stored bytes are checked, and dropped if damaged"},
	{Name: "artifact.evict", Kind: "artifact", Action: "evict", Right: Admin, Key: "x", Danger: true, Effect: "it is removed and prepared again when needed"},
	{Name: "app.start", Kind: "app", Action: "start", Right: Operate, Key: "r", Effect: "it runs again"},
	{Name: "app.stop", Kind: "app", Action: "stop", Right: Operate, Key: "P", Danger: true, Effect: "its instances end"},
	{Name: "app.restart", Kind: "app", Action: "restart", Right: Operate, Key: "R", Effect: "its instances end and new ones begin"},
	{Name: "app.raise", Kind: "app", Action: "raise", Right: Operate, Key: "u", Args: []string{"priority?"}, Effect: "the preparation of its code rises"},
	{Name: "app.remove", Kind: "app", Action: "remove", Right: Admin, Key: "x", Danger: true, Effect: "its session ends with a last report, and what it kept is gone"},
	{Name: "node.drain", Kind: "node", Action: "drain", Right: Admin, Key: "D", Danger: true, Effect: "the host takes nothing new, waits for what runs, and ends"},
	{Name: "node.gc", Kind: "node", Action: "gc", Right: Operate, Effect: "old artifacts are pruned and the databases give space back"},
	{Name: "node.reload", Kind: "node", Action: "reload", Right: Admin, Effect: "the configuration file is read again"},
	{Name: "chain.pause", Kind: "chain", Action: "pause", Right: Operate, Key: "P", Effect: "nothing new is submitted; the outbox keeps it"},
	{Name: "chain.resume", Kind: "chain", Action: "resume", Right: Operate, Key: "P", Effect: "the outbox is submitted again"},
}
