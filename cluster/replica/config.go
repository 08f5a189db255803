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

// Machine is the replicated state machine. One goroutine calls Apply, Snapshot and Restore. WriteTo of a snapshot may run
// concurrently with later calls of Apply.
type Machine[R any] interface {
	// Apply applies the commands of the log entry at index, in order, and returns exactly one result for each. It must be
	// deterministic and must not block. The commands share memory with the entry and with the log: Apply must not change
	// them, and copies what it retains. The first byte of a command is its version.
	//
	// An error says that a newer version of the program wrote the entry, and that nothing of it was applied. Apply is not
	// called for later entries.
	Apply(index, term uint64, commands [][]byte) ([]R, error)
	// Snapshot captures the state. It must be quick.
	Snapshot() (Snapshot, error)
	// Restore replaces the whole state with that of a snapshot.
	Restore(r io.Reader) error
}

// Snapshot is a captured state. Close is called exactly once, whether the snapshot was written or not.
type Snapshot interface {
	io.WriterTo
	Close() error
}

// Durable is the durable state of a machine. A change need not be on disk at once: after a crash it is applied again from the
// log. Checkpoint and Flush may run concurrently with Apply; the goroutine of Apply calls Adopt.
type Durable interface {
	checkpoint.Maker
	// Flush returns when all entries that were applied before the call are on disk. After a crash, Applied is at least what it
	// was at the last Flush, and the state is the one after that entry.
	Flush() error
	// Adopt replaces the state with that of the checkpoint in dir, which it does not change.
	Adopt(dir string) error
}

// StreamLayer connects the members of the group: one lane of the node's port. It is safe for concurrent use. Close ends Accept
// and every Dial under way.
type StreamLayer interface {
	Accept() (net.Conn, error)
	Close() error
	Addr() net.Addr
	// Dial connects to the group's lane at a node. address is the latest known one. It fails after timeout.
	Dial(node string, address string, timeout time.Duration) (net.Conn, error)
}

// Member is one member of a group.
type Member struct {
	Node    string // the node's ID
	Address string // HOST:PORT
	Voter   bool
}

// Config configures a replica. Group, Node, Streams and one of Dir and Stores are required, and Confirm if the group has more
// than one voter. The zero value of every other field works.
type Config struct {
	// Group and Node identify this replica. Its durable state cannot be opened under other names.
	Group, Node string
	// State is the machine's durable state. If it is nil, a start restores the machine from a snapshot and the log. If it is
	// not nil, a start continues from it, and with Dir its snapshots are checkpoints. The replica does not close it.
	State Durable
	// Members are the voters that found the group if there is no durable state yet. They must be the same at each founder. A
	// replica without durable state and without Members waits until a leader adds it.
	Members []Member
	// Dir is the folder of the log and the snapshots.
	Dir string
	// Log is the kind of the log in Dir. Open converts a log of another kind, however long that takes; "" keeps the kind.
	Log logstore.Kind
	// Stores, if not nil, opens the stores that replace the files in Dir.
	Stores func() (logstore.Stores, error)
	// Streams connects this member to the others. The replica closes it.
	Streams StreamLayer
	// Address returns the present address of a member. If it is nil or returns false, the address in the group's configuration
	// is used.
	Address func(node string) (address string, ok bool)
	// Confirm asks a voter whether its [Replica.CurrentTerm] is term, over any transport but Raft's. It must return soon after
	// ctx ends.
	Confirm func(ctx context.Context, node string, term uint64) (bool, error)
	// OnLeadership returns the command to propose when this replica becomes the leader in term. The replica proposes it again
	// until it has applied in that term or the term is over. nil proposes nothing.
	OnLeadership func(term uint64) []byte
	// OnStuck is called once for each append to the log that takes longer than Timing.DiskLost. It may end the process. nil
	// does nothing.
	OnStuck func(d time.Duration)
	// OnFailed is called if the replica cannot continue: its log or its machine's state is damaged, or a term cannot be stored.
	// It must end the process, or at least never rely on this replica again, which applies nothing more. The goroutine that
	// meets the failure calls it, perhaps more than once. nil panics.
	OnFailed func(err error)
	// Timing is for elections and transports. A zero field is that of RegionTiming.
	Timing Timing
	// Limits bounds queues, entries and logs. A zero field is its default.
	Limits Limits
	// Logger is the log of the replica and of Raft; nil discards it.
	Logger hclog.Logger
	// Metrics registers what the replica measures; nil discards it.
	Metrics observe.Metrics
}

// endedError is the panic value of a replica that cannot continue.
type endedError struct{ error }

// EndsProcess marks a panic that must not be recovered.
func (endedError) EndsProcess() {}

func (c *Config) check() error {
	switch {
	case c.Group == "" || c.Node == "" || strings.ContainsRune(c.Node, 0):
		return api.Errorf(api.CodeInvalid, "a replica needs a group and a node without zero bytes")
	case c.Dir == "" && c.Stores == nil:
		return api.Errorf(api.CodeInvalid, "replica %s of %s needs a folder or stores", c.Node, c.Group)
	case c.Streams == nil:
		return api.Errorf(api.CodeInvalid, "replica %s of %s needs streams", c.Node, c.Group)
	}
	if err := c.Log.Check(); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, m := range c.Members {
		if m.Node == "" || seen[m.Node] {
			return api.Errorf(api.CodeInvalid, "the founders of group %s include an empty or repeated member %q", c.Group, m.Node)
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
