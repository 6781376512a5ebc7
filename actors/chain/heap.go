package chain

import (
	"cmp"
	"container/heap"
)

// queue orders entries by a key. What became untrue of an entry is noticed when it is taken out.
type queue[K cmp.Ordered] struct{ items items[K] }

type item[K cmp.Ordered] struct {
	key   K
	stamp uint64 // of the entry then
	e     *entry
}

func (q *queue[K]) push(key K, e *entry) { heap.Push(&q.items, item[K]{key, e.stamp, e}) }

// first returns what has the least key; ok is false if there is nothing.
func (q *queue[K]) first() (i item[K], ok bool) {
	for len(q.items) > 0 && q.items[0].stamp != q.items[0].e.stamp {
		heap.Pop(&q.items)
	}
	if len(q.items) == 0 {
		return i, false
	}
	return q.items[0], true
}

func (q *queue[K]) pop() { heap.Pop(&q.items) }

type items[K cmp.Ordered] []item[K]

// Len implements heap.Interface.
func (h items[K]) Len() int { return len(h) }

// Less implements heap.Interface.
func (h items[K]) Less(a, b int) bool {
	return h[a].key < h[b].key || h[a].key == h[b].key && h[a].e.Number < h[b].e.Number
}

// Swap implements heap.Interface.
func (h items[K]) Swap(a, b int) { h[a], h[b] = h[b], h[a] }

// Push implements heap.Interface.
func (h *items[K]) Push(x any) { *h = append(*h, x.(item[K])) }

// Pop implements heap.Interface.
func (h *items[K]) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = item[K]{}
	*h = (*h)[:len(*h)-1]
	return last
}
