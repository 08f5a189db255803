package replica

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/edgehold/edgehold/api"
)

// Propose puts the command into the log, together with others that wait, and returns the machine's result of it once a
// quorum holds it on disk and this replica has applied it. The command is unchanged until Propose returns.
//
// CodeNotLeader, CodeUnavailable (queue full, leadership moving, replica closed, ctx over before the command left the
// queue) and CodeTooLarge mean: not applied, now or ever. CodeAmbiguous means: it may have been or may yet be applied.
func (r *Replica[R]) Propose(ctx context.Context, command []byte) (R, error) {
	result, _, err := r.propose(ctx, command)
	return result, err
}

// propose also tells the term of the entry that the command was applied in.
func (r *Replica[R]) propose(ctx context.Context, command []byte) (result R, term uint64, err error) {
	if !r.IsLeader() {
		return result, 0, notLeader("propose", r.otherLeader())
	}
	if err := r.Halted(); err != nil {
		return result, 0, err
	}
	if len(command) > maxCommandBytes {
		return result, 0, api.Errorf(api.CodeTooLarge, "command of %d bytes is over the limit of %d bytes", len(command), maxCommandBytes)
	}
	start := time.Now()
	o := r.packer.propose(ctx, command)
	if o.err != nil {
		return result, 0, withLeader(o.err, r.otherLeader())
	}
	r.meters.propose(time.Since(start).Seconds())
	return o.result, o.term, nil
}

// maxCommandBytes leaves room for the greatest transaction and its names, and makes no entry greater than a log takes.
const maxCommandBytes = 63 << 20

// proposal is one command on its way. Its state decides who may answer "not applied": whoever moves it from waiting first.
type proposal[R any] struct {
	command []byte
	state   atomic.Int32
	answer  answer[R]     // set before done is told
	done    chan struct{} // holds one
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
}

const (
	stateWaiting = iota
	stateTaken   // in an entry: only the log knows
	stateDropped // its proposer has left
)

// packer packs the waiting commands into entries. There is no timer: an entry leaves as soon as fewer than InFlight are
// under way, with whatever has come together meanwhile.
type packer[R any] struct {
	raft    *raft.Raft
	limits  Limits
	enqueue time.Duration // how long Raft's main loop may take to accept an entry
	closing <-chan struct{}
	meters  meters

	held     chan struct{} // holds one while somebody holds the packer
	ended    sync.Pool     // of proposals that were answered: their channels cost more than the rest of them
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

// wait returns when the closed packer's goroutines have ended.
func (p *packer[R]) wait() { p.loops.Wait() }

func (p *packer[R]) propose(ctx context.Context, command []byte) answer[R] {
	pr, _ := p.ended.Get().(*proposal[R])
	if pr == nil {
		pr = &proposal[R]{done: make(chan struct{}, 1)}
	}
	pr.command = command
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

// admit queues the proposal where there is room.
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

// leave ends the wait of a proposer early: not applied if the command has not left the queue, else unknown.
func (p *packer[R]) leave(pr *proposal[R], hint string, cause error) answer[R] {
	if pr.state.CompareAndSwap(stateWaiting, stateDropped) {
		return answer[R]{err: &api.Error{Code: api.CodeUnavailable, Op: "propose", Hint: "the command did not enter the log in time", Err: cause}}
	}
	select {
	case <-pr.done: // it came in the same instant
		return pr.answer
	default:
		return answer[R]{err: errAmbiguous("propose", hint, cause)}
	}
}

// hold waits until no entry is under way, and keeps the next from leaving until release: commands wait in the queue meanwhile. It
// gives up when ctx or the replica ends, and then reports false.
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
	var held *proposal[R] // taken from the queue, too long for the entry before
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

// gather takes first and what else waits, as far as it fits, without those whose proposers have left.
func (p *packer[R]) gather(first *proposal[R]) (batch []*proposal[R], held *proposal[R]) {
	size := 0
	for next := first; ; {
		if size > 0 && size+len(next.command) > p.limits.EntryBytes {
			return batch, next
		}
		p.bytes.Add(-int64(len(next.command)))
		if next.state.CompareAndSwap(stateWaiting, stateTaken) {
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

// complete answers the proposers of each entry, in the order of the log.
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
		if ok && applied.err != nil { // others may apply it
			pr.finish(answer[R]{err: errAmbiguous("propose", "this replica has stopped", applied.err)})
		} else if ok && len(applied.results) == len(f.proposals) {
			pr.finish(answer[R]{result: applied.results[i], term: applied.term})
		} else { // a fault of the machine: what it did is unknown
			pr.finish(answer[R]{err: errAmbiguous("propose", "the machine returned a wrong number of results", nil)})
		}
	}
}
