package region

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm"
)

// Raise brings the group to the level that known returns, if that is above the present one and this node leads. known asks
// all members of the group's newest configuration. It is called after this leader's first entry has applied, so that no
// change of members by an earlier leader can come later.
func (r *Region) Raise(ctx context.Context, known func(context.Context) fsm.Level) error {
	l, err := r.leader(ctx)
	if err != nil {
		return err
	}
	level := known(ctx)
	if level <= r.cfg.Machine.Level() {
		return nil
	}
	if _, err := r.propose(ctx, fsm.SetLevel{Term: l.term, Level: level}); err != nil {
		return &api.Error{Code: api.CodeOf(err), Op: "raise the level", Err: err}
	}
	r.cfg.Logger.Info("all members know a newer level: the group has it now", "group", r.cfg.Group, "level", level)
	return nil
}
