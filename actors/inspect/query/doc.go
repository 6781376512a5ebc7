// Package query is the grammar in which operators look for rows: one for the command line, both consoles and the control API.
//
// A query is words with spaces between them, and a row matches if all of them do:
//
//	app=x state=busy,backoff age>5s mailbox>80% fault~"fuel" since:10m state!=idle worker -prepare
//
// A word with an operator is about a field: = (one of the values, * stands for anything, nothing for empty), != > >= < <=,
// ~ (contains, whatever the case), !~ and : (what is meant: contains for text, at least for a time, else =). Any other word must
// be in some text of the row. An exclamation mark or a minus before a word negates it. Quotes keep spaces together; a backslash
// in them keeps the next character. Durations have units (250ms 5s 10m 1h30m 2d), sizes may (10KiB 5MB), and so may numbers
// (12k). A time is RFC 3339, a day, or a duration, which stands for so long ago. A percentage is of the capacity.
//
// Purpose: [Parse] and [Query.Match] filter, [Sort] sorts, [Complete] helps to type, [Fields] says what there is, [ID] names a row.
//
// Lifecycle: values; nothing to start or stop. A query that is kept follows the clock by [Query.At].
//
// Concurrency: all functions are pure, and a Query may be used by many goroutines. How a field is read from a record is worked
// out once for each type of record.
//
// Failure: fault.CallerQuery around an [Error], which has the column.
//
// Limits: [MaxBytes], [MaxTerms] and [MaxValues]; there are no regular expressions, so that a match is linear in the row.
package query
