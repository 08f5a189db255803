package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
)

func (u *suite) list(l api.Lister, r api.ListRequest) *api.ListResult {
	u.Helper()
	res, err := l.List(u.ctx, &r)
	if err != nil {
		u.Fatalf("list %+v: %v", r, err)
	}
	return res
}

// names returns the keys of the entries without the folder of the case.
func (u *suite) names(es []api.Entry) []string {
	out := make([]string, 0, len(es))
	for _, e := range es {
		out = append(out, strings.TrimPrefix(string(e.Key), string(u.folder)))
	}
	return out
}

func (u *suite) wantNames(es []api.Entry, want ...string) {
	u.Helper()
	if got := u.names(es); !slices.Equal(got, want) {
		u.Fatalf("listed %q, want %q", got, want)
	}
}

func (u *suite) listOrder(l api.Lister) {
	for _, n := range []string{"b", "a", "a/x", "\xff", "\x00", "a\x00"} {
		u.put(u.key(n), "value of "+n)
	}
	want := []string{"\x00", "a", "a\x00", "a/x", "b", "\xff"}
	res := u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder)})
	u.wantNames(res.Entries, want...)
	for i, e := range res.Entries {
		if string(e.Value) != "value of "+want[i] || e.Version.IsZero() || !e.Exists {
			u.Errorf("entry %d is %+v", i, e)
		}
	}
	if res.More {
		u.Error("more is said where there is no more")
	}
	slices.Reverse(want)
	u.wantNames(u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder), Reverse: true}).Entries, want...)
}

func (u *suite) listBounds(l api.Lister) {
	for _, n := range []string{"a", "b", "b/1", "b/2", "b0", "c"} {
		u.put(u.key(n), n)
	}
	u.wantNames(u.list(l, api.ListRequest{Range: api.PrefixRange(u.key("b/"))}).Entries, "b/1", "b/2")
	u.wantNames(u.list(l, api.ListRequest{Range: api.PrefixRange(u.key("nothing"))}).Entries)
	r := api.Range{Start: u.key("b"), End: u.key("b0")}
	u.wantNames(u.list(l, api.ListRequest{Range: r}).Entries, "b", "b/1", "b/2")
	u.wantNames(u.list(l, api.ListRequest{Range: r, Reverse: true}).Entries, "b/2", "b/1", "b")
	u.wantNames(u.list(l, api.ListRequest{Range: api.Range{Start: u.key("c"), End: u.key("a")}}).Entries)
}

func (u *suite) listPages(l api.Lister) {
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprint(i))
		u.put(u.key(want[i]), "x")
	}
	for _, reverse := range []bool{false, true} {
		for _, limit := range []int{1, 3, 6, 7, 8} {
			r := api.ListRequest{Range: api.PrefixRange(u.folder), Limit: limit, Reverse: reverse}
			var got []string
			for pages := 1; ; pages++ {
				res := u.list(l, r)
				got = append(got, u.names(res.Entries)...)
				if len(res.Entries) > limit || pages > len(want) {
					u.Fatalf("page %d of at most %d has %d entries", pages, limit, len(res.Entries))
				}
				if !res.More {
					break
				}
				if last := res.Entries[len(res.Entries)-1].Key; reverse {
					r.Range.End = last
				} else {
					r.Range.Start = last + "\x00"
				}
			}
			if reverse {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				u.Errorf("pages of %d (reverse %v) gave %q, want %q", limit, reverse, got, want)
			}
		}
	}
}

func (u *suite) listKeysOnly(l api.Lister) {
	v := u.put(u.key("k"), "value")
	res := u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder), KeysOnly: true})
	u.wantNames(res.Entries, "k")
	if e := res.Entries[0]; len(e.Value) != 0 || e.Version != v || !e.Exists {
		u.Errorf("listed %+v, want no value, version %v", e, v)
	}
}

func (u *suite) listDeleted(l api.Lister) {
	for _, n := range []string{"a", "b", "c"} {
		u.put(u.key(n), n)
	}
	u.do(deleteTxn(u.key("b")))
	u.do(deleteTxn(u.key("never")))
	u.wantNames(u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder)}).Entries, "a", "c")
	u.do(deleteTxn(u.key("c")))
	if res := u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder), Limit: 1}); res.More || len(res.Entries) != 1 {
		u.Errorf("deleted keys count as more: %+v", res)
	}
}

func (u *suite) listDefaultLimit(l api.Lister) {
	for i := range api.DefaultListLimit + 1 {
		u.put(u.key(fmt.Sprintf("%04d", i)), "x")
	}
	res := u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder)})
	if len(res.Entries) != api.DefaultListLimit || !res.More {
		u.Errorf("listed %d entries, more = %v, want %d and more", len(res.Entries), res.More, api.DefaultListLimit)
	}
}

func (u *suite) listBytes(l api.Lister) {
	const n = 9 // values of 1 MiB: more than fits a page
	value := strings.Repeat("v", api.MaxValueBytes)
	for i := range n {
		u.put(u.key(fmt.Sprint(i)), value)
	}
	res := u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder)})
	if len(res.Entries) == 0 || len(res.Entries) == n || !res.More {
		u.Errorf("a page over the limit of bytes has %d of %d entries, more = %v", len(res.Entries), n, res.More)
	}
	res = u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder), KeysOnly: true})
	if len(res.Entries) != n || res.More {
		u.Errorf("keys alone gave %d of %d entries, more = %v", len(res.Entries), n, res.More)
	}
}

func (u *suite) listLimits(l api.Lister) {
	_, err := l.List(u.ctx, &api.ListRequest{Range: api.PrefixRange(u.folder), Limit: api.MaxListLimit + 1})
	u.wantCode(err, api.CodeTooLarge, "1000", "1001")
	_, err = l.List(u.ctx, &api.ListRequest{Range: api.PrefixRange(u.folder), Limit: -1})
	u.wantCode(err, api.CodeInvalid)
	u.list(l, api.ListRequest{Range: api.PrefixRange(u.folder), Limit: api.MaxListLimit})
}

// listTogether: several lists of one owner's keys are made at once, each with its own order, limit and whether it has values.
func (u *suite) listTogether(l api.Lister) {
	d := u.key("d/") // whose keys share two segments
	for _, n := range []string{"a1", "a2", "a3", "b1", "b2"} {
		u.put(d+api.Key(n), "value of "+n)
	}
	part := func(prefix api.Key, limit int, reverse, keysOnly bool) api.ListPart {
		return api.ListPart{Range: api.PrefixRange(d + prefix), Limit: limit, Reverse: reverse, KeysOnly: keysOnly}
	}
	res := u.list(l, api.ListRequest{Range: api.PrefixRange(d + "a"), Limit: 2, Also: []api.ListPart{
		part("b", 0, true, true), part("c", 0, false, false), part("a", 1, true, false), {Range: api.Range{Start: d + "b", End: d + "a"}},
	}})
	if len(res.Also) != 4 {
		u.Fatalf("%d further pages, want 4", len(res.Also))
	}
	u.wantNames(res.Entries, "d/a1", "d/a2")
	u.wantNames(res.Also[0].Entries, "d/b2", "d/b1")
	u.wantNames(res.Also[1].Entries)
	u.wantNames(res.Also[2].Entries, "d/a3")
	u.wantNames(res.Also[3].Entries)
	if !res.More || res.Also[0].More || res.Also[1].More || !res.Also[2].More {
		u.Errorf("more is %v, %v, %v, %v", res.More, res.Also[0].More, res.Also[1].More, res.Also[2].More)
	}
	if v := res.Also[0].Entries[0]; len(v.Value) > 0 || v.Version.IsZero() {
		u.Errorf("a list of keys only has %+v", v)
	}
	if v := res.Also[2].Entries[0]; string(v.Value) != "value of a3" {
		u.Errorf("a list has %+v", v)
	}
}
