// Package watch makes rates of totals while somebody looks.
//
// Purpose: [Sampler.Watch] says that somebody looks. Until the last of them has left, totals are read once a second, and
// [Sampler.Look] shows them as rates over 1, 10 and 60 s. It reads the totals from what is looked at: then nothing is read a second
// time. A rate of something that has stopped falls to 0 as its windows pass.
//
// Lifecycle: New; Watch, and the function that it returns; Close at the end. While nobody looks there is no goroutine, no timer and
// no memory but for the sampler itself: what was gathered is forgotten with the last one who looked.
//
// Concurrency: everything may be called by anybody.
//
// Failure: a total that falls is that of a successor under the same name, and is counted from 0. A tick that comes late makes a longer
// interval, not a wrong rate.
//
// Limits: names that have not changed for a minute cost their last totals, others 720 bytes more. A window that is longer than what was
// watched counts what was. 10,000 names take about 1 ms of each second.
package watch
