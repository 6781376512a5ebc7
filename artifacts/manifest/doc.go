// Package manifest says how apps are launched, and names them.
//
// Purpose: a [Manifest] is all that an app is, and its [Address] is the hash of its encoding. Version 1 is that of the original
// workers, byte for byte. Version 2 adds [Terms]: limits, entry, reuse, schedule and capabilities, which so become part of the
// address. [Build] makes a manifest and its blobs from a [Description], and [CID] names files as IPFS does.
//
// Lifecycle: [Decode] reads what [Manifest.Encode] wrote, [Manifest.Validate] says whether it makes sense, [Manifest.Settled]
// fills in the defaults, and [Manifest.Resolve] settles what depends on the code. Nothing is kept, nothing is opened: Build reads
// files through a function of its caller.
//
// Concurrency: all functions are pure. A Manifest may be read from any goroutine as long as nobody changes it.
//
// Failure: caller.manifest_version, caller.manifest_conflict, caller.manifest_label, caller.manifest_too_large, and
// caller.manifest_invalid for all else; the message names the field. Build has caller.not_found and caller.invalid_request too,
// for files that are not there or cannot be read.
//
// Limits: an encoded manifest has at most MaxBytes, so nothing within needs a count of its own. A JSON form or a description
// has at most MaxTextBytes.
//
// One manifest has one encoding, and Decode takes no other. The JSON form is for people and for transport: spaces and the order
// of its keys mean nothing, keys that are unknown, repeated or spelt in another case are errors.
package manifest
