package load

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// Keys is a numbered set of keys: a prefix and a number in decimal, with as many zeros in front of it as make up Size
// bytes, or where Size is 0 as make all keys as long as the longest. Keys are made when they are needed, never kept.
type Keys struct {
	Prefix string
	Count  int64
	Size   int
}

// Bytes is the length of each key.
func (k Keys) Bytes() int { return max(k.Size, k.Least()) }

// Least is the length that the prefix and the greatest number need.
func (k Keys) Least() int { return len(k.Prefix) + len(strconv.FormatInt(k.Count-1, 10)) }

// At is the key with the number i, from 0 to Count-1.
func (k Keys) At(i int64) api.Key {
	return api.Key(fmt.Sprintf("%s%0*d", k.Prefix, k.Bytes()-len(k.Prefix), i))
}

// All are the keys in their order; no error ever comes with one.
func (k Keys) All() iter.Seq2[api.Key, error] {
	return func(yield func(api.Key, error) bool) {
		for i := range k.Count {
			if !yield(k.At(i), nil) {
				return
			}
		}
	}
}

// Has tells whether key is one of them.
func (k Keys) Has(key api.Key) bool {
	number, ok := strings.CutPrefix(string(key), k.Prefix)
	if !ok || len(key) != k.Bytes() || strings.Trim(number, "0123456789") != "" {
		return false
	}
	number = strings.TrimLeft(number[:len(number)-1], "0") + number[len(number)-1:]
	i, err := strconv.ParseInt(number, 10, 64)
	return err == nil && i < k.Count
}
