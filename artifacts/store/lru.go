package store

import (
	"container/list"
	"maps"

	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
)

// Handle is an artifact in use.
type Handle struct {
	Meta artifacts.Meta

	store *Store
	from  *residents
	parts map[string]*sealed.File
}

// Part returns a part; it stays the handle's.
func (h *Handle) Part(name string) *sealed.File { return h.parts[name] }

// SnapshotKey returns the key of the snapshot part, zero if there is none.
func (h *Handle) SnapshotKey() artifacts.SnapshotKey { return h.Meta.Snapshot }

// Close gives the artifact back. It may be called more than once, but not by two at a time.
func (h *Handle) Close() {
	release(h.parts)
	h.parts = nil
	if h.from != nil {
		h.store.mu.Lock()
		defer h.store.mu.Unlock()
		h.from.users--
		h.from = nil
		h.store.memory.shrink()
	}
}

func release(parts map[string]*sealed.File) {
	for _, f := range parts {
		f.Release()
	}
}

// lru keeps the parts of artifacts in memory up to a size and a number of files. What is in use is kept beyond them,
// since letting go of it would free nothing and the next user would read it again; and so is the last one, whatever its
// size. It owns one reference to each file; handles own theirs.
type lru struct {
	max      int64
	maxFiles int // 0: no limit
	size     int64
	files    int
	order    list.List // of *residents, most recently used in front
	byKey    map[artifacts.Key]*list.Element
}

type residents struct {
	meta  artifacts.Meta
	parts map[string]*sealed.File
	users int
}

const pageBytes = 4096

// bytes returns the memory that the parts take: whole pages, and one for the file itself if it is empty.
func (r *residents) bytes() (n int64) {
	for _, f := range r.parts {
		n += max(1, (f.Size()+pageBytes-1)/pageBytes) * pageBytes
	}
	return n
}

// add keeps parts in place of what was there under the key; the caller keeps its own references.
func (l *lru) add(m artifacts.Meta, parts map[string]*sealed.File) {
	l.drop(m.Key)
	for _, f := range parts {
		f.Retain()
	}
	if l.byKey == nil {
		l.byKey = map[artifacts.Key]*list.Element{}
	}
	r := &residents{meta: m, parts: maps.Clone(parts)}
	l.byKey[m.Key] = l.order.PushFront(r)
	l.size += r.bytes()
	l.files += len(r.parts)
	l.shrink()
}

// shrink drops the least recently used until the rest fits.
func (l *lru) shrink() {
	for e := l.order.Back(); l.over() && e != nil && e != l.order.Front(); {
		r, before := e.Value.(*residents), e.Prev()
		if r.users == 0 {
			l.drop(r.meta.Key)
		}
		e = before
	}
}

func (l *lru) over() bool { return l.size > l.max || l.maxFiles > 0 && l.files > l.maxFiles }

func (l *lru) get(s *Store, key artifacts.Key) *Handle {
	e := l.byKey[key]
	if e == nil {
		return nil
	}
	l.order.MoveToFront(e)
	r := e.Value.(*residents)
	r.users++
	for _, f := range r.parts {
		f.Retain()
	}
	return &Handle{Meta: r.meta, store: s, from: r, parts: maps.Clone(r.parts)}
}

// meta returns the description of an artifact, and leaves the order as it is.
func (l *lru) meta(key artifacts.Key) (artifacts.Meta, bool) {
	e := l.byKey[key]
	if e == nil {
		return artifacts.Meta{}, false
	}
	return e.Value.(*residents).meta, true
}

func (l *lru) drop(key artifacts.Key) {
	e := l.byKey[key]
	if e == nil {
		return
	}
	r := l.order.Remove(e).(*residents)
	delete(l.byKey, key)
	l.size -= r.bytes()
	l.files -= len(r.parts)
	release(r.parts)
}

func (l *lru) clear() {
	for l.order.Len() > 0 {
		l.drop(l.order.Back().Value.(*residents).meta.Key)
	}
}
