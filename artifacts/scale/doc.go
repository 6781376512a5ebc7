// Package scale is the SCALE codec of Substrate: little-endian numbers, compact lengths, and nothing that says what is what.
//
// Purpose: [Encoder] appends values, [Decoder] reads them back. What is hashed or signed goes through both, so there is one
// encoding for each value: a Decoder takes only what an Encoder writes.
//
// Lifecycle: the zero Encoder is ready for use; [NewDecoder] makes a Decoder, and [Decoder.End] ends it.
//
// Concurrency: neither may be used by two goroutines at once. What a Decoder returns shares nothing with its input.
//
// Failure: an Encoder cannot fail. The first failure of a Decoder sticks: all later reads return zero values, and Err and End
// return it. It is caller.invalid_request and names the byte where it was found.
//
// Limits: every length is checked against the bound that the reader names and against the bytes that are left, before anything
// is allocated. Compact numbers have at most 64 bits.
package scale
