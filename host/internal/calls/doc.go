// Package calls serves what guests ask of their host: the functions of troupe_v1, but for what a worker answers by itself.
//
// # Purpose
//
// A [Server] is shared by all apps of a host and has what they share: the network, the named channels and topics of each tenant.
// An [App] is one deployed app: what it was granted, its storage, its locks. An [Instance] is one guest that runs; it implements
// run.Calls.
//
// # Lifecycle
//
// [Server.App] and [App.Instance] make them. [Instance.Deliver] gives an instance an event to handle, [Instance.Stop] asks it to
// end, [Instance.End] takes back all that it holds: handles, locks, connections, places in queues. [App.Close] ends all instances.
//
// # Concurrency
//
// A guest has one thread, so Call is called for one ask after the other; all else may be called by anybody at any time. A call
// that has to wait tries, and tries again each time something of its instance changed: Instance.wake says so. Whatever becomes
// ready wakes; only the goroutine of the call takes. So nothing is handed to somebody who has just left: a value in a channel, or
// a lock, stays where it is until the one whose turn it is takes it, and who leaves wakes the next.
//
// A stream has a goroutine only while a read or a write of it is under way. Locks are taken one at a time: nothing is called under
// one but what has no lock of its own.
//
// # Failure
//
// Guests get error numbers of package abi. Deliver fails with busy.app_queue_full, and with guest.not_serving after the end. An
// event that is not answered when its instance ends is closed with why.
//
// # Limits
//
// All bytes that come here are hostile. An ask that is not of the form that package abi lists is refused. Handles, locks, waiters,
// subscriptions and their messages have the limits of package abi; connections and listeners of all instances are bounded together, and an app has at most as
// many as are left for the others; of streams, 32 KiB are buffered each way; a reply is gathered up to
// [InstanceConfig].Reply, and four of that size by one instance; subscriptions of one
// instance keep 4 MiB. What is written to somebody who does not read is given up [Config].Linger after the handle was closed.
//
// # Metering
//
// Bytes of a stream are counted when the guest reads or writes them, so that a count does not depend on the network's timing.
// What events carry is counted where it
// enters the host, and queries are not traffic. Storage is counted as bytes times whole milliseconds of the size that was seen last, and so
// is memory while the guest waits for an answer. What its memory was while it worked by itself is seen when it asks again or ends; it
// never shrinks, so that this is counted for all of that time. Use is
// passed on every 100 ms while a guest asks for anything, and before anything that it answers leaves the host.
package calls
