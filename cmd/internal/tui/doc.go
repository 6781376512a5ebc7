// Package tui is the console in a terminal: what 'troupe top' shows.
//
// Purpose: an operator finds out in a minute why something waits, who is to blame, and mends it, by keys. [Run] is the program, [Model]
// the state of its screen: [Model.Step] takes what happened and returns what is to be done, [Model.Frame] draws. Both are pure: all input,
// output and time come from outside, so that tests drive them without a terminal. It sees a host only through [Source], which
// *client.Client is; whatever can be seen here can be scripted.
//
// Lifecycle: Run blocks until the user leaves or its context ends, and leaves the terminal as it was. Only what is on the screen is
// watched; whoever looks at another view makes the host stop sampling the first.
//
// Concurrency: one goroutine owns the Model. Each stream and each call to the host has its own and sends messages; a message of a
// view that was left is told by its number and dropped.
//
// Failure: a lost connection keeps the last frame, dims it, says how old it is, and tries again with back-off. A host with another
// boot id is announced. What a host refuses is shown with its code and hint.
//
// Limits: a view asks for a window of rows and widens it as the user goes down, at most [maxRows]; only visible rows are drawn. Text of
// others passes safe, which leaves no control byte and no rune that turns, hides or stacks others, and is cut to its column. Traces,
// histories and messages are bounded rings.
package tui
