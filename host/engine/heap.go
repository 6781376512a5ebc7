package engine

import (
	"context"
	"math/bits"
	"reflect"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/abi"
)

// heap is the allocator that the PVF manner leaves to the host: it starts at the guest's __heap_base (or at fresh
// pages), hands out powers of two, and keeps freed blocks in a list for each size. An 8 byte header before each block
// holds its order while it is in use, and the next free block while it is not. The guest can spoil the headers, which
// harms nobody else: every access is checked.
type heap struct {
	mem  api.Memory
	next uint32 // first byte never handed out; 0: not known yet
	free [orders]uint32
}

const (
	headerBytes = 8
	minShift    = 3 // blocks of 8 bytes at least
	orders      = 29 - minShift
	inUse       = uint64(1) << 32
)

func newHeap(mod api.Module) *heap {
	h := &heap{mem: memoryOf(mod)}
	if g := mod.ExportedGlobal("__heap_base"); g != nil && g.Type() == api.ValueTypeI32 {
		if base := uint32(g.Get()); base < 1<<32-16 {
			h.next = (base + 7) &^ 7
		}
	}
	return h
}

// memoryOf returns the linear memory, or nil: for none, the engine returns an interface around a nil pointer.
func memoryOf(mod api.Module) api.Memory {
	mem := mod.Memory()
	if mem == nil || reflect.ValueOf(mem).IsNil() {
		return nil
	}
	return mem
}

// alloc returns room for n bytes outside of the block lists; the guest never frees it.
func (h *heap) alloc(mem api.Memory, n uint32) (uint32, bool) {
	h.mem = mem
	return h.bump((uint64(n) + 7) &^ 7)
}

func (h *heap) bump(n uint64) (uint32, bool) {
	size := uint64(h.mem.Size())
	if h.next == 0 {
		h.next = uint32(size)
		if size == 0 { // pointer 0 is what guests take for nothing
			h.next = 8
		}
	}
	end := uint64(h.next) + n
	if end >= 1<<32 {
		return 0, false
	}
	if end > size {
		if _, ok := h.mem.Grow(uint32((end - size + 65535) / 65536)); !ok {
			return 0, false
		}
	}
	ptr := h.next
	h.next = uint32(end)
	return ptr, true
}

func (h *heap) malloc(n uint32) (uint32, bool) {
	order := max(bits.Len32(max(n, 1)-1), minShift) - minShift
	if order >= orders {
		return 0, false
	}
	if ptr := h.free[order]; ptr != 0 {
		next, ok := h.mem.ReadUint64Le(ptr - headerBytes)
		if !ok || next >= inUse {
			return 0, false
		}
		h.free[order] = uint32(next)
		return ptr, h.mem.WriteUint64Le(ptr-headerBytes, inUse|uint64(order))
	}
	block, ok := h.bump(headerBytes + uint64(1)<<(order+minShift))
	if !ok {
		return 0, false
	}
	return block + headerBytes, h.mem.WriteUint64Le(block, inUse|uint64(order))
}

func (h *heap) release(ptr uint32) bool {
	if ptr < headerBytes {
		return false
	}
	head, ok := h.mem.ReadUint64Le(ptr - headerBytes)
	order := head &^ inUse
	if !ok || head&inUse == 0 || order >= orders {
		return false
	}
	next := h.free[order]
	h.free[order] = ptr
	return h.mem.WriteUint64Le(ptr-headerBytes, uint64(next))
}

// exportAllocator adds the allocator's functions to the module env.
func exportAllocator(b wazero.HostModuleBuilder) error {
	i32 := []api.ValueType{api.ValueTypeI32}
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		ptr, ok := heapOf(ctx).malloc(uint32(stack[0]))
		if !ok {
			panic(fault.New(fault.GuestMemory, "allocate", "", nil))
		}
		stack[0] = uint64(ptr)
	}), i32, i32).Export(abi.Malloc)
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		if !heapOf(ctx).release(uint32(stack[0])) {
			panic(fault.New(fault.GuestTrap, "free", "not an allocated block", nil))
		}
	}), i32, nil).Export(abi.Free)
	return nil
}

// heapOf finds the heap of the run. While the start function runs there is none yet.
func heapOf(ctx context.Context) *heap {
	s := stateOf(ctx)
	if s == nil || !s.ready || s.heap.mem == nil {
		panic(fault.New(fault.GuestTrap, "allocate", "before the module is ready", nil))
	}
	return &s.heap
}
