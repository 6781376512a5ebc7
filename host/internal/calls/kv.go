package calls

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// kv returns the key-value space, and says why a key cannot be. A key has no NUL: that is what ends one in a list.
func (i *Instance) kv(key []byte) (KV, uint32) {
	switch kv := i.app.cfg.KV; {
	case kv == nil || i.app.cfg.Grants.KVBytes == 0:
		return nil, abi.ErrForbidden
	case len(key) == 0 || len(key) > abi.MaxKey || bytes.IndexByte(key, 0) >= 0:
		return nil, abi.ErrParam
	default:
		return kv, abi.ErrNone
	}
}

func storageErrno(ctx context.Context, err error) uint32 {
	switch {
	case err == nil:
		return abi.ErrNone
	case ctx.Err() != nil:
		return abi.ErrClosed
	case errors.Is(err, ErrNotFound):
		return abi.ErrNotFound
	case errors.Is(err, ErrQuota):
		return abi.ErrLimited
	}
	switch fault.CodeOf(err) {
	case fault.CallerNotFound, fault.CallerBlobMissing:
		return abi.ErrNotFound
	case fault.CallerQuota, fault.BusyDisk:
		return abi.ErrLimited
	case fault.CallerBlobMismatch, fault.HostDataDirCorrupt, fault.CallerSealed:
		return abi.ErrCorrupt
	}
	return abi.ErrIO
}

func (i *Instance) readStorage(n int) {
	i.count(func(u *meter.Use) { add64(&u.StorageRead, uint64(n)) })
}
func (i *Instance) wroteStorage(n int) {
	i.count(func(u *meter.Use) { add64(&u.StorageWrite, uint64(n)) })
}

// resized counts the storage of until now at the size it had, and looks at the new one.
func (i *Instance) resized() {
	stored := i.app.Stored().StorageUsed
	i.count(func(u *meter.Use) { add128(&u.StorageUsed, stored) })
}

func (i *Instance) kvGet(r *request) run.Answer {
	kv, errno := i.kv(r.args[0])
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	value, err := kv.Get(r.ctx, string(r.args[0]))
	if err != nil {
		return refuse(storageErrno(r.ctx, err))
	}
	i.readStorage(len(value))
	return run.Answer{Data: value[:min(len(value), r.room(0))], Nums: []uint64{uint64(len(value))}}
}

func (i *Instance) kvPut(r *request) run.Answer {
	kv, errno := i.kv(r.args[0])
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	if len(r.args[1]) > abi.MaxKVValue {
		return refuse(abi.ErrParam)
	}
	if err := kv.Put(r.ctx, string(r.args[0]), r.args[1]); err != nil {
		return refuse(storageErrno(r.ctx, err))
	}
	i.wroteStorage(len(r.args[0]) + len(r.args[1]))
	i.resized()
	return run.Answer{}
}

func (i *Instance) kvDelete(r *request) run.Answer {
	kv, errno := i.kv(r.args[0])
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	if err := kv.Delete(r.ctx, string(r.args[0])); err != nil {
		return refuse(storageErrno(r.ctx, err))
	}
	i.wroteStorage(len(r.args[0]))
	i.resized()
	return run.Answer{}
}

func (i *Instance) kvList(r *request) run.Answer {
	kv, errno := i.kv([]byte("any"))
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	if len(r.args[0]) > abi.MaxKey || len(r.args[1]) > abi.MaxKey {
		return refuse(abi.ErrParam)
	}
	room := r.room(0)
	if room < 2 {
		return refuse(abi.ErrParam)
	}
	keys, err := kv.List(r.ctx, string(r.args[0]), string(r.args[1]), min(room/2, 1024)) // a key and its NUL are two bytes at least
	if err != nil {
		return refuse(storageErrno(r.ctx, err))
	}
	var out []byte
	for _, k := range keys {
		if len(out)+len(k)+1 > room {
			break
		}
		out = append(append(out, k...), 0)
	}
	if len(keys) > 0 && len(out) == 0 { // else it would look like the end
		return refuse(abi.ErrParam)
	}
	i.readStorage(len(out))
	return run.Answer{Data: out, Nums: []uint64{uint64(len(out))}}
}

func (i *Instance) blobRead(r *request) run.Answer {
	blobs, hash := i.app.s.cfg.BlobReader, string(r.args[0])
	switch {
	case blobs == nil || !i.app.blobs[hash]:
		return refuse(abi.ErrForbidden)
	case r.nums[0] < 0:
		return refuse(abi.ErrParam)
	}
	p := make([]byte, r.room(1))
	defer i.paused(r.ctx)()
	n, size, err := blobs.ReadAt(r.ctx, string(i.app.cfg.Address[:]), hash, p, r.nums[0])
	i.readStorage(n)
	if err != nil {
		return refuse(storageErrno(r.ctx, err))
	}
	return run.Answer{Data: p[:n], Nums: []uint64{uint64(size)}}
}

func (i *Instance) log(r *request) run.Answer {
	if r.nums[0] < 1 || r.nums[0] > 5 {
		return refuse(abi.ErrParam)
	}
	if l := i.cfg.Log; l != nil {
		l.Write(int(r.nums[0]), r.args[0])
	}
	return run.Answer{}
}

func (i *Instance) fact(r *request) run.Answer {
	var out []byte
	c := &i.app.cfg
	switch r.nums[0] {
	case abi.FactAddress:
		out = c.Address[:]
	case abi.FactAppSession:
		out = c.Session[:]
	case abi.FactWorkerKey:
		if c.Keys == nil {
			return refuse(abi.ErrNotFound)
		}
		k := c.Keys.Public()
		out = k[:]
	case abi.FactWorkerSession:
		out = c.WorkerSession[:]
	case abi.FactInstance:
		out = binary.LittleEndian.AppendUint64(nil, i.cfg.ID)
	case abi.FactLabel:
		out = []byte(c.Label)
	case abi.FactConfig:
		out = c.Config
	case abi.FactStorage:
		var used, quota int64
		if c.KV != nil && c.Grants.KVBytes > 0 {
			used, quota = c.KV.Used()
		}
		out = binary.LittleEndian.AppendUint64(nil, uint64(used))
		out = binary.LittleEndian.AppendUint64(out, uint64(quota))
	case abi.FactBlockTime:
		if i.app.s.cfg.BlockTime == nil {
			return refuse(abi.ErrNotFound)
		}
		at, ok := i.app.s.cfg.BlockTime()
		if !ok {
			return refuse(abi.ErrNotFound)
		}
		out = binary.LittleEndian.AppendUint64(nil, uint64(at.UnixMilli()))
	default:
		return refuse(abi.ErrParam)
	}
	return run.Answer{Data: out[:min(len(out), r.room(1))], Nums: []uint64{uint64(len(out))}}
}

func (i *Instance) sign(r *request) run.Answer {
	switch keys := i.app.cfg.Keys; {
	case keys == nil:
		return refuse(abi.ErrUnsupported)
	case r.room(0) < 64:
		return refuse(abi.ErrParam)
	default:
		s := keys.SignApp(i.app.cfg.Address, r.args[0])
		return run.Answer{Data: s[:]}
	}
}

func (i *Instance) deriveSecret(r *request) run.Answer {
	switch keys := i.app.cfg.Keys; {
	case keys == nil:
		return refuse(abi.ErrUnsupported)
	case r.room(0) < 64 || len(r.args[0]) > abi.MaxSecret:
		return refuse(abi.ErrParam)
	default:
		s := keys.Secret(i.app.cfg.Address, r.args[0])
		return run.Answer{Data: s[:]}
	}
}

func (i *Instance) tip(r *request) run.Answer {
	i.count(func(u *meter.Use) { add64(&u.Tip, uint64(r.nums[0])) })
	return run.Answer{}
}

func (i *Instance) gasToken(r *request) run.Answer {
	if i.app.cfg.Token == nil {
		return refuse(abi.ErrUnsupported)
	}
	if r.room(0) < 72 {
		return refuse(abi.ErrParam)
	}
	defer i.paused(r.ctx)()
	if i.commit(r.ctx) != nil { // the gas of the guest that asks is part of it
		return refuse(abi.ErrIO)
	}
	gas, t, err := i.app.cfg.Token(r.ctx)
	if err != nil {
		return refuse(abi.ErrIO)
	}
	out := binary.LittleEndian.AppendUint64(nil, t.SN)
	out = append(append(out, t.Session[:]...), t.Nonce[:]...)
	return run.Answer{Data: out, Nums: []uint64{gas}}
}

func (i *Instance) gasLeft(r *request) run.Answer {
	if i.cfg.GasLimit == 0 {
		return answer(abi.ErrNone, math.MaxUint64)
	}
	return answer(abi.ErrNone, uint64(max(i.cfg.GasLimit-max(r.gas, 0), 0)))
}
