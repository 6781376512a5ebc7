package meter

import (
	"fmt"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/scale"
)

// Content says what a worker signed, so that no message passes for one of another kind.
type Content uint8

// The kinds of content.
const (
	RPCResponse       Content = 1
	EndpointInfo      Content = 2
	MetricsReport     Content = 100
	AppData           Content = 101
	WorkerAttestation Content = 102
	WorkerDescribed   Content = 103
	SessionUpdated    Content = 104
)

// Message returns the bytes that are signed for a body: 0xff, the kind, and the body.
func Message(c Content, body []byte) []byte { return append([]byte{0xff, byte(c)}, body...) }

// AppMessage returns the bytes that are signed when an app has its data signed.
func AppMessage(app [32]byte, data []byte) []byte { return Message(AppData, append(app[:], data...)) }

// SessionID returns the id of the worker session: the BLAKE2b-256 of the worker's nonce and of the nonce last seen on chain.
func SessionID(cnonce [32]byte, pnonce []byte) [32]byte {
	return blake2b.Sum256(append(cnonce[:], pnonce...))
}

// Bounds of messages.
const (
	MaxApps           = 64  // of one report
	maxSignatureBytes = 128 // of the field; signatures have 64
	metricsBytes      = 160
)

// Report is what a worker said that its apps have used.
type Report struct {
	Token  Token
	Apps   []Metrics
	Worker [32]byte
}

// EncodeReport returns the payload of a report, of version 0, without signature.
//
// # Errors
//
// caller.invalid_request for more than MaxApps apps.
func EncodeReport(t Token, apps []Metrics) ([]byte, error) {
	if len(apps) > MaxApps {
		return nil, tooMuch("report", "%d apps, above the limit of %d", len(apps), MaxApps)
	}
	var e scale.Encoder
	e.U8(0)
	t.encode(&e)
	e.Len(len(apps))
	for i := range apps {
		apps[i].encode(&e)
	}
	return e.Encoded(), nil
}

// SignReport returns a signed report, as OpenReport reads it.
//
// # Errors
//
// Those of EncodeReport.
func SignReport(k *Key, t Token, apps []Metrics) ([]byte, error) {
	payload, err := EncodeReport(t, apps)
	if err != nil {
		return nil, err
	}
	return signed(k, MetricsReport, payload), nil
}

// OpenReport reads a signed report and verifies that its worker signed it. Whose worker it is, and whether the token is newer
// than the last, is for the caller to say.
//
// # Errors
//
// caller.invalid_request, caller.signature_invalid.
func OpenReport(b []byte) (Report, error) {
	d := scale.NewDecoder(b)
	r := Report{}
	d.Enum(0)
	r.Token = decodeToken(d)
	if n := d.Len(MaxApps, metricsBytes); n > 0 {
		r.Apps = make([]Metrics, n)
		for i := range r.Apps {
			r.Apps[i] = decodeMetrics(d)
		}
	}
	var err error
	if r.Worker, err = opened(d, MetricsReport, b); err != nil {
		return Report{}, err
	}
	return r, nil
}

// signed returns a payload, its signature and the signer.
func signed(k *Key, c Content, payload []byte) []byte {
	var e scale.Encoder
	e.Raw(payload)
	sig := k.Sign(Message(c, payload))
	e.Bytes(sig[:])
	e.Raw(k.public[:])
	return e.Encoded()
}

// opened reads what follows a payload, which d has just read from b, and returns the signer.
func opened(d *scale.Decoder, c Content, b []byte) (worker [32]byte, err error) {
	payload := b[:d.Offset()]
	sig := d.Bytes(maxSignatureBytes)
	d.Fixed(worker[:])
	if err := d.End(); err != nil {
		return worker, err
	}
	if !Verify(worker, Message(c, payload), sig) {
		return worker, badSignature(fmt.Sprintf("message of worker %x", worker))
	}
	return worker, nil
}

func badSignature(of string) error {
	return fault.New(fault.CallerSignature, "verify", of, nil).WithHint("the message was changed, or another key signed it")
}

func tooMuch(what, format string, args ...any) error {
	return fault.New(fault.CallerInvalid, what, "", fmt.Errorf(format, args...))
}

// Encode returns the 72 bytes of a token.
func (t Token) Encode() []byte {
	var e scale.Encoder
	t.encode(&e)
	return e.Encoded()
}

func (t Token) encode(e *scale.Encoder) {
	e.U64(t.SN)
	e.Raw(t.Session[:])
	e.Raw(t.Nonce[:])
}

// DecodeToken reads what Encode returned.
//
// # Errors
//
// caller.invalid_request.
func DecodeToken(b []byte) (Token, error) {
	d := scale.NewDecoder(b)
	t := decodeToken(d)
	return t, d.End()
}

func decodeToken(d *scale.Decoder) Token {
	t := Token{SN: d.U64()}
	d.Fixed(t.Session[:])
	d.Fixed(t.Nonce[:])
	return t
}

// Encode returns the 160 bytes of the metrics of an app.
func (m *Metrics) Encode() []byte {
	var e scale.Encoder
	m.encode(&e)
	return e.Encoded()
}

func (m *Metrics) encode(e *scale.Encoder) {
	e.Raw(m.Address[:])
	e.Raw(m.Session[:])
	e.U64(m.RunningTimeMS)
	e.U64(m.Gas)
	e.U64(m.NetworkIngress)
	e.U64(m.NetworkEgress)
	e.U64(m.StorageRead)
	e.U64(m.StorageWrite)
	e.U128(m.StorageUsed.Lo, m.StorageUsed.Hi)
	e.U128(m.MemoryUsed.Lo, m.MemoryUsed.Hi)
	e.U64(m.Tip)
	e.U64(m.Starts)
}

// DecodeMetrics reads what Encode returned.
//
// # Errors
//
// caller.invalid_request.
func DecodeMetrics(b []byte) (Metrics, error) {
	d := scale.NewDecoder(b)
	m := decodeMetrics(d)
	return m, d.End()
}

func decodeMetrics(d *scale.Decoder) Metrics {
	var m Metrics
	d.Fixed(m.Address[:])
	d.Fixed(m.Session[:])
	m.RunningTimeMS = d.U64()
	m.Gas = d.U64()
	m.NetworkIngress = d.U64()
	m.NetworkEgress = d.U64()
	m.StorageRead = d.U64()
	m.StorageWrite = d.U64()
	m.StorageUsed.Lo, m.StorageUsed.Hi = d.U128()
	m.MemoryUsed.Lo, m.MemoryUsed.Hi = d.U128()
	m.Tip = d.U64()
	m.Starts = d.U64()
	return m
}
