package ident_test

import (
	"hash/fnv"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// TestShardOf checks fixed results on which every node must agree for ever.
func TestShardOf(t *testing.T) {
	for _, c := range []struct {
		key  api.Key
		of   uint32
		want uint32
	}{
		{"", 0, 0}, {"a", 0, 0}, {"a", 1, 0},
		{"a", 7, 5}, {"us-east/users/1", 7, 6}, {"us-east/users", 7, 6}, {"us-east/", 7, 4}, {"\x00\xff/\xff", 1000, 526},
	} {
		if got := ident.ShardOf(c.key, c.of); got != c.want {
			t.Errorf("shard of %q of %d is %d, want %d", c.key, c.of, got, c.want)
		}
	}
	h := fnv.New64a()
	h.Write([]byte("us-east/users"))
	if got, want := ident.ShardOf("us-east/users/1/name", 1<<16), uint32(h.Sum64()%(1<<16)); got != want {
		t.Errorf("shard %d, by FNV-1a of the first two segments %d", got, want)
	}
	for _, together := range [][2]api.Key{{"a/b", "a/b/c"}, {"a/b/c", "a/b/d/e"}, {"//x", "//y"}, {"/a/x", "/a/y"}} {
		if a, b := ident.ShardOf(together[0], 1<<16), ident.ShardOf(together[1], 1<<16); a != b {
			t.Errorf("%q is in shard %d, %q in %d", together[0], a, together[1], b)
		}
	}
	if ident.ShardOf("a/b", 1<<16) == ident.ShardOf("a/c", 1<<16) {
		t.Error("second segments do not count")
	}
	var spread [4]int
	for i := range 4000 {
		spread[ident.ShardOf(api.Key("users/"+string(rune('a'+i%26))+string(rune('0'+i/26))), 4)]++
	}
	for i, n := range spread {
		if n < 800 || n > 1200 {
			t.Errorf("shard %d has %d of 4000 keys", i, n)
		}
	}
}
