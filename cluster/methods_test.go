package cluster

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
)

// methods is all that a node answers: what a call counts against, and which callers may make it. A name is part of the wire, and is never
// used again with another meaning. A change of the last column is a change of what an edge may do.
const methods = `
Admit         control   servers
Adopt         control   servers
Calls         request   nodes
Cede          control   servers
CloseSession  control   holders
CommitLast    request   nodes
Confirm       free      members
Decide        control   nodes
Depart        control   nodes
Do            request   nodes
Feed          free      nodes
Health        control   servers
Index         control   members
Introduce     control   anyone
JoinTokens    control   servers
Leases        free      holders
List          request   nodes
Map           control   anyone
OpenSession   control   holders
Outcome       control   nodes
Poll          waiting   anyone
Prepare       request   nodes
Propose       control   anyone
Read          request   nodes
Release       control   holders
Renew         control   nodes
Report        control   nodes
Resolve       control   nodes
SeenTokens    control   servers
Slow          control   nodes
Tell          control   nodes
Transfer      control   servers
`

func TestMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		cfg := b.config("s1", api.RoleServer)
		cfg.Static = planned(t, "s1")
		var table strings.Builder
		for _, r := range b.open(cfg).peers.Table() {
			fmt.Fprintf(&table, "\n%-13s %-9s %s", r.Name, r.Class, r.Who)
		}
		if got := table.String() + "\n"; got != methods {
			t.Errorf("the table of methods is not as it was:%s", got)
		}
	})
}

// TestReport: a node reports its replicas, and the sessions of the groups that it leads.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		cfg := b.config("s1", api.RoleServer)
		cfg.Static = planned(t, "s1", "e1")
		s1 := b.open(cfg)
		edge := b.config("e1", api.RoleEdge)
		edge.Static = cfg.Static
		e1 := b.open(edge)
		b.ready(s1)
		b.ready(e1)
		time.Sleep(10 * time.Second) // both have opened their sessions
		r, err := reportOf(t.Context(), e1.pool.Remote("s1"))
		if err != nil {
			t.Fatal(err)
		}
		if r.Node != "s1" || r.Region != "r" || r.Role != api.RoleServer || r.Level != fsm.NewestLevel || r.Sessions != 2 {
			t.Errorf("the server reports %+v", r)
		}
		if len(r.Groups) != 2 || r.Groups[0].Group != "r.1" || r.Groups[0].Leader != "s1" || r.Groups[1].Group != ident.MetaGroup {
			t.Errorf("its groups are %+v", r.Groups)
		}
		if r, err = reportOf(t.Context(), s1.pool.Remote("e1")); err != nil || r.Role != api.RoleEdge || len(r.Groups)+r.Sessions+r.Leases != 0 {
			t.Errorf("the edge reports %+v, %v", r, err)
		}
	})
}
