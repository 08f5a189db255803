package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Close ends the node: first other voters take over the groups that it leads; then the requests of clients end, the leases that it
// holds, its replicas, and the port. Close waits for everything that the node has started. A second call returns what the first did.
func (n *Node) Close() error {
	n.endRoom(0)
	n.closing.Lock()
	defer n.closing.Unlock()
	return errors.Join(n.errs...)
}

// CloseAll closes nodes of one process that are a whole cluster, as [Node.Close] does, but takes no lead to another node. The nodes end
// in step, room by room: while one still gives its leases back, all others answer.
func CloseAll(nodes ...*Node) error {
	for _, n := range nodes {
		n.together.Store(true)
	}
	for room := range slices.Backward(rooms) {
		var ended sync.WaitGroup
		for _, n := range nodes {
			ended.Go(func() { n.endRoom(room) })
		}
		ended.Wait()
	}
	var errs []error
	for _, n := range nodes {
		if err := n.Close(); err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", n.ID(), err))
		}
	}
	return errors.Join(errs...)
}

// endRoom ends the rooms from the one with that index on which are still open, the last first. It waits for another call.
func (n *Node) endRoom(first int) {
	n.closing.Lock()
	defer n.closing.Unlock()
	for len(n.closers) > first {
		last := len(n.closers) - 1
		end := n.closers[last]
		n.closers = n.closers[:last]
		if end != nil {
			n.errs = append(n.errs, end())
		}
	}
}

// ending is the end of a room that cannot fail to end.
func ending(end func()) func() error {
	return func() error { end(); return nil }
}
