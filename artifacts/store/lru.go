package store

import (
	"container/list"
	"maps"

	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
)

// lru keeps the parts of artifacts in memory up to a size, and the last one whatever its size. It owns one reference to
// each file; handles own theirs.
type lru struct {
	max   int64
	size  int64
	order list.List // of *residents, most recently used in front
	byKey map[artifacts.Key]*list.Element
}

type residents struct {
	meta  artifacts.Meta
	parts map[string]*sealed.File
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
	l.byKey[m.Key] = l.order.PushFront(&residents{m, maps.Clone(parts)})
	l.size += m.Bytes()
	for l.size > l.max && l.order.Len() > 1 {
		l.drop(l.order.Back().Value.(*residents).meta.Key)
	}
}

func (l *lru) get(key artifacts.Key) *Handle {
	e := l.byKey[key]
	if e == nil {
		return nil
	}
	l.order.MoveToFront(e)
	r := e.Value.(*residents)
	for _, f := range r.parts {
		f.Retain()
	}
	return &Handle{Meta: r.meta, parts: maps.Clone(r.parts)}
}

func (l *lru) drop(key artifacts.Key) {
	e := l.byKey[key]
	if e == nil {
		return
	}
	r := l.order.Remove(e).(*residents)
	delete(l.byKey, key)
	l.size -= r.meta.Bytes()
	for _, f := range r.parts {
		f.Release()
	}
}

func (l *lru) clear() {
	for l.order.Len() > 0 {
		l.drop(l.order.Back().Value.(*residents).meta.Key)
	}
}
