package fsm

import (
	"bytes"
	"cmp"
	"iter"

	"github.com/edgehold/edgehold/api"
)

func compareSessions(a, b api.SessionID) int {
	return cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Index, b.Index))
}

func compareSources(a, b Source) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Of, b.Of), cmp.Compare(a.Group, b.Group))
}

func compareClients(a, b Client) int { return bytes.Compare(a.ID[:], b.ID[:]) }

func compareRecords(a, b Record) int {
	return cmp.Or(bytes.Compare(a.Client[:], b.Client[:]), cmp.Compare(a.Seq, b.Seq))
}

// both yields the elements of a, then those of b.
func both[T any](a, b []T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, s := range [2][]T{a, b} {
			for _, x := range s {
				if !yield(x) {
					return
				}
			}
		}
	}
}

func compareKeys(a, b api.Key) int { return cmp.Compare(a, b) }
