package replica

import (
	"errors"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
)

// halt is the end of applying at this replica: it met an entry that its program cannot read. The replica goes on storing the
// log and voting, so that the group keeps its quorum, but it gives up every lead, takes no snapshot, and answers nothing.
type halt struct {
	group  string
	log    hclog.Logger
	halted chan struct{} // closed when it has happened
	reason atomic.Pointer[api.Error]
}

// stop halts the replica at the entry. Only Apply calls it, once.
func (h *halt) stop(index uint64, cause error) error {
	hint := h.group + " has entries of a newer version: upgrade this node"
	if errors.Is(cause, errEntry) {
		hint = h.group + " has an entry that is damaged: replace this node's copy of the group"
	} else if _, ends := errors.AsType[ending](cause); ends {
		hint = h.group + " has no state to go on with at this node: " + cause.Error()
	}
	h.reason.Store(&api.Error{Code: api.CodeUnavailable, Hint: hint, Err: cause})
	h.log.Error(hint, "entry", index)
	close(h.halted)
	return h.Halted()
}

// Halted says why the replica applies nothing any more; nil while it does.
func (h *halt) Halted() error {
	if reason := h.reason.Load(); reason != nil {
		return reason
	}
	return nil
}
