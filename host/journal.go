package host

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/blob"
	"github.com/troupehost/troupe/artifacts/db"
)

// Keys in the database "state", each followed by the id of a job.
const (
	prefixRecord = "jr" // its record
	prefixSpec   = "js" // its body
	prefixOut    = "jx" // what came out of it
	clockKey     = "jc" // the clock that counts how long jobs are kept
)

// Names of blobs: the code of any job; the body and the output of one.
const (
	codeName = "jobs"
	specName = "job/"
	outName  = "out/"
)

const (
	inlineBytes = 16 << 10 // what is not larger stands beside the record
	recordBytes = 512      // about what a record and its keys take
	codeStripes = 16
)

// journal is the disk as the jobs actor sees it. Records, small bodies and small results are written by group commit; what
// is larger is a blob, which is named before the record that mentions it and forgotten after it.
type journal struct {
	db     *db.DB
	commit *db.Committer
	blobs  *blob.Store
	limit  int64
	code   [codeStripes]sync.Mutex // held while the use of a code begins or ends; taken before mu

	mu    sync.Mutex
	bytes int64 // of what is no blob
	kept  map[string]keptJob
	codes map[blob.Hash]int // jobs that use a code; 0 while it is being stored
	first []jobs.Record     // what open has read, for the first Load
	clock time.Duration
	last  string // the newest id
}

type keptJob struct {
	settled   bool
	bytes     int64
	code      blob.Hash
	spec, out *blob.Hash
}

// openJournal reads the records, and sweeps the blobs of jobs that are not there.
func openJournal(ctx context.Context, d *db.DB, blobs *blob.Store, limit int64) (*journal, error) {
	j := &journal{db: d, commit: db.NewCommitter(d), blobs: blobs, limit: limit, kept: map[string]keptJob{}, codes: map[blob.Hash]int{}}
	records, clock, err := j.read()
	if err != nil {
		return nil, err
	}
	j.first, j.clock = records, clock
	for _, r := range records {
		j.kept[r.ID] = keptJob{settled: r.State == run.JobSettled, bytes: recordBytes, code: blob.Hash(r.Code)}
		j.codes[blob.Hash(r.Code)]++
		j.last = max(j.last, r.ID)
	}
	var litter [][]byte
	for _, prefix := range []string{prefixSpec, prefixOut} {
		err := d.Scan([]byte(prefix), func(k, v []byte) error {
			o, ok := j.kept[string(k[len(prefix):])]
			if !ok {
				litter = append(litter, slices.Clone(k))
				return nil
			}
			o.bytes += int64(len(v))
			switch {
			case prefix == prefixSpec:
				o.spec = specBlob(v)
			default:
				o.out = decodeOut(v).Blob
			}
			j.kept[string(k[len(prefix):])] = o
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, o := range j.kept {
		j.bytes += o.bytes
	}
	for part := range slices.Chunk(litter, 1024) {
		_ = d.Remove(ctx, part...) // what cannot be removed now is only space
	}
	_ = blobs.Sweep(ctx, func(h blob.Hash, name string) bool {
		if name == codeName {
			return j.codes[h] > 0
		}
		if id, ok := cut(name, specName); ok {
			return j.kept[id].spec != nil && *j.kept[id].spec == h
		}
		if id, ok := cut(name, outName); ok {
			return j.kept[id].out != nil && *j.kept[id].out == h
		}
		return true
	})
	return j, nil
}

func cut(name, prefix string) (string, bool) {
	if len(name) < len(prefix) || name[:len(prefix)] != prefix {
		return "", false
	}
	return name[len(prefix):], true
}

func (j *journal) read() (records []jobs.Record, clock time.Duration, err error) {
	err = j.db.Scan([]byte(prefixRecord), func(k, v []byte) error {
		var r jobs.Record
		if err := json.Unmarshal(v, &r); err != nil || r.ID != string(k[len(prefixRecord):]) {
			return fault.New(fault.HostDiskIO, "read job", fault.Quote(string(k[len(prefixRecord):])), errors.Join(err, errors.New("the record is damaged")))
		}
		records = append(records, r)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	err = j.db.Get([]byte(clockKey), func(v []byte) error {
		if len(v) == 8 {
			clock = time.Duration(binary.BigEndian.Uint64(v))
		}
		return nil
	})
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return nil, 0, err
	}
	return records, clock, nil
}

// Load implements jobs.Journal.
func (j *journal) Load(context.Context) ([]jobs.Record, time.Duration, error) {
	j.mu.Lock()
	first, clock := j.first, j.clock
	j.first = nil
	j.mu.Unlock()
	if first != nil {
		return first, clock, nil
	}
	return j.read()
}

// SaveClock implements jobs.Journal.
func (j *journal) SaveClock(ctx context.Context, kept time.Duration) error {
	return j.commit.Write(ctx, db.Op{Key: []byte(clockKey), Value: binary.BigEndian.AppendUint64(nil, uint64(kept))})
}

// Write implements jobs.Journal.
func (j *journal) Write(ctx context.Context, r jobs.Record, body *jobs.Body, out *cache.Answer) (bool, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return false, fault.New(fault.BugUnexpected, "write job", r.ID, err)
	}
	ops := []db.Op{{Key: jobKey(prefixRecord, r.ID), Value: value}}
	switch {
	case body != nil:
		return false, j.begin(ctx, r, body, ops)
	case out != nil:
		err = j.settle(ctx, r, out, ops)
	default:
		err = j.commit.Write(ctx, ops...)
	}
	if err == nil && r.State == run.JobSettled {
		j.mu.Lock()
		if k, ok := j.kept[r.ID]; ok {
			k.settled = true
			j.kept[r.ID] = k
		}
		j.mu.Unlock()
	}
	return j.total() > j.limit, err
}

// begin writes a new job.
func (j *journal) begin(ctx context.Context, r jobs.Record, body *jobs.Body, ops []db.Op) error {
	o := keptJob{bytes: recordBytes, code: blob.Hash(r.Code)}
	need := o.bytes + int64(len(body.Spec))
	if !j.blobs.Has(o.code) {
		need += int64(len(body.Code))
	}
	if j.total()+need > j.limit {
		if !body.Fits && j.total()-j.freed()+need > j.limit {
			return fault.New(fault.CallerQuota, "submit", "", jobs.ErrNeverFits).WithHint("submit less, wait until other jobs have ended, or raise JobBytes")
		}
		body.Fits = true
		return fault.New(fault.CallerQuota, "submit", "", nil).WithHint("wait until older jobs have expired, or raise JobBytes")
	}
	if err := j.useCode(ctx, o.code, body.Code); err != nil {
		return err
	}
	spec := append([]byte{0}, body.Spec...)
	if len(body.Spec) > inlineBytes {
		h, err := j.blobs.Put(ctx, body.Spec, specName+r.ID)
		if err != nil {
			j.dropCode(ctx, o.code)
			return err
		}
		o.spec, spec = &h, append([]byte{1}, h[:]...)
	}
	o.bytes += int64(len(spec))
	if err := j.commit.Write(ctx, append(ops, db.Op{Key: jobKey(prefixSpec, r.ID), Value: spec})...); err != nil {
		j.dropCode(ctx, o.code)
		j.unref(ctx, o.spec, specName+r.ID)
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept[r.ID] = o
	j.bytes += o.bytes
	return nil
}

// output is what came out of a job. The receipt has no output; that stands in Output or in a blob.
type output struct {
	Receipt run.Receipt `json:"receipt"`
	Output  *streams    `json:"output,omitempty"`
	Blob    *blob.Hash  `json:"blob,omitempty"`
}

type streams struct {
	Result, Stdout, Stderr []byte
}

func decodeOut(b []byte) (o output) {
	_ = json.Unmarshal(b, &o) // a record that cannot be read has no output
	return o
}

// settle writes the end of a job.
func (j *journal) settle(ctx context.Context, r jobs.Record, out *cache.Answer, ops []db.Op) error {
	artifact := ""
	if !out.Meta.Key.IsZero() {
		artifact = out.Meta.Key.String()
	}
	receipt := emptyReceipt(r.Code.String(), artifact)
	receipt.Params = r.Params
	receipt = fill(receipt, *out, Request{})
	all := &streams{receipt.Result, receipt.Stdout, receipt.Stderr}
	receipt.Result, receipt.Stdout, receipt.Stderr = nil, nil, nil
	o := output{Receipt: receipt, Output: all}
	if len(all.Result)+len(all.Stdout)+len(all.Stderr) > inlineBytes {
		text, err := json.Marshal(all)
		if err != nil {
			return fault.New(fault.BugUnexpected, "write job", r.ID, err)
		}
		h, err := j.blobs.PutPromised(ctx, text, outName+r.ID)
		if err != nil {
			return err
		}
		o.Output, o.Blob = nil, &h
	}
	value, err := json.Marshal(o)
	if err != nil {
		return fault.New(fault.BugUnexpected, "write job", r.ID, err)
	}
	if err := j.commit.Write(ctx, append(ops, db.Op{Key: jobKey(prefixOut, r.ID), Value: value})...); err != nil {
		return err // it is tried again, with the same blob
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	k := j.kept[r.ID]
	k.bytes += int64(len(value))
	k.out = o.Blob
	j.kept[r.ID] = k
	j.bytes += int64(len(value))
	return nil
}

// Erase implements jobs.Journal. The blobs go last: what is not taken back now is swept at the next start.
func (j *journal) Erase(ctx context.Context, ids []string) error {
	keys := make([][]byte, 0, 3*len(ids))
	for _, id := range ids {
		keys = append(keys, jobKey(prefixRecord, id), jobKey(prefixSpec, id), jobKey(prefixOut, id))
	}
	if err := j.db.Remove(ctx, keys...); err != nil {
		return err
	}
	for _, id := range ids {
		j.mu.Lock()
		o, ok := j.kept[id]
		delete(j.kept, id)
		j.bytes -= o.bytes
		j.mu.Unlock()
		if ok {
			j.dropCode(ctx, o.code)
			j.unref(ctx, o.spec, specName+id)
			j.unref(ctx, o.out, outName+id)
		}
	}
	return nil
}

// Spec returns the body of a job.
func (j *journal) Spec(ctx context.Context, id string) ([]byte, error) {
	var b []byte
	err := j.db.Get(jobKey(prefixSpec, id), func(v []byte) error {
		b = slices.Clone(v)
		return nil
	})
	switch {
	case errors.Is(err, db.ErrNotFound) || err == nil && len(b) == 0:
		return nil, fault.New(fault.CallerNotFound, "job", id, nil)
	case err != nil:
		return nil, err
	}
	if h := specBlob(b); h != nil {
		return j.blobs.Get(ctx, *h)
	}
	return b[1:], nil
}

// Receipt returns the receipt of a job, with or without its output; nil if there is none.
func (j *journal) Receipt(ctx context.Context, id string, withOutput bool) (*run.Receipt, error) {
	var o output
	err := j.db.Get(jobKey(prefixOut, id), func(v []byte) error {
		o = decodeOut(v)
		return nil
	})
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !withOutput {
		return &o.Receipt, nil
	}
	if o.Blob != nil {
		text, err := j.blobs.Get(ctx, *o.Blob)
		if err != nil {
			return nil, err
		}
		o.Output = &streams{}
		if err := json.Unmarshal(text, o.Output); err != nil {
			return nil, fault.New(fault.HostDiskIO, "read job", id, err)
		}
	}
	if o.Output != nil {
		o.Receipt.Result, o.Receipt.Stdout, o.Receipt.Stderr = o.Output.Result, o.Output.Stdout, o.Output.Stderr
	}
	return &o.Receipt, nil
}

// useCode counts one more job, or submission, that uses a code, and names its blob for the first. Without the bytes the code
// must be there, else it is caller.not_found.
func (j *journal) useCode(ctx context.Context, h blob.Hash, code []byte) error {
	lock := &j.code[h[0]%codeStripes]
	lock.Lock()
	defer lock.Unlock()
	if j.countCode(h, 0) == 0 {
		var err error
		if code != nil {
			_, err = j.blobs.Put(ctx, code, codeName)
		} else {
			err = j.blobs.Ref(ctx, h, codeName)
		}
		if err != nil {
			return err
		}
	}
	j.countCode(h, 1)
	return nil
}

func (j *journal) dropCode(ctx context.Context, h blob.Hash) {
	lock := &j.code[h[0]%codeStripes]
	lock.Lock()
	defer lock.Unlock()
	if j.countCode(h, -1) == 0 {
		j.unref(ctx, &h, codeName)
	}
}

func (j *journal) countCode(h blob.Hash, by int) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := j.codes[h] + by
	if j.codes[h] = n; n == 0 {
		delete(j.codes, h)
	}
	return n
}

// unref takes the name of a blob back; what fails is swept at the next start.
func (j *journal) unref(ctx context.Context, h *blob.Hash, name string) {
	if h != nil {
		_ = j.blobs.Unref(context.WithoutCancel(ctx), *h, name)
	}
}

func (j *journal) total() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes + j.blobs.Bytes()
}

// freed returns how many bytes there are to gain when all settled jobs are forgotten.
func (j *journal) freed() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	n, users, mine := int64(0), map[blob.Hash]int{}, map[blob.Hash]map[string]bool{}
	add := func(h *blob.Hash, name string) {
		if h == nil {
			return
		}
		if mine[*h] == nil {
			mine[*h] = map[string]bool{}
		}
		mine[*h][name] = true
	}
	for id, o := range j.kept {
		if !o.settled {
			continue
		}
		n += o.bytes
		add(o.spec, specName+id)
		add(o.out, outName+id)
		if users[o.code]++; users[o.code] == j.codes[o.code] { // the last that uses it
			add(&o.code, codeName)
		}
	}
	for h, names := range mine {
		n += j.blobs.Freed(h, func(name string) bool { return names[name] })
	}
	return n
}

func jobKey(prefix, id string) []byte { return append([]byte(prefix), id...) }

// specBlob returns where a body is that does not stand in its value.
func specBlob(v []byte) *blob.Hash {
	if len(v) != 1+len(blob.Hash{}) || v[0] != 1 {
		return nil
	}
	h := blob.Hash(v[1:])
	return &h
}
