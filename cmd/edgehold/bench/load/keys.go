package load

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// Keys is a numbered set of keys. A key is the prefix and a decimal number with leading zeros, Size bytes in all. If Size is 0, keys
// are as short as possible. Keys are made when they are needed and not stored.
type Keys struct {
	Prefix string
	Count  int64
	Size   int
}

// Bytes returns the length of each key.
func (k Keys) Bytes() int { return max(k.Size, k.Least()) }

// Least returns the length that the prefix and the greatest number need.
func (k Keys) Least() int { return len(k.Prefix) + len(strconv.FormatInt(k.Count-1, 10)) }

// At returns key number i, from 0 to Count-1.
func (k Keys) At(i int64) api.Key {
	return api.Key(fmt.Sprintf("%s%0*d", k.Prefix, k.Bytes()-len(k.Prefix), i))
}

// All returns the keys in order. The error is always nil.
func (k Keys) All() iter.Seq2[api.Key, error] {
	return func(yield func(api.Key, error) bool) {
		for i := range k.Count {
			if !yield(k.At(i), nil) {
				return
			}
		}
	}
}

// Has reports whether key is one of the keys.
func (k Keys) Has(key api.Key) bool {
	number, ok := strings.CutPrefix(string(key), k.Prefix)
	if !ok || len(key) != k.Bytes() || strings.Trim(number, "0123456789") != "" {
		return false
	}
	number = strings.TrimLeft(number[:len(number)-1], "0") + number[len(number)-1:]
	i, err := strconv.ParseInt(number, 10, 64)
	return err == nil && i < k.Count
}
