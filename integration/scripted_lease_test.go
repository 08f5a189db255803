package integration

import (
	"fmt"
	"slices"
	"testing"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/storetest"
)

// TestNegativeLease: a key that does not exist is leased like any other: its absence is served at the edge, until it is
// created elsewhere, and is seen there as soon as that was acknowledged. The same again when it is deleted.
func TestNegativeLease(t *testing.T) {
	t.Parallel()
	scripted(t, 1, func(p *planet) {
		const key = "us-east/maybe"
		ap, us := p.byName["ap-south-edge-1"], p.byName["us-east-edge-1"]
		for range 2 {
			p.lease(ap, key, "")
			if v, ok := ap.byLease(key); !ok || v != "" {
				p.t.Fatalf("the absent key is served as %q: %v", v, ok)
			}
			p.put(us, key, "here")
			p.reads(ap, key, "here")
			p.lease(ap, key, "here")
			remove := &api.Txn{Then: []api.Op{{Kind: api.OpDelete, Key: key}}}
			if _, err := us.store().Do(within(p.t, opTimeout), remove); err != nil {
				p.t.Fatal(err)
			}
			p.reads(ap, key, "")
		}
	})
}

// TestGroups runs two groups a region: keys are spread over both, lists merge them, and each gives leases of its own.
func TestGroups(t *testing.T) {
	t.Parallel()
	scripted(t, 2, func(p *planet) {
		ap, us := p.byName["ap-south-edge-1"], p.byName["us-east-edge-1"]
		of := map[api.GroupID][]api.Key{}
		var keys []api.Key
		for i := range 60 {
			key := api.Key(fmt.Sprintf("eu-west/user%02d/name", i))
			p.put(us, key, string(key))
			of[p.owner(key)] = append(of[p.owner(key)], key)
			keys = append(keys, key)
		}
		if len(of) != 2 || len(of["eu-west.1"]) < 10 || len(of["eu-west.2"]) < 10 {
			p.t.Fatalf("60 keys are spread over the groups as %v", of)
		}
		p.listed(ap, keys)
		p.leasesOfTwoGroups(ap, us, of["eu-west.1"][0], of["eu-west.2"][0])
		p.sameState()
	})
}

// listed demands that pages hold all the keys in order, in both directions.
func (p *planet) listed(at *host, keys []api.Key) {
	p.t.Helper()
	for _, reverse := range []bool{false, true} {
		want := slices.Clone(keys)
		if reverse {
			slices.Reverse(want)
		}
		var got []api.Key
		q := &api.ListRequest{Range: api.PrefixRange("eu-west/user"), Limit: 7, Reverse: reverse}
		for more := true; more; {
			page, err := at.store().List(within(p.t, opTimeout), q)
			if err != nil || len(page.Entries) == 0 || len(page.Entries) > 7 {
				p.t.Fatalf("a page from %v: %+v, %v", q.Range, page, err)
			}
			for _, e := range page.Entries {
				if string(e.Value) != string(e.Key) {
					p.t.Errorf("%q is listed with the value %q", e.Key, e.Value)
				}
				got = append(got, e.Key)
			}
			if more = page.More; reverse {
				q.Range.End = got[len(got)-1]
			} else {
				q.Range.Start = got[len(got)-1] + "\x00"
			}
		}
		if !slices.Equal(got, want) {
			p.t.Errorf("listed (reverse: %v): %q", reverse, got)
		}
	}
}

// leasesOfTwoGroups demands that keys of two groups are leased under a session each, answer one read as a snapshot, and
// that a write takes the lease of its own key alone.
func (p *planet) leasesOfTwoGroups(at, writer *host, one, two api.Key) {
	p.t.Helper()
	p.lease(at, one, string(one))
	p.lease(at, two, string(two))
	a, _ := at.store().AuditKey(one)
	b, _ := at.store().AuditKey(two)
	if a.Group != "eu-west.1" || b.Group != "eu-west.2" {
		p.t.Errorf("leases of the groups %q and %q", a.Group, b.Group)
	}
	res, err := storetest.Read(within(p.t, opTimeout), at.store(), &api.ReadRequest{Keys: []api.Key{one, two}})
	if err != nil || res.ServedBy != api.ServedByLease || !res.Snapshot || res.Group != "" {
		p.t.Errorf("both at once: %+v, %v", res, err)
	}
	p.put(writer, one, "written")
	if _, ok := at.byLease(two); !ok {
		p.t.Error("a write to a key of one group took the lease of the other's")
	}
	if v, ok := at.byLease(one); ok {
		p.t.Errorf("after the write %q is served by a lease", v)
	}
	p.reads(at, one, "written")
	both := put(one, "both")
	both.Then = append(both.Then, put(two, "both").Then...)
	if _, err := writer.store().Do(within(p.t, opTimeout), both); err != nil {
		p.t.Errorf("a transaction over two groups: %v", err)
	}
	if v, ok := at.byLease(two); ok { // revoked when it was prepared
		p.t.Errorf("after the transaction %q is served by a lease", v)
	}
	p.reads(at, one, "both")
	p.reads(at, two, "both")
}
