package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
)

// How IPFS cuts files for a CID of version 0: pieces of chunkBytes, and nodes of maxLinks links above them.
const (
	chunkBytes = 256 << 10
	maxLinks   = 174
)

// node is what a link to a node of the tree says.
type node struct {
	hash  [sha256.Size]byte
	total uint64 // bytes of this node and all below
	size  uint64 // bytes of the file in them
}

// CID returns the name of a file in IPFS, as 'ipfs add' gives it: version 0, a balanced tree of UnixFS nodes in dag-pb.
func CID(b []byte) string { return cidOf(b, chunkBytes, maxLinks) }

func cidOf(b []byte, chunk, links int) string {
	var level []node
	for len(level) == 0 || len(b) > 0 {
		n := min(len(b), chunk)
		level = append(level, leaf(b[:n]))
		b = b[n:]
	}
	// All leaves are equally deep: the last node of a level may have one link, and is there all the same.
	for len(level) > 1 {
		var above []node
		for len(level) > 0 {
			n := min(len(level), links)
			above = append(above, branch(level[:n]))
			level = level[n:]
		}
		level = above
	}
	return base58(append([]byte{0x12, sha256.Size}, level[0].hash[:]...)) // the multihash of sha2-256
}

// leaf is a dag-pb node without links, whose data is a UnixFS file of one piece.
func leaf(b []byte) node {
	file := []byte{0x08, 0x02} // type: file
	if len(b) > 0 {
		file = append(binary.AppendUvarint(append(file, 0x12), uint64(len(b))), b...)
	}
	file = binary.AppendUvarint(append(file, 0x18), uint64(len(b)))
	enc := binary.AppendUvarint([]byte{0x0a}, uint64(len(file)))
	enc = append(enc, file...)
	return node{hash: sha256.Sum256(enc), total: uint64(len(enc)), size: uint64(len(b))}
}

// branch is a dag-pb node: its links first, though they have the higher field number, then a UnixFS file that says the sizes.
func branch(below []node) node {
	var out node
	var enc []byte
	for _, n := range below {
		link := append([]byte{0x0a, sha256.Size + 2, 0x12, sha256.Size}, n.hash[:]...)
		link = binary.AppendUvarint(append(link, 0x12, 0x00, 0x18), n.total) // no name, and the size of all that is below
		enc = binary.AppendUvarint(append(enc, 0x12), uint64(len(link)))
		enc = append(enc, link...)
		out.size += n.size
		out.total += n.total
	}
	file := binary.AppendUvarint([]byte{0x08, 0x02, 0x18}, out.size)
	for _, n := range below {
		file = binary.AppendUvarint(append(file, 0x20), n.size)
	}
	enc = binary.AppendUvarint(append(enc, 0x0a), uint64(len(file)))
	enc = append(enc, file...)
	out.hash = sha256.Sum256(enc)
	out.total += uint64(len(enc))
	return out
}

const base58Digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58 spells b, which begins with no zero byte.
func base58(b []byte) string {
	n, digit, base := new(big.Int).SetBytes(b), new(big.Int), big.NewInt(58)
	var out []byte
	for n.Sign() > 0 {
		n.DivMod(n, base, digit)
		out = append(out, base58Digits[digit.Int64()])
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}
