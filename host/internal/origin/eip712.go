package origin

import "encoding/binary"

// The types of EIP-712. A value has 32 bytes: numbers are big-endian, and what has no fixed length is hashed.
var (
	domainHash = func() [32]byte {
		kind := keccak([]byte("EIP712Domain(string name,string version)"))
		name, version := keccak([]byte("Troupe")), keccak([]byte("1"))
		return keccak(kind[:], name[:], version[:])
	}()
	queryType = keccak([]byte("Query(bytes32 worker,uint64 signed,uint64 expiry,bytes nonce,bytes32 account," +
		"bytes32 certificate,bytes32 app,string path,bytes32 payload)"))
	certificateType = keccak([]byte("Certificate(bytes32 parent,bytes32 delegate,uint64 expiry,uint8 delegations,bytes32[] apps,string[] paths)"))
)

func (s signedQuery) typed() [32]byte {
	return typed(domainHash, queryType, s.Worker, word(millis(s.Signed)), word(millis(s.Expiry)), keccak(s.Nonce), s.Account,
		s.certificate, s.Address, keccak([]byte(s.Path)), s.payload)
}

func (c issued) typed() [32]byte {
	var apps, paths [][]byte
	for _, a := range c.Apps {
		apps = append(apps, a[:])
	}
	for _, p := range c.Paths {
		h := keccak([]byte(p))
		paths = append(paths, h[:])
	}
	return typed(domainHash, certificateType, c.parent, c.Delegate, word(millis(c.Expiry)), word(uint64(c.Delegations)), keccak(apps...), keccak(paths...))
}

func typed(domain, kind [32]byte, fields ...[32]byte) [32]byte {
	parts := [][]byte{kind[:]}
	for i := range fields {
		parts = append(parts, fields[i][:])
	}
	value := keccak(parts...)
	return keccak([]byte{0x19, 1}, domain[:], value[:])
}

func word(n uint64) (w [32]byte) {
	binary.BigEndian.PutUint64(w[24:], n)
	return w
}
