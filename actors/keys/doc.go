// Package keys keeps the secrets of a host: the key that names the worker, and the root of what its apps derive. The key of an
// account on a chain is kept in the same way.
//
// # Purpose
//
// [Keyring.Worker] signs reports, what apps have signed, and replies; its public half is the worker's name. The root is another
// secret: [Keyring.Secret] and [Keyring.Seal] derive from it, so that they are the same after a restart, after a redeployment of
// the app, after a backup was restored, and after the worker key was rotated.
//
// # Lifecycle
//
// [Open] reads the secrets, or makes them if the store has none. [Keyring.Lock] changes what they are locked with,
// [Keyring.Rotate] makes another worker key, [Keyring.Backup] and [Keyring.Restore] move all of it to another host. Each of them
// writes first, and takes effect when that has succeeded.
//
// # Rotation
//
// Rotation changes the worker's public key: what is signed from then on, which signed and sealed queries are accepted, and with
// which key apps' data is signed. What was signed before stays valid for the old public key, which the file keeps in its history.
// It changes no secret and no stored data of any app.
//
// # Format
//
// A header, the body, and a BLAKE2b-256 of both; numbers are little-endian:
//
//	"troupkey" | version 1 | kind | kind 1: passes u32, KiB u32, lanes u8, salt[16]; kind 2: salt[16] | kinds 1 and 2: nonce[24]
//
// Kind 0 has the body in clear. Kind 1 seals it with XChaCha20-Poly1305 under Argon2id of a passphrase, kind 2 under HKDF-SHA256 of
// a key file; the header is authenticated with it. The body is SCALE: seed of the worker key [32], root [32], and a vector of
// public keys that were replaced, each with the time in Unix milliseconds (u64), the oldest first.
//
// # Concurrency
//
// Everything may be called by anybody. Readers take no lock.
//
// # Failure
//
// What cannot be read is host.worker_key: the sum tells damage from a wrong passphrase. New secrets are made only if the store says
// that it has nothing; nothing else ever replaces them but Rotate and Restore.
//
// # Limits
//
// The history keeps MaxHistory keys. A key file has 32 bytes to 64 KiB. Files that ask for more than 1 GiB, 16 passes or 16 lanes are
// refused.
package keys
