package ident

import (
	"strings"

	"github.com/edgehold/edgehold/api"
)

// ShardOf returns the shard of its range that a key belongs to, from 0 to of-1. It is FNV-1a of the key's first two
// segments (between slashes) modulo of, so that "users/42/name" and "users/42/mail" share a shard. Every node and
// every machine must agree on it for ever. If of is below 2, there is one shard.
func ShardOf(k api.Key, of uint32) uint32 {
	if of < 2 {
		return 0
	}
	s := string(k)
	if first := strings.IndexByte(s, '/'); first >= 0 {
		if second := strings.IndexByte(s[first+1:], '/'); second >= 0 {
			s = s[:first+1+second]
		}
	}
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return uint32(h % uint64(of))
}

// OneShard reports whether all keys of the range certainly fall into one shard, however many there are: they share their first two
// segments.
func OneShard(r api.Range) bool {
	slashes := 0
	for i := range len(r.Start) {
		if r.Start[i] != '/' {
			continue
		}
		if slashes++; slashes == 2 {
			return api.PrefixRange(r.Start[:i+1]).ContainsRange(r)
		}
	}
	return false
}
