// Package origin says who sent a query, and keeps queries and replies from others.
//
// # Purpose
//
// A signed query names an account. [Verifier.Verify] returns it if the account itself signed, or a key that it gave a certificate
// to; the signature is good for one worker, one app, one path, one payload, a short time, and once. [Verifier.Open] opens queries
// that were sealed to the worker, and seals the replies. [Sign], [Signer.Certify] and [SealQuery] are the other side of it.
//
// # Signatures
//
// Numbers are little-endian, b2 is BLAKE2b-256, and everything else is SCALE. An account has 32 bytes. The types are those of the
// original worker, and they say what is signed and which account it is:
//
//	0 Ed25519           the message                                  the public key
//	1 Sr25519           the message, context "substrate"             the public key
//	2 Ecdsa             b2(message), secp256k1                       b2(compressed public key)
//	3, 4, 5             "<Bytes>" | message | "</Bytes>", as 0, 1, 2
//	6 Eip712            typed data, see below                        address[20] | "@evm_address"
//	7 EvmEcdsa          the message, as personal_sign does           address[20] | "@evm_address"
//	8 EvmEcdsaWrapBytes "<Bytes>" | message | "</Bytes>", as 7
//
// Public keys of small order are nobody's. Signatures of the types 0, 1, 3 and 4 have 64 bytes. The others have 65: r, s, and 0 or 1, or 27 or 28; s is in the lower half.
//
// The message of a query that an account signs itself has tag 1, that of a query by a certificate tag 2:
//
//	"troupe/query" | 1 | tag | worker[32] | signed u64 | expiry u64 | nonce bytes | account[32] |
//	    tag 2: id[32] of the last certificate | app[32] | path string | b2(payload)[32]
//
// Times are Unix milliseconds. The nonce has 16 to 32 bytes, and no two queries of an account have the same one. The account is the
// one that the query speaks for. The message of a certificate is
//
//	"troupe/query" | 1 | 0 | parent[32] | delegate[32] | expiry u64 | delegations u8 | apps vec<[32]> | paths vec<string>
//
// Its id is the b2 of that. The parent is the id of the certificate by which its issuer has the right, and zero if the issuer is the
// account. Delegations is how many certificates may follow it. A query must be within each certificate of the chain: no apps
// means every app, no paths means every path; a path covers itself and what is below it, and of a query for a covered path no
// segment may be "." or "..".
//
// What is sent along with a query:
//
//	1 | worker[32] | signed u64 | expiry u64 | nonce bytes | account[32] | chain vec<link> | proof
//	link  = delegate[32] | expiry u64 | delegations u8 | apps vec<[32]> | paths vec<string> | proof
//	proof = type u8 | key bytes (32 for types 0, 1, 3, 4, else none) | signature bytes
//
// Type 6 signs the same facts as typed data in the domain {name "Troupe", version "1"}, without chain and contract:
//
//	Query(bytes32 worker,uint64 signed,uint64 expiry,bytes nonce,bytes32 account,bytes32 certificate,bytes32 app,string path,bytes32 payload)
//	Certificate(bytes32 parent,bytes32 delegate,uint64 expiry,uint8 delegations,bytes32[] apps,string[] paths)
//
// with a zero certificate if there is none, and b2(payload) as payload.
//
// # Sealed queries
//
// The sender makes an sr25519 key for this query only, and agrees with the worker's key on a secret (Diffie-Hellman over Ristretto).
// HKDF-SHA256 of it, with both public keys as salt, the sender's first, and the info "troupe sealed query 1" or "troupe sealed
// reply 1", is the key for the way there or back. Each way is nonce[12] | AES-256-GCM; a reply authenticates the b2 of the sealed
// query. What is sealed of a query:
//
//	app[32] | path string | payload bytes | option<signature bytes>
//
// # Lifecycle
//
// [New] makes a Verifier; it needs no end. [Verifier.SetWorker] follows a rotation of the worker key.
//
// # Concurrency
//
// Everything may be called by anybody. A signature is verified without a lock.
//
// # Failure
//
// Each reason to refuse has a code of its own: caller.signature_expired, _scope, _worker, _replayed, and _invalid for the rest;
// caller.sealed_query. What is refused leaves no trace.
//
// # Limits
//
// A signature lives for at most MaxLifetime, and is not from the future by more than MaxSkew. The nonces that were seen are kept
// until their signatures have expired: at most Config.MaxSeen, of one app no more than are left for the others, and more is refused as busy.queue_full, since a nonce that is forgotten
// too early is a query that can be repeated. A Verifier that begins refuses what was signed before, for it cannot know what its
// predecessor has seen; what is left is a query whose sender's clock is ahead, repeated to a host that started again within MaxSkew.
// If the clock of the host goes back, what expired by its earlier time stays expired.
package origin
