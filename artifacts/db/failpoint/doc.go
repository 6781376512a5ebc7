// Package failpoint lets a test kill the process at a named point between two steps of a write.
//
// Purpose: [Hit] marks a point. In a build with the tag "chaos" the environment variable TROUPE_FAILPOINT, as in
// "commit.after state 3", makes the third hit of that point the last thing that the process does. In any other build Hit
// does nothing and costs nothing.
//
// Lifecycle: none. Concurrency: Hit may be called from any goroutine. Failure: a variable that cannot be read is a panic
// at the start, in builds with the tag only. Limits: one point per process.
package failpoint
