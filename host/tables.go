package host

import (
	"container/list"
	"sync"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
)

// codeTable keeps the code that requests bear, by hash, so that messages carry a hash and never the bytes. Code that
// nobody holds stays for later requests until there is too much or too many of it, oldest first: each is a descriptor.
type codeTable struct {
	mu       sync.Mutex
	maxIdle  int64 // bytes of code kept without a holder
	maxFiles int   // of them
	idle     int64
	byHash   map[artifacts.CodeHash]*codeEntry
	idleList *list.List // of *codeEntry, most recently released in front
}

type codeEntry struct {
	hash artifacts.CodeHash
	file *sealed.File
	refs int
	elem *list.Element
}

func newCodeTable(maxIdle int64, maxFiles int) *codeTable {
	return &codeTable{maxIdle: maxIdle, maxFiles: maxFiles, byHash: map[artifacts.CodeHash]*codeEntry{}, idleList: list.New()}
}

// put adds code and holds it; the caller releases it.
func (t *codeTable) put(hash artifacts.CodeHash, code []byte) error {
	if t.hold(hash) {
		return nil
	}
	f, err := sealed.FromBytes("troupe-code", code)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.byHash[hash]; e != nil { // another request was faster
		t.holdLocked(e)
		f.Release()
		return nil
	}
	t.byHash[hash] = &codeEntry{hash: hash, file: f, refs: 1}
	return nil
}

// hold keeps code in the table until release; false if it is not there.
func (t *codeTable) hold(hash artifacts.CodeHash) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byHash[hash]
	if e == nil {
		return false
	}
	t.holdLocked(e)
	return true
}

func (t *codeTable) holdLocked(e *codeEntry) {
	if e.refs++; e.elem != nil {
		t.idleList.Remove(e.elem)
		t.idle -= e.file.Size()
		e.elem = nil
	}
}

func (t *codeTable) release(hash artifacts.CodeHash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byHash[hash]
	if e == nil {
		return
	}
	if e.refs--; e.refs > 0 {
		return
	}
	e.elem = t.idleList.PushFront(e)
	t.idle += e.file.Size()
	for t.idle > t.maxIdle || t.idleList.Len() > t.maxFiles {
		t.dropLocked(t.idleList.Back().Value.(*codeEntry))
	}
}

func (t *codeTable) dropLocked(e *codeEntry) {
	t.idleList.Remove(e.elem)
	t.idle -= e.file.Size()
	delete(t.byHash, e.hash)
	e.file.Release()
}

// Open gives a prepare worker the code; the caller releases the file.
func (t *codeTable) Open(hash artifacts.CodeHash) (*sealed.File, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byHash[hash]
	if e == nil {
		return nil, fault.New(fault.CallerNotFound, "code", hash.String(), nil).WithHint("pass the code, not only its hash")
	}
	e.file.Retain()
	return e.file, nil
}

func (t *codeTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.byHash {
		e.file.Release()
	}
	t.byHash, t.idle = map[artifacts.CodeHash]*codeEntry{}, 0
	t.idleList.Init()
}

// handoff holds the sealed parts between the prepare worker that made them and the store that takes them.
type handoff struct {
	mu    sync.Mutex
	next  uint64
	parts map[uint64]map[string]*sealed.File
}

func newHandoff() *handoff { return &handoff{parts: map[uint64]map[string]*sealed.File{}} }

// Deposit takes over the parts and returns the ticket for them.
func (h *handoff) Deposit(parts map[string]*sealed.File) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	h.parts[h.next] = parts
	return h.next
}

// Take returns the parts of a ticket, once; the caller releases them. nil if the ticket is unknown.
func (h *handoff) Take(ticket uint64) map[string]*sealed.File {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.parts[ticket]
	delete(h.parts, ticket)
	return p
}

func (h *handoff) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, parts := range h.parts {
		for _, f := range parts {
			f.Release()
		}
	}
	h.parts = map[uint64]map[string]*sealed.File{}
}
