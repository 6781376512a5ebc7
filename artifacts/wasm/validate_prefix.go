package wasm

// misc validates an instruction behind the prefix 0xfc.
func (v *validator) misc() {
	sub, ok := v.u32("instruction")
	if !ok {
		return
	}
	misc := miscOps()
	if sub >= uint32(len(misc)) || misc[sub].kind == opUnknown {
		v.fail(v.at, "%s is unknown", OpName(prefixMisc, sub))
		return
	}
	info := &misc[sub]
	if v.plan != nil {
		v.plan.cost += uint64(v.weights().Misc[sub])
	}
	if !v.use(info.feature, v.at) {
		return
	}
	if info.kind == opPlain {
		v.operands(info)
		return
	}
	k, arg, ok := evMemoryInit, uint32(0), false
	switch sub {
	case 0x08: // memory.init
		v.fills = true
		arg, ok = v.dataIndex()
		ok = ok && v.memoryIndex()
	case 0x09: // data.drop
		k = evDataDrop
		arg, ok = v.dataIndex()
	case 0x0a: // memory.copy
		k = evMemoryCopy
		if ok = v.memoryIndex(); ok {
			ok = v.memoryIndex()
		}
	case 0x0b: // memory.fill
		k = evMemoryFill
		ok = v.memoryIndex()
	case 0x0c: // table.init
		k = evTableInit
		arg, ok = v.tableInit()
	case 0x0d: // elem.drop
		k = evElemDrop
		arg, ok = v.index("element", len(v.elements))
	case 0x0e: // table.copy
		k = evTableCopy
		arg, ok = v.tableCopy()
	default:
		v.tableSize(sub)
		return
	}
	if ok && v.operands(info) {
		v.tell(k, arg)
	}
}

func (v *validator) dataIndex() (uint32, bool) {
	if v.data < 0 {
		v.fail(v.at, "%s: there is no data count", v.opName())
		return 0, false
	}
	return v.index("data", v.data)
}

// tableIndex reads the index of a table; others than the first belong to reference types.
func (v *validator) tableIndex() (uint32, bool) {
	table, ok := v.index("table", len(v.tables))
	return table, ok && (table == 0 || v.use(ReferenceTypes, v.at))
}

func (v *validator) tableInit() (uint32, bool) {
	element, ok := v.index("element", len(v.elements))
	if !ok {
		return 0, false
	}
	table, ok := v.tableIndex()
	if ok && v.elements[element] != v.tables[table] {
		v.fail(v.at, "table.init: elements of %s for a table of %s", typeName(v.elements[element]), typeName(v.tables[table]))
		return 0, false
	}
	return table, ok
}

func (v *validator) tableCopy() (uint32, bool) {
	to, ok := v.tableIndex()
	if !ok {
		return 0, false
	}
	from, ok := v.tableIndex()
	if ok && v.tables[from] != v.tables[to] {
		v.fail(v.at, "table.copy: from a table of %s to one of %s", typeName(v.tables[from]), typeName(v.tables[to]))
		return 0, false
	}
	return to, ok
}

// tableSize validates table.grow, table.size and table.fill.
func (v *validator) tableSize(sub uint32) {
	table, ok := v.index("table", len(v.tables))
	if !ok {
		return
	}
	t := v.tables[table]
	switch sub {
	case 0x0f: // table.grow
		if v.pop(typeI32) && v.pop(t) {
			v.push(typeI32)
			v.tell(evTableGrow, table)
		}
	case 0x10: // table.size
		v.push(typeI32)
	case 0x11: // table.fill
		if v.pop(typeI32) && v.pop(t) && v.pop(typeI32) {
			v.tell(evTableFill, table)
		}
	}
}

// vectorOp validates an instruction behind the prefix 0xfd. The engine reads one byte of the opcode, and takes the 1 that
// follows in those from 128 upwards for a nop: so no other spelling may pass.
func (v *validator) vectorOp() {
	sub, ok := v.u32("instruction")
	if !ok {
		return
	}
	vector := vectorOps()
	if sub >= uint32(len(vector)) {
		v.refuse("relaxed-simd", v.at)
		return
	}
	info := &vector[sub]
	if size := v.pos - v.at; info.kind == opUnknown || size > 3 || sub < 0x80 && size > 2 {
		v.fail(v.at, "%s is unknown, or its number is too long", OpName(prefixVector, sub))
		return
	}
	if v.plan != nil {
		v.plan.cost += uint64(v.weights().Vector[sub])
	}
	lanes := info.lane
	switch info.kind {
	case opMemArg, opMemArgLane:
		if v.memories == 0 {
			v.fail(v.at, "%s: there is no memory", info.name)
			return
		}
		if v.pos = v.memArg(v.at, v.pos, v.limit, info); v.pos < 0 {
			return
		}
		lanes = 16 >> info.lane
	case opBytes16:
		v.pos += 16
	case opShuffle:
		for range 16 {
			if !v.lane(32) {
				return
			}
		}
	}
	if (info.kind == opLane || info.kind == opMemArgLane) && !v.lane(lanes) {
		return
	}
	if v.pos > v.limit {
		v.fail(v.at, "%s: it is cut off", info.name)
		return
	}
	if v.operands(info) && info.float != 0 {
		v.tell(evFloat, uint32(info.float))
	}
}

func (v *validator) lane(lanes uint8) bool {
	c, ok := v.byte()
	if ok && c >= lanes {
		v.fail(v.at, "%s: there is no lane %d", v.opName(), c)
	}
	return ok && c < lanes
}
