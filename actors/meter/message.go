package meter

import (
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/artifacts/scale"
)

// Bounds of messages, in bytes unless said otherwise.
const (
	MaxRecipientBytes   = 32
	MaxEndpoints        = 64 // of one message
	MaxEndpointBytes    = 512
	MaxDescriptionBytes = 1024
	MaxMachineIDBytes   = 64
	MaxFeatures         = 64 // of one registration
)

// SessionUpdate says that a worker has opened a session.
type SessionUpdate struct {
	Session   [32]byte // see SessionID
	Nonce     [32]byte // the cnonce
	Recipient []byte   // account that is paid; at most MaxRecipientBytes
}

// Encode returns what is signed.
func (u SessionUpdate) Encode() []byte {
	var e scale.Encoder
	e.Raw(u.Session[:])
	e.Raw(u.Nonce[:])
	e.Bytes(u.Recipient)
	return e.Encoded()
}

// DecodeSessionUpdate reads what Encode returned.
//
// # Errors
//
// caller.invalid_request.
func DecodeSessionUpdate(b []byte) (SessionUpdate, error) {
	d := scale.NewDecoder(b)
	u := decodeSessionUpdate(d)
	return u, d.End()
}

func decodeSessionUpdate(d *scale.Decoder) SessionUpdate {
	var u SessionUpdate
	d.Fixed(u.Session[:])
	d.Fixed(u.Nonce[:])
	u.Recipient = d.Bytes(MaxRecipientBytes)
	return u
}

// SignSessionUpdate returns the update, its signature and the worker's key.
//
// # Errors
//
// caller.invalid_request if the recipient is too long.
func SignSessionUpdate(k *Key, u SessionUpdate) ([]byte, error) {
	if n := len(u.Recipient); n > MaxRecipientBytes {
		return nil, tooMuch("session update", "a recipient of %d bytes, above the limit of %d", n, MaxRecipientBytes)
	}
	return signed(k, SessionUpdated, u.Encode()), nil
}

// OpenSessionUpdate reads and verifies what SignSessionUpdate returned.
//
// # Errors
//
// caller.invalid_request, caller.signature_invalid.
func OpenSessionUpdate(b []byte) (u SessionUpdate, worker [32]byte, err error) {
	d := scale.NewDecoder(b)
	u = decodeSessionUpdate(d)
	if worker, err = opened(d, SessionUpdated, b); err != nil {
		return SessionUpdate{}, [32]byte{}, err
	}
	return u, worker, nil
}

// Endpoints says where a worker is reached.
type Endpoints struct {
	Worker [32]byte
	List   []string // at most MaxEndpoints of MaxEndpointBytes each
	Signed time.Time
}

// Encode returns what is signed; the time in whole milliseconds. The list is that of version 1.
func (p Endpoints) Encode() []byte {
	var e scale.Encoder
	e.Raw(p.Worker[:])
	e.U8(0)
	e.Strings(p.List)
	e.U64(uint64(p.Signed.UnixMilli()))
	return e.Encoded()
}

// DecodeEndpoints reads what Encode returned.
//
// # Errors
//
// caller.invalid_request.
func DecodeEndpoints(b []byte) (Endpoints, error) {
	d := scale.NewDecoder(b)
	p := Endpoints{}
	d.Fixed(p.Worker[:])
	d.Enum(0)
	p.List = d.Strings(MaxEndpoints, MaxEndpointBytes)
	ms := d.U64()
	if ms > maxMilliseconds {
		d.Fail("a time that is too late")
	}
	if err := d.End(); err != nil {
		return Endpoints{}, err
	}
	p.Signed = time.UnixMilli(int64(ms)).UTC()
	return p, nil
}

const maxMilliseconds = 253402300799999 // the end of the year 9999, so that every time can be printed

// SignEndpoints returns the payload and its signature, which the original's callers get apart.
//
// # Errors
//
// caller.invalid_request for too many or too long ones, and for text that is not UTF-8.
func SignEndpoints(k *Key, list []string, now time.Time) (payload []byte, signature [SignatureBytes]byte, err error) {
	payload = Endpoints{k.Public(), list, now}.Encode()
	if _, err := DecodeEndpoints(payload); err != nil { // which knows the bounds
		return nil, signature, err
	}
	return payload, k.Sign(Message(EndpointInfo, payload)), nil
}

// Prices are what a worker asks for, each for one unit of a total: a second, 1,024 gas, a byte, a megabyte that is stored for a second, a
// kilobyte of memory that is held for one. Nil asks for nothing.
type Prices struct {
	GeneralFeePerSecond        *Uint128
	Gas, NetIngress, NetEgress *Uint128
	StorageRead, StorageWrite  *Uint128
	Storage, Memory, Tip       *Uint128
}

func (p *Prices) each() []**Uint128 {
	return []**Uint128{&p.GeneralFeePerSecond, &p.Gas, &p.NetIngress, &p.NetEgress, &p.StorageRead, &p.StorageWrite, &p.Storage, &p.Memory, &p.Tip}
}

// Description is what a worker says of itself.
type Description struct {
	Prices Prices
	Text   string // at most MaxDescriptionBytes
}

// Encode returns what is signed.
func (w Description) Encode() []byte {
	var e scale.Encoder
	for _, p := range w.Prices.each() {
		e.Option(*p != nil)
		if *p != nil {
			e.U128((*p).Lo, (*p).Hi)
		}
	}
	e.String(w.Text)
	return e.Encoded()
}

// DecodeDescription reads what Encode returned.
//
// # Errors
//
// caller.invalid_request.
func DecodeDescription(b []byte) (Description, error) {
	d := scale.NewDecoder(b)
	w := decodeDescription(d)
	return w, d.End()
}

func decodeDescription(d *scale.Decoder) Description {
	var w Description
	for _, p := range w.Prices.each() {
		if d.Option() {
			var n Uint128
			n.Lo, n.Hi = d.U128()
			*p = &n
		}
	}
	w.Text = d.String(MaxDescriptionBytes)
	return w
}

// SignDescription returns the description, its signature and the worker's key.
//
// # Errors
//
// caller.invalid_request if the text is too long or not UTF-8.
func SignDescription(k *Key, w Description) ([]byte, error) {
	if len(w.Text) > MaxDescriptionBytes || !utf8.ValidString(w.Text) {
		return nil, tooMuch("worker description", "%d bytes of text: at most %d, in UTF-8", len(w.Text), MaxDescriptionBytes)
	}
	return signed(k, WorkerDescribed, w.Encode()), nil
}

// OpenDescription reads and verifies what SignDescription returned.
//
// # Errors
//
// caller.invalid_request, caller.signature_invalid.
func OpenDescription(b []byte) (w Description, worker [32]byte, err error) {
	d := scale.NewDecoder(b)
	w = decodeDescription(d)
	if worker, err = opened(d, WorkerDescribed, b); err != nil {
		return Description{}, [32]byte{}, err
	}
	return w, worker, nil
}

// Registration is what a worker says of itself to a chain: the registration info of version 2.
type Registration struct {
	Version             uint32
	MachineID           []byte // at most MaxMachineIDBytes
	Worker              [32]byte
	ECDH                [32]byte // the same key
	Genesis             [32]byte // hash of the chain's first block
	Features            []uint32 // at most MaxFeatures
	Operator            *[32]byte
	ParaID              uint32
	MaxConsensusVersion uint32
}

// RegistrationVersion is that of workers of apps.
const RegistrationVersion = 3 << 16

// NewRegistration returns what the original's workers say.
func NewRegistration(worker, genesis [32]byte, operator *[32]byte, paraID uint32) Registration {
	return Registration{Version: RegistrationVersion, Worker: worker, ECDH: worker, Genesis: genesis, Operator: operator, ParaID: paraID}
}

// Encode returns what is attested.
func (r Registration) Encode() []byte {
	var e scale.Encoder
	e.U32(r.Version)
	e.Bytes(r.MachineID)
	e.Raw(r.Worker[:])
	e.Raw(r.ECDH[:])
	e.Raw(r.Genesis[:])
	e.Len(len(r.Features))
	for _, f := range r.Features {
		e.U32(f)
	}
	e.Option(r.Operator != nil)
	if r.Operator != nil {
		e.Raw(r.Operator[:])
	}
	e.U32(r.ParaID)
	e.U32(r.MaxConsensusVersion)
	return e.Encoded()
}

// DecodeRegistration reads what Encode returned.
//
// # Errors
//
// caller.invalid_request.
func DecodeRegistration(b []byte) (Registration, error) {
	d := scale.NewDecoder(b)
	r := Registration{Version: d.U32(), MachineID: d.Bytes(MaxMachineIDBytes)}
	d.Fixed(r.Worker[:])
	d.Fixed(r.ECDH[:])
	d.Fixed(r.Genesis[:])
	if n := d.Len(MaxFeatures, 4); n > 0 {
		r.Features = make([]uint32, n)
		for i := range r.Features {
			r.Features[i] = d.U32()
		}
	}
	if d.Option() {
		r.Operator = new([32]byte)
		d.Fixed(r.Operator[:])
	}
	r.ParaID = d.U32()
	r.MaxConsensusVersion = d.U32()
	if err := d.End(); err != nil {
		return Registration{}, err
	}
	return r, nil
}

// ReportData returns the 64 bytes that an attestation of the registration has to hold: its BLAKE2b-256, and zeros.
func (r Registration) ReportData() [64]byte {
	var out [64]byte
	sum := blake2b.Sum256(r.Encode())
	copy(out[:], sum[:])
	return out
}

// BenchScore is how fast a worker is, as the benchmark app found it.
type BenchScore struct {
	GasPerSecond uint64 // in units of Metrics.Gas
	GasConsumed  uint64 // of the app session
	Timestamp    uint64 // seconds of Unix time
	Token        Token
}

// Encode returns what the app has signed: the first of its messages.
func (s BenchScore) Encode() []byte {
	var e scale.Encoder
	e.U8(0)
	e.U64(s.GasPerSecond)
	e.U64(s.GasConsumed)
	e.U64(s.Timestamp)
	s.Token.encode(&e)
	return e.Encoded()
}

// DecodeBenchScore reads what Encode returned.
//
// # Errors
//
// caller.invalid_request.
func DecodeBenchScore(b []byte) (BenchScore, error) {
	d := scale.NewDecoder(b)
	s := decodeBenchScore(d)
	return s, d.End()
}

func decodeBenchScore(d *scale.Decoder) BenchScore {
	d.Enum(0)
	return BenchScore{GasPerSecond: d.U64(), GasConsumed: d.U64(), Timestamp: d.U64(), Token: decodeToken(d)}
}

// SignedMessage is a score with the signature that the worker made for the app.
type SignedMessage struct {
	Score     BenchScore
	Signature [SignatureBytes]byte // of AppMessage(App, Score.Encode())
	Worker    [32]byte
	App       [32]byte
}

// SignBenchScore signs as a worker does when the app asks it to.
func SignBenchScore(k *Key, app [32]byte, s BenchScore) SignedMessage {
	return SignedMessage{Score: s, Signature: k.Sign(AppMessage(app, s.Encode())), Worker: k.Public(), App: app}
}

// Encode returns what is submitted.
func (m SignedMessage) Encode() []byte {
	var e scale.Encoder
	e.Raw(m.Score.Encode())
	e.Bytes(m.Signature[:])
	e.Raw(m.Worker[:])
	e.Raw(m.App[:])
	return e.Encoded()
}

// OpenSignedMessage reads and verifies what Encode returned. Whether the app may score is for the caller to say.
//
// # Errors
//
// caller.invalid_request, caller.signature_invalid.
func OpenSignedMessage(b []byte) (SignedMessage, error) {
	d := scale.NewDecoder(b)
	m := SignedMessage{Score: decodeBenchScore(d)}
	sig := d.Bytes(maxSignatureBytes)
	d.Fixed(m.Worker[:])
	d.Fixed(m.App[:])
	if err := d.End(); err != nil {
		return SignedMessage{}, err
	}
	if !Verify(m.Worker, AppMessage(m.App, m.Score.Encode()), sig) {
		return SignedMessage{}, badSignature(fmt.Sprintf("score of worker %x", m.Worker))
	}
	m.Signature = [SignatureBytes]byte(sig)
	return m, nil
}
