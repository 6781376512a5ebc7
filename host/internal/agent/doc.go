// Package agent lets a program beside the host run compute requests, over HTTP.
//
// # Purpose
//
// An [Agent] is the follower's port to a program that makes virtual machines, as miners have had it: start-vm, vm-status, vm-vnc-port,
// and a path for each of stop, boot, reboot and delete.
//
// # Lifecycle
//
// New opens nothing. Configurations for guests are files in Config.Dir until their machine runs, failed, or is deleted.
//
// # Concurrency
//
// All methods may be called from any goroutine.
//
// # Failure
//
// host.agent for any answer but the expected one: nothing is known to have changed. A request for a machine whose answer did not come
// is follow.ErrUnknown as well, for the program may have taken it. No answer says that a job is not there.
//
// # Limits
//
// 100 s to start a machine, 10 s for all else, 64 KiB of an answer; redirects are not followed.
package agent
