package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/join"
	"github.com/edgehold/edgehold/fsm/placement"
)

var _ api.Settings = (*Node)(nil)

// Settings lists the settings as this node's map has them.
func (n *Node) Settings(context.Context) ([]api.Setting, error) {
	m, err := n.present("settings")
	if err != nil {
		return nil, err
	}
	all := make([]api.Setting, 0, len(placement.Settings))
	for _, row := range placement.Settings {
		all = append(all, settingOf(m, row))
	}
	return all, nil
}

// Setting returns one setting as this node's map has it.
func (n *Node) Setting(_ context.Context, name string) (*api.Setting, error) {
	row, err := settingNamed(name)
	if err != nil {
		return nil, err
	}
	m, err := n.present("settings")
	if err != nil {
		return nil, err
	}
	s := settingOf(m, row)
	return &s, nil
}

// SetSetting gives a setting a value. CodeDenied at an edge.
func (n *Node) SetSetting(ctx context.Context, name, value string, force bool) (*api.Setting, error) {
	row, err := settingNamed(name)
	if err != nil {
		return nil, err
	}
	if value, err = row.Parse(value); err != nil {
		return nil, err
	}
	return n.changeSetting(ctx, row, value, force)
}

// UnsetSetting gives a setting its default again. CodeDenied at an edge.
func (n *Node) UnsetSetting(ctx context.Context, name string) (*api.Setting, error) {
	row, err := settingNamed(name)
	if err != nil {
		return nil, err
	}
	return n.changeSetting(ctx, row, "", false)
}

func (n *Node) changeSetting(ctx context.Context, row placement.Setting, value string, force bool) (*api.Setting, error) {
	if err := n.administers("set " + row.Name); err != nil {
		return nil, err
	}
	var m *placement.Map
	var err error
	if row.Name == placement.SettingSecurity {
		m, err = n.setSecurity(ctx, value, force)
	} else {
		m, err = n.changes.Change(ctx, placement.Set{Name: row.Name, Value: value})
	}
	if err != nil {
		return nil, err
	}
	s := settingOf(m, row)
	return &s, nil
}

func settingNamed(name string) (placement.Setting, error) {
	row, ok := placement.SettingNamed(name)
	if !ok {
		return row, api.Errorf(api.CodeNotFound, "there is no setting %.40q: \"edgehold cluster settings\" lists them", name)
	}
	return row, nil
}

func settingOf(m *placement.Map, row placement.Setting) api.Setting {
	return api.Setting{
		Name: row.Name, Value: m.Setting(row.Name), Default: row.Default, Type: string(row.Kind), Bounds: row.Bounds(), Doc: row.Doc,
	}
}

// present returns the map that this node knows.
func (n *Node) present(op string) (*placement.Map, error) {
	if m := n.mirror.Map(); m != nil {
		return m, nil
	}
	return nil, &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "this node has not reached its cluster yet; see --join", RetryAfter: time.Second}
}

// ClusterLevel returns the level of the cluster. It rises when all voters of the meta group know a higher one, and above
// LevelIdentity when all nodes do.
func (n *Node) ClusterLevel(ctx context.Context) (*api.ClusterLevel, error) {
	m, err := n.present("level")
	if err != nil {
		return nil, err
	}
	l := &api.ClusterLevel{
		Level: int(m.Level), Newest: int(n.cfg.mapLevel), Hold: m.Setting(placement.SettingLevelHold) == "on", HeldBy: []api.LevelHolder{},
	}
	if l.Level >= l.Newest {
		return l, nil
	}
	nodes := nodesOf(m)
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	for i, r := range n.replicas.reportsOf(ctx, nodes) {
		switch {
		case r.Node == "":
			l.HeldBy = append(l.HeldBy, api.LevelHolder{Node: api.NodeID(nodes[i]), Why: "it does not answer"})
		case int(r.MapLevel) < l.Newest:
			l.HeldBy = append(l.HeldBy, api.LevelHolder{Node: api.NodeID(nodes[i]), Why: fmt.Sprintf("it knows level %d; upgrade it", r.MapLevel)})
		}
	}
	return l, nil
}

// setSecurity sets whether the ports of the cluster speak TLS, and returns the map after it. The first time it makes the cluster's root
// and its key, which travels to the leader of the meta group as nodes talk until then: in the clear.
func (n *Node) setSecurity(ctx context.Context, value string, force bool) (*placement.Map, error) {
	c := placement.Secure{Force: force}
	if value != "" && value != "plain" {
		c.Security = placement.Security(value)
	}
	m, err := n.changes.Get(ctx)
	if err != nil {
		return nil, err
	}
	if c.Security == placement.TLS && m.Security == placement.Both {
		if waits := n.unconfirmed(ctx, m); len(waits) > 0 {
			return nil, api.Errorf(api.CodeConflict, "these nodes have not confirmed that the key which the cluster has for them is their own, and would be shut out: %s; try again when they are up, or remove them",
				strings.Join(waits, ", "))
		}
	}
	if c.Security != placement.Plain && len(m.Roots) == 0 {
		ca, err := join.NewCA(m.ClusterID)
		if err != nil {
			return nil, err
		}
		c.Root = ca.Certificate.Raw
		if c.Key, err = ca.Key(); err != nil {
			return nil, err
		}
	}
	return n.changes.Change(ctx, c)
}

// unconfirmed names the nodes that do not say that the newest pin under their name is that of their own key.
func (n *Node) unconfirmed(ctx context.Context, m *placement.Map) (ids []string) {
	for i, r := range n.reports(ctx, m) {
		if x := m.Nodes[i]; r == nil || len(r.Pin) == 0 || !x.HasPin(r.Pin) {
			ids = append(ids, string(x.ID))
		}
	}
	return ids
}
