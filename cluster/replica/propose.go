package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/observe/trace"
)

// Propose appends the command to the log, in one entry with others that wait, and returns the machine's result when a quorum
// has the entry on disk and this replica has applied it. The caller must not change the command before Propose returns.
//
// CodeNotLeader, CodeTooLarge and CodeUnavailable (the queue is full, leadership is moving, the replica is closed or halted, or
// ctx ended before the command left the queue) mean that the command was not and never will be applied. CodeAmbiguous means
// that it may have been applied or may yet be.
func (r *Replica[R]) Propose(ctx context.Context, command []byte) (R, error) {
	result, _, err := r.propose(ctx, command)
	return result, err
}

// propose also returns the term of the entry in which the command was applied.
func (r *Replica[R]) propose(ctx context.Context, command []byte) (result R, term uint64, err error) {
	if !r.IsLeader() {
		return result, 0, notLeader("propose", r.otherLeader())
	}
	if err := r.Halted(); err != nil {
		return result, 0, err
	}
	if len(command) > MaxCommandBytes {
		return result, 0, api.Errorf(api.CodeTooLarge, "command of %d bytes is over the limit of %d bytes", len(command), MaxCommandBytes)
	}
	start := time.Now()
	ctx, span := trace.Start(ctx, "propose", trace.Internal)
	defer span.End()
	o := r.packer.propose(ctx, command)
	if o.err != nil {
		span.Fail(string(api.CodeOf(o.err)))
		return result, 0, withLeader(o.err, r.otherLeader())
	}
	proposalSpans(ctx, start, &o.times)
	r.meters.propose(time.Since(start).Seconds())
	return o.result, o.term, nil
}

// MaxCommandBytes exceeds the largest transaction with its names. An entry with such a command is within the limit of a log.
const MaxCommandBytes = 63 << 20

// proposal is one command under way. Its state is changed once from waiting: to taken by the packer, or to dropped by a
// proposer that leaves, which may then answer that the command was not applied.
type proposal[R any] struct {
	command []byte
	traced  bool
	taken   time.Time // when it was put into an entry, if it is traced
	state   atomic.Int32
	answer  answer[R]     // set before done is sent to
	done    chan struct{} // buffer of one
}

// finish answers the proposer, once.
func (pr *proposal[R]) finish(a answer[R]) {
	pr.answer = a
	pr.done <- struct{}{}
}

type answer[R any] struct {
	result R
	term   uint64
	err    error
	times  times
}

// times are the instants of a traced proposal: when it was put into an entry, when the machine began to apply that, and when it had.
type times struct{ taken, applying, applied time.Time }

// proposalSpans makes the spans of a proposal that has been applied.
func proposalSpans(ctx context.Context, queued time.Time, t *times) {
	if t.applied.IsZero() {
		return
	}
	trace.Past(ctx, "queue", queued).EndAt(t.taken)
	trace.Past(ctx, "append", t.taken).EndAt(t.applying)
	trace.Past(ctx, "apply", t.applying).EndAt(t.applied)
}

const (
	stateWaiting = iota
	stateTaken   // in an entry: the log decides
	stateDropped // the proposer has left
)

// packer packs the waiting commands into entries. There is no timer: when fewer than InFlight entries are under way, the next
// one leaves with all commands that wait and fit.
type packer[R any] struct {
	raft    *raft.Raft
	limits  Limits
	enqueue time.Duration // bounds the wait for Raft's main loop to accept an entry
	closing <-chan struct{}
	meters  meters

	held     chan struct{} // holds one while hold is in effect
	ended    sync.Pool     // answered proposals, for reuse: allocating their channels is expensive
	queue    chan *proposal[R]
	bytes    atomic.Int64 // of the queue
	slots    chan struct{}
	inFlight chan flight[R]
	loops    sync.WaitGroup
}

// flight is an entry under way.
type flight[R any] struct {
	proposals []*proposal[R]
	future    raft.ApplyFuture
}

func newPacker[R any](ra *raft.Raft, l Limits, enqueue time.Duration, closing <-chan struct{}, m meters) *packer[R] {
	p := &packer[R]{
		raft: ra, limits: l, enqueue: enqueue, closing: closing, meters: m,
		held:     make(chan struct{}, 1),
		queue:    make(chan *proposal[R], l.QueueCommands),
		slots:    make(chan struct{}, l.InFlight),
		inFlight: make(chan flight[R], l.InFlight),
	}
	p.loops.Go(p.pack)
	p.loops.Go(p.complete)
	return p
}

// wait waits for the goroutines of the packer, which end when the replica closes.
func (p *packer[R]) wait() { p.loops.Wait() }

func (p *packer[R]) propose(ctx context.Context, command []byte) answer[R] {
	pr, _ := p.ended.Get().(*proposal[R])
	if pr == nil {
		pr = &proposal[R]{done: make(chan struct{}, 1)}
	}
	pr.command, pr.traced = command, trace.Of(ctx).Recording()
	if err := p.admit(pr); err != nil {
		return answer[R]{err: err}
	}
	select {
	case <-pr.done:
		a := pr.answer
		pr.command, pr.answer = nil, answer[R]{}
		pr.state.Store(stateWaiting)
		p.ended.Put(pr)
		return a
	case <-ctx.Done():
		return p.leave(pr, "the caller's time ran out while the command was under way", ctx.Err())
	case <-p.closing:
		return p.leave(pr, "this replica was closed while the command was under way", nil)
	}
}

// admit queues the proposal, or returns CodeUnavailable if the queue is full.
func (p *packer[R]) admit(pr *proposal[R]) error {
	size := int64(len(pr.command))
	if p.bytes.Add(size) <= p.limits.QueueBytes || size > p.limits.QueueBytes {
		select {
		case p.queue <- pr:
			return nil
		default:
		}
	}
	p.bytes.Add(-size)
	return &api.Error{Code: api.CodeUnavailable, Op: "propose", Hint: "too many commands wait for the log", RetryAfter: retryAfter}
}

// leave ends the wait of a proposer early. The command was not applied if it has not left the queue; otherwise the outcome is
// unknown.
func (p *packer[R]) leave(pr *proposal[R], hint string, cause error) answer[R] {
	if pr.state.CompareAndSwap(stateWaiting, stateDropped) {
		return answer[R]{err: &api.Error{Code: api.CodeUnavailable, Op: "propose", Hint: "the command did not enter the log in time", Err: cause}}
	}
	select {
	case <-pr.done: // it arrived at the same instant
		return pr.answer
	default:
		return answer[R]{err: errAmbiguous("propose", hint, cause)}
	}
}

// hold waits until no entry is under way, and keeps the next one from leaving until release is called. Commands wait in the queue
// meanwhile. ok is false if ctx or the replica ended first.
func (p *packer[R]) hold(ctx context.Context) (release func(), ok bool) {
	taken := 0
	release = func() {
		for range taken {
			<-p.slots
		}
		<-p.held
	}
	select {
	case p.held <- struct{}{}:
	case <-ctx.Done():
		return nil, false
	}
	for taken < cap(p.slots) && guardHoldBeforeTransfer {
		select {
		case p.slots <- struct{}{}:
			taken++
		case <-ctx.Done():
			release()
			return nil, false
		case <-p.closing:
			release()
			return nil, false
		}
	}
	return release, true
}

func (p *packer[R]) pack() {
	defer close(p.inFlight)
	var held *proposal[R] // taken from the queue, but too long for the previous entry
	for {
		first := held
		if first == nil {
			select {
			case first = <-p.queue:
			case <-p.closing:
				return
			}
		}
		select {
		case p.slots <- struct{}{}:
		case <-p.closing:
			return
		}
		var batch []*proposal[R]
		batch, held = p.gather(first)
		if len(batch) == 0 {
			<-p.slots
			continue
		}
		p.inFlight <- flight[R]{proposals: batch, future: p.enter(batch)}
	}
}

// gather returns first and those waiting proposals that fit, without those whose proposers have left. held does not fit.
func (p *packer[R]) gather(first *proposal[R]) (batch []*proposal[R], held *proposal[R]) {
	size := 0
	for next := first; ; {
		if size > 0 && size+len(next.command) > p.limits.EntryBytes {
			return batch, next
		}
		p.bytes.Add(-int64(len(next.command)))
		if next.state.CompareAndSwap(stateWaiting, stateTaken) {
			if next.traced {
				next.taken = time.Now()
			}
			batch = append(batch, next)
			size += len(next.command)
		}
		if len(batch) >= p.limits.EntryCommands {
			return batch, nil
		}
		select {
		case next = <-p.queue:
		default:
			return batch, nil
		}
	}
}

func (p *packer[R]) enter(batch []*proposal[R]) raft.ApplyFuture {
	commands := make([][]byte, len(batch))
	for i, pr := range batch {
		commands[i] = pr.command
	}
	p.meters.entries(1)
	return p.raft.Apply(encodeEntry(commands), p.enqueue)
}

// complete answers the proposers of each entry, in log order.
func (p *packer[R]) complete() {
	for f := range p.inFlight {
		err := f.future.Error()
		<-p.slots
		if err == nil {
			p.resolve(f)
			continue
		}
		a := answer[R]{err: outcome("propose", err)}
		for _, pr := range f.proposals {
			pr.finish(a)
		}
	}
}

func (p *packer[R]) resolve(f flight[R]) {
	applied, ok := f.future.Response().(*appliedEntry[R])
	for i, pr := range f.proposals {
		switch {
		case ok && applied.err != nil: // other members may apply it
			pr.finish(answer[R]{err: errAmbiguous("propose", "this replica has stopped", applied.err)})
		case ok && len(applied.results) == len(f.proposals):
			a := answer[R]{result: applied.results[i], term: applied.term}
			if pr.traced {
				a.times = times{pr.taken, applied.began, time.Now()}
			}
			pr.finish(a)
		default: // a bug in the machine: what it did is unknown
			pr.finish(answer[R]{err: errAmbiguous("propose", "the machine returned a wrong number of results", nil)})
		}
	}
}
