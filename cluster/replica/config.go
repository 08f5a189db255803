package replica

import (
	"context"
	"io"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe"
	"github.com/edgehold/edgehold/cluster/replica/checkpoint"
	"github.com/edgehold/edgehold/cluster/replica/logstore"
)

// Machine is the replicated state machine. Apply, Snapshot and Restore are called by one goroutine; WriteTo of a
// snapshot runs beside later calls of Apply.
type Machine[R any] interface {
	// Apply applies the commands of the log entry of that index and term, in order, and returns exactly one result for
	// each. It must be deterministic and must not wait for anything. The commands share memory with the whole entry and
	// with the log: Apply never changes them, and copies what it keeps. The first byte of a command is its version.
	//
	// An error says that a newer version of the program wrote the entry: nothing of it was applied. No later entry will
	// be given to Apply.
	Apply(index, term uint64, commands [][]byte) ([]R, error)
	// Snapshot captures the state between two calls of Apply, quickly.
	Snapshot() (Snapshot, error)
	// Restore replaces the whole state by that of a snapshot.
	Restore(r io.Reader) error
}

// Snapshot is a captured state. It is closed exactly once, written or not.
type Snapshot interface {
	io.WriterTo
	Close() error
}

// Durable is the side of a machine whose state outlives the process. It need not be on disk as soon as it has changed: what
// a crash took the log has. Checkpoint and Flush are called beside Apply, Adopt by the goroutine of Apply.
type Durable interface {
	checkpoint.Maker
	// Flush returns when all that had been applied before the call is on disk. After a crash Applied is at least what it was
	// at the last Flush, and the state is the one after that entry.
	Flush() error
	// Adopt replaces the state by that of a checkpoint, which stays as it is.
	Adopt(dir string) error
}

// StreamLayer connects the members of the group: one lane of the node's port. Safe for concurrent use. Close ends Accept
// and every Dial under way.
type StreamLayer interface {
	Accept() (net.Conn, error)
	Close() error
	Addr() net.Addr
	// Dial connects to the same group's lane at a node; the address is the newest known one. It gives up after timeout.
	Dial(node string, address string, timeout time.Duration) (net.Conn, error)
}

// Member is one member of a group.
type Member struct {
	Node    string // the node's ID
	Address string // HOST:PORT
	Voter   bool
}

// Config describes a replica. Group, Node, Streams and one of Dir and Stores are required, Confirm where the group has
// more than one voter; everything else has a working zero value.
type Config struct {
	// Group and Node name this replica, for life: its durable state refuses any others.
	Group, Node string
	// State is the machine's durable side. nil: the machine is gone with the process, and comes back from a snapshot and
	// the log. Not nil: it is as it was, and with Dir its snapshots are checkpoints of it. The replica does not close it.
	State Durable
	// Members, where not empty, are the voters that found the group if there is no durable state yet. Each founder must
	// be given the same ones. A replica without state and without Members waits to be added by a leader.
	Members []Member
	// Dir holds the log and the snapshots.
	Dir string
	// Log is how the log in Dir is kept. One of another kind is made one of that kind by Open, however long that takes;
	// "" keeps what is there.
	Log logstore.Kind
	// Stores replaces the files below Dir.
	Stores func() (logstore.Stores, error)
	// Streams connects this member with the others. The replica closes it.
	Streams StreamLayer
	// Address gives the present address of a member; nil or not ok means the one of the group's configuration.
	Address func(node string) (address string, ok bool)
	// Confirm asks a voter whether its [Replica.CurrentTerm] is term, over any transport but Raft's. It must return
	// soon after ctx has ended.
	Confirm func(ctx context.Context, node string, term uint64) (bool, error)
	// OnLeadership gives the command to propose when this replica has been told that it leads in term. The command is
	// proposed until it has applied in that term or the term is over. nil proposes nothing.
	OnLeadership func(term uint64) []byte
	// OnStuck is called, once each time, where the disk has not finished an append for Timing.DiskLost. The caller may
	// end the process. nil does nothing.
	OnStuck func(d time.Duration)
	// OnFailed is called if the replica has no state to go on with: its log or its machine's state is damaged, an entry cannot be
	// understood, or a term cannot be kept. It must end the process, or at least never count on this replica again, which applies
	// nothing more. It is called by the goroutine that meets the failure, perhaps more than once. nil panics.
	OnFailed func(err error)
	// Timing of elections and transports; a zero field is that of RegionTiming.
	Timing Timing
	// Limits of queues, entries and logs; a zero field is its default.
	Limits Limits
	// Logger is where the replica and Raft say what they do; nil is nowhere.
	Logger hclog.Logger
	// Metrics is where the replica registers what it measures; nil is nowhere.
	Metrics observe.Metrics
}

// endedError is the panic of a replica that has no state to go on with.
type endedError struct{ error }

// EndsProcess marks a panic that must not be caught.
func (endedError) EndsProcess() {}

func (c *Config) check() error {
	switch {
	case c.Group == "" || c.Node == "" || strings.ContainsRune(c.Node, 0):
		return api.Errorf(api.CodeInvalid, "a replica needs a group and a node, which holds no zero byte")
	case c.Dir == "" && c.Stores == nil:
		return api.Errorf(api.CodeInvalid, "replica %s of %s has no folder for its log", c.Node, c.Group)
	case c.Streams == nil:
		return api.Errorf(api.CodeInvalid, "replica %s of %s has no streams", c.Node, c.Group)
	}
	if err := c.Log.Check(); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, m := range c.Members {
		if m.Node == "" || seen[m.Node] {
			return api.Errorf(api.CodeInvalid, "group %s is founded with an empty or repeated member %q", c.Group, m.Node)
		}
		seen[m.Node] = true
	}
	return nil
}

func (c *Config) setDefaults() {
	c.Timing.setDefaults()
	c.Limits.setDefaults()
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Metrics == nil {
		c.Metrics = observe.NoMetrics{}
	}
	if c.OnFailed == nil {
		c.OnFailed = func(err error) { panic(endedError{err}) }
	}
	if c.Address == nil {
		c.Address = func(string) (string, bool) { return "", false }
	}
	if c.Confirm == nil {
		c.Confirm = func(context.Context, string, uint64) (bool, error) { return false, nil }
	}
}
