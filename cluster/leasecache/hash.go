package leasecache

import (
	"encoding/binary"
	"math/bits"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// hasher maps keys to 64 bits. Its seed is the process's nonce, so that no client can choose keys that collide. Equal
// seeds give equal hashes, so that a test runs the same way twice.
type hasher struct{ a, b uint64 }

func newHasher(n ident.Nonce) hasher {
	return hasher{
		a: binary.LittleEndian.Uint64(n[:8]) ^ 0x9e3779b97f4a7c15,
		b: binary.LittleEndian.Uint64(n[8:]) ^ 0xd1b54a32d192ed03,
	}
}

func (h hasher) hash(k api.Key) uint64 {
	x, n, size := h.a, len(k), uint64(len(k))
	for ; n > 16; n -= 16 {
		x = fold(load(k)^x, load(k[8:])^h.b)
		k = k[16:]
	}
	var lo, hi uint64
	switch {
	case n >= 8:
		lo, hi = load(k), load(k[n-8:])
	case n >= 4:
		lo, hi = uint64(load32(k)), uint64(load32(k[n-4:]))
	case n > 0:
		lo = uint64(k[0]) | uint64(k[n/2])<<8 | uint64(k[n-1])<<16
	}
	return fold(fold(lo^x, hi^h.b)^h.a, size*0xe7037ed1a0b428db^0xa0761d6478bd642f)
}

// fold multiplies to 128 bits and folds them.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func load(k api.Key) uint64 {
	_ = k[7]
	return uint64(k[0]) | uint64(k[1])<<8 | uint64(k[2])<<16 | uint64(k[3])<<24 |
		uint64(k[4])<<32 | uint64(k[5])<<40 | uint64(k[6])<<48 | uint64(k[7])<<56
}

func load32(k api.Key) uint32 {
	_ = k[3]
	return uint32(k[0]) | uint32(k[1])<<8 | uint32(k[2])<<16 | uint32(k[3])<<24
}
