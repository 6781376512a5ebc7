// Package sessions is the actor that owns the worker session and the deployed apps, and the actor of each app.
//
// # Purpose
//
// The sessions actor ([State]) has what all apps share: the session, the table of apps, the slots for instances, the numbers of
// tokens, and the benchmark app. Each app has an actor of its own, app-ADDRESS, for its instances, requests, schedule and
// meters. Both are pure cores; the shell ([Spawn]) writes to a [Store] and has [Guests] prepare and run.
//
// What is said about the code of an app travels like this. The host, or the chain reporter through it, sends [Announce] for a
// manifest that was seen. From then on everything that wants the code is a call of Guests.Prepare with a priority: Background
// for what was announced and for the benchmark app, Normal for a deployment and for a schedule that is due within a minute,
// High for a request, any for [RaiseApp]. The host turns each into a request to the cache, which joins those for one artifact
// and passes the highest on to prepare. Nothing here lowers one.
//
// # Lifecycle
//
// Each incarnation of the sessions actor reads the store first; what comes meanwhile waits. The first one goes on with what is
// there if Config.Resume says so, and else forgets the apps, and with them their totals and their claims to blobs. An app is
// there when its deployment is on disk, and gone when nothing of it runs, its last totals are written, the store has
// forgotten it and its actor has ended, in this order. In between its session lasts, whatever stops and starts.
//
// An app that is not on demand has as many instances as are wanted, or the runs of its schedule. One on demand has an instance
// from a request until it was idle for long, if its entry is a service that is kept; else each request has a run of its own,
// which the host makes, and which takes no slot here. An instance that ended by itself is started again if it ran for
// Restart.MinRun; a shorter one only while Restart.Max allows, with a back-off that doubles. If it was this host's fault it is
// tried for as long as it takes. Else it stays down, and the reason is shown, until Start or Resize.
//
// A schedule begins at the deployment plus Start, and goes on every Period from begin to begin, Repeats times; without a
// period there is one run, whatever Repeats says. A run that would be one too many at a time is left out and does not count
// among the Repeats, nor does what was missed while the host was down. A stopped app begins none, and its clock goes on.
//
// # Concurrency
//
// An app asks for slots (wants), and gets them one at a time (grant), until each instance that ended gives its own back (freed).
// Who waits stands in one line; the benchmark app gets what nobody waits for, and loses its newest instance to who does. While
// somebody waits, an instance that a request started ends as soon as it is idle.
// There is one write at a time for an app; what is used meanwhile shares the next one, and so do tokens that are asked for at
// the same time. [Use] is answered when a write has it, the other changes when they are on disk. A message to an app goes
// through the sessions actor, which passes the reply on: the app answers.
//
// # Failure
//
// An actor of an app that fails is replaced by one that begins with what the store has; its instances end with it, its requests
// keep their places, and what waited for it is answered with canceled.host_stopped. After five times in a minute the app is
// down for a minute. No other app notices. If the sessions actor itself fails, all apps begin anew in this way.
//
// A Use that was answered with an error may be counted; with the same Key it is counted once when it is sent again, unless its
// write failed, was done all the same, and the actor failed before it could be written again. A Leave that a failing actor has
// in hand is lost, and its request keeps its place until the next restart. An app that could be neither saved nor removed is
// invisible, and erased again and again.
//
// A number of a token is on disk before it is given out; a failed write wastes numbers. Totals are written before they are
// told and synced before a report: no report is taken back by a crash.
//
// # Limits
//
// [Limits] has them: slots, apps, requests of one app and of all, runs at a time, heads-ups, answers that all apps have a part
// in. An app that waits for nothing has no timer and no goroutine. Instances that are asked to end have Limits.Grace; then their
// context ends. Requests whose app ends are canceled at once, and given up after Limits.Patience: what they use after that is
// refused.
package sessions
