// Package settings finds the value of each setting of the program: a flag beats the environment, which beats the context, which
// beats the file, which beats the default.
//
// Purpose: a set of flags is the schema, and there is no second list. The name of a flag is the key in a file, TROUPE_ and the
// name in upper snake case is the variable, and the text that is found is given to the value of the flag itself, so that a file
// is judged by the code that judges the command line. Files are flat TOML: text, whole numbers, true and false, and lists of them.
//
// Lifecycle: [Read] or [Parse] reads a file, [Apply] sets what the command line left open and says where each value came from.
// A reload does the same on a fresh set of flags, and compares with [Changes].
//
// Concurrency: values, without state; a set of flags belongs to one caller.
//
// Failure: all that is wrong with a file is reported at once, with line and column, as a list of [Problem]. A file that somebody
// else may write is refused, since it names programs to run.
//
// Limits: a file has at most 1 MiB.
//
// The reader is the parser below go-toml/v2. A layer for several sources, like koanf, was tried on paper and left out: it keeps
// maps, in which line and column are gone, and its merging is one loop here.
package settings
