package fsm

import (
	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// listAlso makes the further lists of r, in the view of the first. size is what the first page has.
func (v *view) listAlso(r *api.ListRequest, res *api.ListResult, at *ListedAt, size int, before bool) error {
	o, err := v.ownerOfAll(r.Range, nil)
	if err != nil {
		return err
	}
	res.Also, at.Also = make([]api.ListPage, len(r.Also)), make([][]uint64, len(r.Also))
	for i := range r.Also {
		part := &r.Also[i]
		if part.Range.End != "" && part.Range.End <= part.Range.Start {
			continue
		}
		if _, err := v.ownerOfAll(part.Range, o); err != nil {
			return err
		}
		res.Also[i], at.Also[i] = v.list(part, &size)
		page := pageOf(part.Range, part.Reverse, &res.Also[i])
		if in := v.intentsIn(page, MaxNamedIntents, true); len(in) > 0 && !before {
			return &IntentsError{Intents: in, Page: page}
		}
	}
	return nil
}

// ownerOfAll returns the shard that has all keys of the range, which must be want unless that is nil. CodeWrongGroup if the group does
// not own its first key, CodeInvalid if others may belong elsewhere.
func (v *view) ownerOfAll(r api.Range, want *owned) (*owned, error) {
	o, err := v.owner(r.Start)
	if err != nil {
		return nil, err
	}
	if !o.Range.ContainsRange(r) || o.Of > 1 && !ident.OneShard(r) || want != nil && o.Shard != want.Shard {
		return nil, &api.Error{Code: api.CodeInvalid, Op: "list", Key: r.Start,
			Hint: "the keys of lists that are made together may belong to several groups or ranges; list ranges whose keys share two whole segments, such as a/b/"}
	}
	return o, nil
}
