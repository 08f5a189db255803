package group

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// Raise raises the group to the level that known returns, if that is above the present level and this node leads.
// known asks all members of the group's newest configuration. Raise calls it after this leader's first entry has
// applied, so that no change of members by an earlier leader can come later.
func (a *Authority) Raise(ctx context.Context, known func(context.Context) fsm.Level) error {
	l, err := a.leader(ctx)
	if err != nil {
		return err
	}
	level := known(ctx)
	if level <= a.cfg.Machine.Level() {
		return nil
	}
	if _, err := a.propose(ctx, fsm.SetLevel{Term: l.term, Level: level}); err != nil {
		return &api.Error{Code: api.CodeOf(err), Op: "raise the level", Err: err}
	}
	a.cfg.Logger.Info("all members know a newer level: the group has it now", "group", a.cfg.Group, "level", level)
	return nil
}
