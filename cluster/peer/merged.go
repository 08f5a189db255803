package peer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
)

const (
	// mergedTimeout bounds one message, and so each of its questions.
	mergedTimeout = 5 * time.Second
	// maxMessages bounds the messages of one method that are under way to one node; while so many are, later questions share the
	// next.
	maxMessages = 2
	// MaxQuestions bounds the questions that wait for it; one over it gets CodeUnavailable.
	MaxQuestions = 4096
)

// Merged is a method of small questions, of which those to one node share messages: questions that wait for a free message
// travel in one. Each message carries only what was asked before it was sent, so every answer is given after its question. Make
// it with [NewMerged].
type Merged[Q comparable, A any] struct {
	method Method[questions[Q], answers[A]]
}

type questions[Q any] struct {
	All []Q `cbor:"1,keyasint"`
}

// answers stand in the order of their questions.
type answers[A any] struct {
	All []A `cbor:"1,keyasint"`
}

// NewMerged declares a method; see [NewMethod].
func NewMerged[Q comparable, A any](name string, class admission.Class, who Who) Merged[Q, A] {
	return Merged[Q, A]{NewMethod[questions[Q], answers[A]](name, class, who)}
}

// Handle has the server answer the questions. serve must not block. See [Method.Handle].
func (m Merged[Q, A]) Handle(s *Server, serve func(Q) A) {
	m.method.Handle(s, func(_ context.Context, q *questions[Q]) (*answers[A], error) {
		all := make([]A, len(q.All))
		for i, x := range q.All {
			all[i] = serve(x)
		}
		return &answers[A]{all}, nil
	})
}

// Ask returns the node's answer, given at an instant after the call. CodeUnavailable if none comes before ctx ends, or
// within 5 s.
func (m Merged[Q, A]) Ask(ctx context.Context, r *Remote, q Q) (a A, err error) {
	x, ok := r.merging.Load(m.method.row.Name)
	if !ok {
		x, _ = r.merging.LoadOrStore(m.method.row.Name, &merging[Q, A]{method: m.method, remote: r, waiting: map[Q]*pending[A]{}})
	}
	p, err := x.(*merging[Q, A]).join(q)
	if err != nil {
		return a, err
	}
	select {
	case <-p.done:
		return p.answer, p.err
	case <-ctx.Done():
		return a, &api.Error{Code: api.CodeUnavailable, Op: m.method.row.Name, Hint: "the node did not answer in time", Err: ctx.Err()}
	}
}

// merging is the questions of one method to one node.
type merging[Q comparable, A any] struct {
	method Method[questions[Q], answers[A]]
	remote *Remote

	mu       sync.Mutex
	underWay int // messages
	waiting  map[Q]*pending[A]
}

// pending is one question in one message, for all that asked it before the message left.
type pending[A any] struct {
	done   chan struct{}
	answer A     // set before done is closed
	err    error // likewise
}

var errQuestions = &api.Error{Code: api.CodeUnavailable, RetryAfter: 100 * time.Millisecond,
	Hint: fmt.Sprintf("%d questions wait to be asked of the node, the limit", MaxQuestions)}

// join puts the question into the next message, and sends that if it may leave now.
func (x *merging[Q, A]) join(q Q) (*pending[A], error) {
	pool := x.remote.pool
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.waiting[q]
	if p == nil {
		if len(x.waiting) >= MaxQuestions {
			return nil, errQuestions
		}
		p = &pending[A]{done: make(chan struct{})}
		x.waiting[q] = p
	}
	if x.underWay < maxMessages {
		message := x.waiting
		x.waiting = map[Q]*pending[A]{}
		if !pool.start(func() { x.run(message) }) {
			return nil, errClosed()
		}
		x.underWay++
	}
	return p, nil
}

// run sends a message, then the next one as long as questions wait.
func (x *merging[Q, A]) run(message map[Q]*pending[A]) {
	for message != nil {
		x.send(message)
		x.mu.Lock()
		message = x.waiting
		x.waiting = map[Q]*pending[A]{}
		if len(message) == 0 {
			message = nil
			x.underWay--
		}
		x.mu.Unlock()
	}
}

// send sends one message and hands out the answers.
func (x *merging[Q, A]) send(message map[Q]*pending[A]) {
	pool := x.remote.pool
	ctx, cancel := context.WithTimeout(pool.ctx, mergedTimeout)
	defer cancel()
	asked := &questions[Q]{make([]Q, 0, len(message))}
	for q := range message {
		asked.All = append(asked.All, q)
	}
	answer, err := x.method.Ask(ctx, x.remote, asked)
	if err == nil && len(answer.All) != len(asked.All) {
		err = api.Errorf(api.CodeInternal, "%d answers came to %d questions", len(answer.All), len(asked.All))
	}
	for i, q := range asked.All {
		p := message[q]
		if p.err = err; err == nil {
			p.answer = answer.All[i]
		}
		close(p.done)
	}
}
