// Package turns shares the processor among apps by weight.
//
// # Purpose
//
// A guest runs in slices of gas. At the end of each it asks for its next turn, and [Turn.Next] answers when it may go on. There are
// as many turns at a time as there are cores, so that guests that compute without end leave the machine usable, and it is not the
// number of an app's instances that decides how much it gets, but its weight. The first slice of a run needs no turn: a short run
// never asks and costs nothing here.
//
// # Order
//
// Each app has a clock that goes on by gas divided by weight, for all its instances together. Of those that want to go on, the app
// with the clock furthest behind is next, and of its instances the one that waits longest. A slice is charged when it begins, as
// long as the one before it, and corrected when it ends, so that an app does not take several cores for the price of one.
//
// A newcomer begins where the others are now. Who used less than its share, since it waited for something else, is served before
// them until it has caught up, but for no more than 20 ms of work. What an app owes is remembered when its last run has left, so
// that many runs of a few slices each pay like one long run. The time that newcomers begin with goes on with the work that is
// done, so that no stream of newcomers keeps another from its turn.
//
// An app cannot use more cores than it has instances that want to run: what it leaves is shared by the others, and it has no claim
// to it later.
//
// The idle class, for the benchmark, has turns only while no other run is under way or wants to be. One that comes does not wait:
// it takes over a turn of the idle class, whose runs compute to the end of their slices and have no further one.
//
// # Lifecycle
//
// [Table.Join] when a run begins, [Turn.Leave] when it ended. In between, a run either computes, or [Turn.Pause] says that it waits
// for something else, and [Turn.Resume] that this wait is over. [Turn.Spent] takes note of gas without asking for more.
//
// # Concurrency
//
// One goroutine at a time calls Next, Pause, Resume and Spent of a Turn; anybody may call Leave at any time, and a Next or Resume
// that waits then fails. Table.mu orders everything; nobody waits with it held.
//
// # Failure
//
// Who keeps a turn for longer than MaxHold, since its worker hangs or sleeps, loses it to others: it may go on, and asks for the
// next one like anybody. The gas is what the worker says; each turn costs at least MinCharge.
//
// # Limits
//
// Weights are from 1 to MaxWeight. Apps that are remembered without a run: MaxRemembered.
package turns
