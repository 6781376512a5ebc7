package meter

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
)

func fill(b byte) [32]byte { return [32]byte(bytes.Repeat([]byte{b}, 32)) }

var known = Metrics{Address: fill(2), Session: fill(1), RunningTimeMS: 60000, Gas: 20, NetworkIngress: 1, NetworkEgress: 2, Tip: 10, Starts: 1}

func TestSessionID(t *testing.T) {
	pnonce := fill(1)
	for _, c := range []struct {
		pnonce []byte
		want   string
	}{
		{nil, "d9818087de7244abc1b5fcf28e55e42c7ff9c678c0605181f37ac5d7414a7b95"},
		{pnonce[:], "abec1d2f9c43a6c16dd2de57c89d8b412563a515ef6566e731b0c5ee4cb62aba"},
	} {
		if got := SessionID(fill(2), c.pnonce); hex.EncodeToString(got[:]) != c.want {
			t.Errorf("%x, want %s", got, c.want)
		}
	}
}

func TestReportVector(t *testing.T) {
	payload, err := EncodeReport(Token{SN: 1, Session: fill(1), Nonce: fill(3)}, []Metrics{known})
	if err != nil || len(payload) != 234 {
		t.Fatal(len(payload), err)
	}
	sum := blake2b.Sum256(Message(MetricsReport, payload))
	if got := hex.EncodeToString(sum[:]); got != "2962683facd022c540bf3307ce12955c96e0b47257c1f677410953c7c23d022a" {
		t.Error(got)
	}
}

func TestEncodingOfMetrics(t *testing.T) {
	m := known
	m.StorageRead, m.StorageWrite, m.StorageUsed, m.MemoryUsed = 3, 4, Uint128{5, 6}, Uint128{7, 8}
	want := strings.Repeat("02", 32) + strings.Repeat("01", 32) + "60ea000000000000" + "1400000000000000" + "0100000000000000" + "0200000000000000" +
		"0300000000000000" + "0400000000000000" + "05000000000000000600000000000000" + "07000000000000000800000000000000" +
		"0a00000000000000" + "0100000000000000"
	if got := hex.EncodeToString(m.Encode()); got != want || len(got) != 320 {
		t.Errorf("%s, want %s", got, want)
	}
	if back, err := DecodeMetrics(m.Encode()); back != m || err != nil {
		t.Error(back, err)
	}
	token := Token{math.MaxUint64, fill(1), fill(3)}
	if back, err := DecodeToken(token.Encode()); back != token || err != nil || len(token.Encode()) != 72 {
		t.Error(back, err)
	}
	if _, err := DecodeToken(append(token.Encode(), 0)); !errors.Is(err, fault.CallerInvalid) {
		t.Error(err)
	}
}

func TestReports(t *testing.T) {
	k := root()
	for _, n := range []int{0, 1, 2, 63, MaxApps} {
		want := Report{Token: Token{SN: uint64(n), Session: fill(1), Nonce: fill(3)}, Worker: k.Public()}
		for i := range n {
			m := known
			m.Address = fill(byte(i))
			want.Apps = append(want.Apps, m)
		}
		b, err := SignReport(k, want.Token, want.Apps)
		if err != nil {
			t.Fatal(n, err)
		}
		got, err := OpenReport(b)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(n, err, diff)
		}
	}
	if _, err := SignReport(k, Token{}, make([]Metrics, MaxApps+1)); !errors.Is(err, fault.CallerInvalid) {
		t.Error("65 apps", err)
	}
}

// No bit of a report is free, and a signature over the same bytes as another content is none.
func TestReportsCannotBeChanged(t *testing.T) {
	k := root()
	b, err := SignReport(k, Token{1, fill(1), fill(3)}, []Metrics{known})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(b) {
		bad := bytes.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		r, err := OpenReport(bad)
		if !errors.Is(err, fault.CallerSignature) && !errors.Is(err, fault.CallerInvalid) {
			t.Fatalf("bit %d: %v", i, err)
		}
		if r.Apps != nil {
			t.Fatalf("bit %d: apps of a report that is none", i)
		}
	}
	for n := range b {
		if _, err := OpenReport(b[:n]); !errors.Is(err, fault.CallerInvalid) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, err := OpenReport(append(bytes.Clone(b), 0)); !errors.Is(err, fault.CallerInvalid) {
		t.Error(err)
	}
	payload := b[:234]
	for _, c := range []Content{0, RPCResponse, EndpointInfo, AppData, WorkerAttestation, WorkerDescribed, SessionUpdated, 255} {
		if _, err := OpenReport(signed(k, c, payload)); !errors.Is(err, fault.CallerSignature) {
			t.Errorf("content %d: %v", c, err)
		}
	}
	if _, err := OpenReport(signed(k, MetricsReport, payload)); err != nil {
		t.Error(err)
	}
}

func TestSessionUpdates(t *testing.T) {
	k := root()
	want := SessionUpdate{Session: SessionID(fill(2), nil), Nonce: fill(2), Recipient: []byte{1, 2}}
	session := want.Session
	if got := hex.EncodeToString(want.Encode()); got != hex.EncodeToString(session[:])+strings.Repeat("02", 32)+"080102" {
		t.Error(got)
	}
	b, err := SignSessionUpdate(k, want)
	if err != nil {
		t.Fatal(err)
	}
	got, worker, err := OpenSessionUpdate(b)
	if diff := cmp.Diff(want, got); diff != "" || err != nil || worker != k.Public() {
		t.Error(err, diff)
	}
	if back, err := DecodeSessionUpdate(want.Encode()); !cmp.Equal(want, back) || err != nil {
		t.Error(back, err)
	}
	b[0] ^= 1
	if got, _, err := OpenSessionUpdate(b); !errors.Is(err, fault.CallerSignature) || got.Recipient != nil {
		t.Error(got, err)
	}
	want.Recipient = make([]byte, 33)
	if _, err := SignSessionUpdate(k, want); !errors.Is(err, fault.CallerInvalid) {
		t.Error(err)
	}
	if _, err := DecodeSessionUpdate(want.Encode()); !errors.Is(err, fault.CallerInvalid) {
		t.Error(err)
	}
}

func TestEndpoints(t *testing.T) {
	k := root()
	now := time.UnixMilli(0x0102030405).UTC()
	payload, sig, err := SignEndpoints(k, []string{"http://a"}, now)
	if err != nil || !Verify(k.Public(), Message(EndpointInfo, payload), sig[:]) {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(payload); got != k.String()+"00"+"04"+"20"+hex.EncodeToString([]byte("http://a"))+"0504030201000000" {
		t.Error(got)
	}
	got, err := DecodeEndpoints(payload)
	if diff := cmp.Diff(Endpoints{k.Public(), []string{"http://a"}, now}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for name, list := range map[string][]string{"65": make([]string, 65), "long": {strings.Repeat("a", 513)}, "not UTF-8": {"\xff"}} {
		if _, _, err := SignEndpoints(k, list, now); !errors.Is(err, fault.CallerInvalid) {
			t.Error(name, err)
		}
	}
	if _, _, err := SignEndpoints(k, nil, time.Unix(-1, 0)); !errors.Is(err, fault.CallerInvalid) {
		t.Error(err)
	}
}

func TestDescriptions(t *testing.T) {
	k := root()
	want := Description{Prices: Prices{Gas: &Uint128{1, 2}, Tip: &Uint128{}}, Text: "ä"}
	const bytes = "00" + "01" + "01000000000000000200000000000000" + "000000000000" + "01" + "00000000000000000000000000000000" + "08c3a4"
	if got := hex.EncodeToString(want.Encode()); got != bytes {
		t.Errorf("%s, want %s", got, bytes)
	}
	b, err := SignDescription(k, want)
	if err != nil {
		t.Fatal(err)
	}
	got, worker, err := OpenDescription(b)
	if diff := cmp.Diff(want, got); diff != "" || err != nil || worker != k.Public() {
		t.Error(err, diff)
	}
	if back, err := DecodeDescription(want.Encode()); !cmp.Equal(want, back) || err != nil {
		t.Error(back, err)
	}
	b[len(b)-1] ^= 1
	if _, _, err := OpenDescription(b); !errors.Is(err, fault.CallerSignature) {
		t.Error(err)
	}
	for _, text := range []string{strings.Repeat("a", 1025), "\xff"} {
		if _, err := SignDescription(k, Description{Text: text}); !errors.Is(err, fault.CallerInvalid) {
			t.Error(err)
		}
	}
}

func TestRegistrations(t *testing.T) {
	operator := fill(9)
	r := NewRegistration(fill(1), fill(2), &operator, 2035)
	want := "00000300" + "00" + strings.Repeat("01", 64) + strings.Repeat("02", 32) + "00" + "01" + strings.Repeat("09", 32) + "f3070000" + "00000000"
	if got := hex.EncodeToString(r.Encode()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	data := r.ReportData()
	if sum := blake2b.Sum256(r.Encode()); !bytes.Equal(data[:32], sum[:]) || !bytes.Equal(data[32:], make([]byte, 32)) {
		t.Errorf("%x", data)
	}
	full := r
	full.MachineID, full.Features, full.MaxConsensusVersion = []byte{1}, []uint32{4, 5}, 6
	for _, r := range []Registration{r, full, NewRegistration(fill(1), fill(2), nil, 1)} {
		back, err := DecodeRegistration(r.Encode())
		if diff := cmp.Diff(r, back); diff != "" || err != nil {
			t.Error(err, diff)
		}
		if _, err := DecodeRegistration(append(r.Encode(), 0)); !errors.Is(err, fault.CallerInvalid) {
			t.Error(err)
		}
	}
}

func TestScores(t *testing.T) {
	k := root()
	score := BenchScore{GasPerSecond: 500, GasConsumed: 10000, Timestamp: 7, Token: Token{3, fill(1), fill(2)}}
	want := "00" + "f401000000000000" + "1027000000000000" + "0700000000000000" + "0300000000000000" + strings.Repeat("01", 32) + strings.Repeat("02", 32)
	if got := hex.EncodeToString(score.Encode()); got != want || len(got) != 2*97 {
		t.Errorf("%s, want %s", got, want)
	}
	if back, err := DecodeBenchScore(score.Encode()); back != score || err != nil {
		t.Error(back, err)
	}
	m := SignBenchScore(k, fill(4), score)
	b := m.Encode()
	back, err := OpenSignedMessage(b)
	if diff := cmp.Diff(m, back); diff != "" || err != nil || len(b) != 97+2+64+32+32 {
		t.Error(len(b), err, diff)
	}
	if !Verify(k.Public(), append(append([]byte{0xff, 101}, bytes.Repeat([]byte{4}, 32)...), score.Encode()...), m.Signature[:]) {
		t.Error("signed are other bytes than what an app has signed")
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x40
		if _, err := OpenSignedMessage(bad); !errors.Is(err, fault.CallerSignature) && !errors.Is(err, fault.CallerInvalid) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
}

// FuzzOpenReport opens hostile bytes as every kind of message: nothing panics, and what is decoded is encoded to the same bytes.
func FuzzOpenReport(f *testing.F) {
	k := root()
	report, _ := SignReport(k, Token{SN: 1}, []Metrics{known})
	update, _ := SignSessionUpdate(k, SessionUpdate{Recipient: []byte{1}})
	described, _ := SignDescription(k, Description{Prices: Prices{Tip: &Uint128{1, 2}}, Text: "x"})
	endpoints, _, _ := SignEndpoints(k, []string{"a"}, time.UnixMilli(1))
	for _, b := range [][]byte{report, update, described, endpoints, SignBenchScore(k, fill(1), BenchScore{}).Encode(),
		NewRegistration(fill(1), fill(2), nil, 3).Encode(), (SessionUpdate{}).Encode(), (Description{}).Encode()} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(kind string, err error, again func() []byte) {
			if err == nil && !bytes.Equal(again(), b) {
				t.Fatalf("%s: %x became %x", kind, b, again())
			}
			if err != nil && !errors.Is(err, fault.Caller) {
				t.Fatalf("%s: %v", kind, err)
			}
		}
		r, err := OpenReport(b)
		same("report", err, func() []byte {
			payload, err := EncodeReport(r.Token, r.Apps)
			if err != nil {
				t.Fatal(err)
			}
			return append(payload, b[len(payload):]...)
		})
		u, err := DecodeSessionUpdate(b)
		same("session update", err, u.Encode)
		w, err := DecodeDescription(b)
		same("description", err, func() []byte { return w.Encode() })
		p, err := DecodeEndpoints(b)
		same("endpoints", err, func() []byte { return p.Encode() })
		g, err := DecodeRegistration(b)
		same("registration", err, func() []byte { return g.Encode() })
		s, err := DecodeBenchScore(b)
		same("score", err, func() []byte { return s.Encode() })
		m, err := OpenSignedMessage(b)
		same("signed score", err, func() []byte { return m.Encode() })
		_, _, err = OpenSessionUpdate(b)
		same("signed session update", err, func() []byte { return b })
		_, _, err = OpenDescription(b)
		same("signed description", err, func() []byte { return b })
	})
}
