package ingress

import (
	"encoding/binary"
	"encoding/hex"
	"net/http"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
)

// Headers of signed replies and queries.
const (
	HeaderSignature      = "X-Troupe-Signature"       // of a reply: 64 bytes in hex
	HeaderSign           = "X-Troupe-Sign"            // of a request: "no" asks for a reply without signature
	HeaderQuerySignature = "X-Troupe-Query-Signature" // of a query: an encoded signature in hex
	HeaderQueryKey       = "X-Troupe-Query-Key"       // of a sealed query: 32 bytes in hex, the client's public key
)

// MaxSigned is up to how many bytes a reply is signed.
const MaxSigned = 10 << 20

// maxDrain is how much of a request that its app did not read is read to be signed.
const maxDrain = 256 << 10

// ReplyMessage returns what is signed for a reply; see the package comment.
func ReplyMessage(method, target string, body []byte, status int, reply []byte) []byte {
	return replyMessage(method, target, blake2b.Sum256(body), status, reply)
}

func replyMessage(method, target string, body [32]byte, status int, reply []byte) []byte {
	b := make([]byte, 0, 256)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(method)))
	b = append(b, method...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(target)))
	b = append(b, target...)
	b = append(b, body[:]...)
	request := blake2b.Sum256(b)
	sum := blake2b.Sum256(reply)
	b = binary.LittleEndian.AppendUint16(b[:0], uint16(status))
	b = append(b, sum[:]...)
	answer := blake2b.Sum256(b)
	b = append(b[:0], 0xff, 0x01)
	b = append(b, request[:]...)
	return append(b, answer[:]...)
}

// VerifyReply checks a reply that came for a request. verify is meter.Verify.
//
// # Errors
//
// caller.signature_invalid.
func VerifyReply(verify func(public [32]byte, message, signature []byte) bool, public [32]byte, method, target string, body []byte, status int, header http.Header, reply []byte) error {
	sig, err := hex.DecodeString(header.Get(HeaderSignature))
	if err != nil || len(sig) != 64 || !verify(public, ReplyMessage(method, target, body, status, reply), sig) {
		return fault.New(fault.CallerSignature, "verify a reply", "", nil).WithHint("the reply was not made by this worker for this request: do not use it")
	}
	return nil
}
