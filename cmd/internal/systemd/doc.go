// Package systemd is what the program has to do with the service manager that started it, if one did.
//
// Purpose: [Open] finds the manager in the environment. It is told when the host is ready, what it is doing, that it reloads
// (with the stamp that Type=notify-reload needs), that it stops and how much longer that takes; and that it is alive.
// [Listeners] takes over sockets that the manager holds, by their names. [Unit] is the unit file that ships.
//
// Lifecycle: one [Manager] for the life of the process; [Manager.Watch] and [Manager.Stopping] run until their contexts end.
//
// Concurrency: all methods may be called from any goroutine.
//
// Failure: without a manager all methods do nothing. What cannot be told is logged once and never ends the host.
//
// Limits: the watchdog is fed only after the host has answered, within half of its interval. There is no ticker beside that: a
// host whose actors are stuck is restarted by the manager. A line of status is cut at 256 bytes.
package systemd
