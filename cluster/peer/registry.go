package peer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/observe/trace"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/transport/rpc"
)

// Row is a method or a stream in the table of what a node answers.
type Row struct {
	Name   string          // part of the wire: it is never used again with another meaning
	Class  admission.Class // what its calls count as at the node that answers
	Who    Who
	Stream bool
	// PerNode bounds the calls or streams of one node that are under way; 0 does not.
	PerNode int
}

func (r Row) check() Row {
	if r.Name == "" || r.Class == 0 || r.Who == 0 {
		panic(fmt.Sprintf("peer: %q lacks its name, its class or its callers", r.Name))
	}
	return r
}

// Table returns the methods and streams that the server answers, in the order of their names.
func (s *Server) Table() []Row {
	rows := []Row{callsRow}
	s.entries.Range(func(_, e any) bool {
		rows = append(rows, e.(entry).Row)
		return true
	})
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

// Method is one thing that a node asks of another. Make it with [NewMethod], beside the stub that calls it and the handler that
// answers.
type Method[Req, Resp any] struct{ row Row }

// NewMethod declares a method: its name, what its calls count as, and which callers may call it. It panics if one is missing.
func NewMethod[Req, Resp any](name string, class admission.Class, who Who) Method[Req, Resp] {
	return Method[Req, Resp]{Row{Name: name, Class: class, Who: who}.check()}
}

// PerNode is the method with at most n calls of one node under way; one more gets CodeUnavailable. It is for calls that wait.
func (m Method[Req, Resp]) PerNode(n int) Method[Req, Resp] {
	m.row.PerNode = n
	return m
}

// Handle has the server answer the method. It is called once a method, before [Server.Serve]; it panics if the name is taken.
func (m Method[Req, Resp]) Handle(s *Server, serve func(context.Context, *Req) (*Resp, error)) {
	s.add(m.row, serve)
	rpc.Unary(s.rpc, m.row.Name, func(ctx context.Context, q *Req) (*Resp, error) {
		from := identityOf(ctx)
		ctx, span := s.continued(ctx, &m.row, from)
		defer span.End()
		res, err := handle(ctx, s, m.row, from, serve, q)
		fail(span, err)
		return res, err
	})
}

// Call carries a request to the node: by a connection, or, if it is this node, by the same way into its server. If the node
// cannot be reached or does not answer the method, the error is CodeUnavailable; CodeAmbiguous if the request may have been
// carried out. An error of the handler arrives as it is.
func (m Method[Req, Resp]) Call(ctx context.Context, r *Remote, q *Req) (*Resp, error) {
	if r.self {
		s := r.pool.cfg.Server
		serve, err := found[func(context.Context, *Req) (*Resp, error)](s, m.row)
		if err != nil {
			return nil, err
		}
		return handle(ctx, s, m.row, s.cfg.Own, serve, q)
	}
	c, err := r.connection()
	if err != nil {
		return nil, err
	}
	ctx, span := m.row.span(ctx, r.target.node)
	defer span.End()
	res, err := rpc.Call[Req, Resp](ctx, c, m.row.Name, q)
	fail(span, err)
	return res, err
}

// span begins the span of a call to another node, if its request is traced here.
func (r *Row) span(ctx context.Context, to api.NodeID) (context.Context, trace.Span) {
	if !trace.Of(ctx).Recording() {
		return ctx, trace.Span{}
	}
	name := rpc.FullName(r.Name)
	ctx, span := trace.Start(ctx, name, trace.Client)
	span.Set(trace.RPCSystem, trace.System)
	span.Set(trace.RPCMethod, name)
	span.Set(trace.Node, string(to))
	return ctx, span
}

// continued begins the span of a call that another node makes, if the call is traced. At a node without a collector there is no span, and
// what is done for the call is in the trace.
func (s *Server) continued(ctx context.Context, r *Row, from Identity) (context.Context, trace.Span) {
	if s.cfg.Tracer == nil {
		return ctx, trace.Span{}
	}
	of := rpc.TraceOf(ctx)
	if !of.Sampled() {
		return ctx, trace.Span{}
	}
	name := rpc.FullName(r.Name)
	ctx, span := s.cfg.Tracer.Continue(ctx, name, trace.Server, of)
	span.Set(trace.RPCSystem, trace.System)
	span.Set(trace.RPCMethod, name)
	span.Set(trace.Node, string(from.Caller().Node))
	return ctx, span
}

// fail notes the code of an error.
func fail(span trace.Span, err error) {
	if err != nil && span.Recording() {
		span.Fail(string(api.CodeOf(err)))
	}
}

// Ask is Call of a method that changes nothing: its outcome is never unknown, and an answer that did not come is CodeUnavailable.
func (m Method[Req, Resp]) Ask(ctx context.Context, r *Remote, q *Req) (*Resp, error) {
	res, err := m.Call(ctx, r, q)
	return res, Certain(m.row.Name, err)
}

// LacksMethod reports whether the error of a call says that the other node does not know the method: it runs an older version.
func LacksMethod(err error) bool { return rpc.LacksMethod(err) }

// Certain is the error of what changes nothing: CodeAmbiguous becomes CodeUnavailable.
func Certain(op string, err error) error {
	if api.CodeOf(err) != api.CodeAmbiguous {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Op: op, Hint: "the node did not answer in time", Err: err}
}

// Nothing is the request of a method that needs none, or the answer of one that only succeeds or fails.
type Nothing struct{}

// entry is a row of the table with the function that answers.
type entry struct {
	Row
	serve any
}

func (s *Server) add(row Row, serve any) {
	if row.Name == callsRow.Name {
		panic("peer: the lane of small calls is called " + row.Name)
	}
	if _, taken := s.entries.LoadOrStore(row.Name, entry{row, serve}); taken {
		panic("peer: two methods are called " + row.Name)
	}
}

// found is the function that answers a method at this node.
func found[F any](s *Server, row Row) (serve F, err error) {
	if e, ok := s.entries.Load(row.Name); ok {
		return e.(entry).serve.(F), nil
	}
	return serve, api.Errorf(api.CodeUnavailable, "node %s does not answer %s", s.cfg.Self, row.Name)
}

// handle is the way to what answers, from a socket or from this node itself.
func handle[Req, Resp any](ctx context.Context, s *Server, row Row, from Identity, serve func(context.Context, Req) (Resp, error), q Req) (res Resp, err error) {
	defer s.cfg.Faults.Catch(row.Name, &err)
	place, err := s.admit(ctx, row, from, keyOf(q))
	if err != nil {
		return res, err
	}
	defer place.Leave()
	if row.PerNode > 0 {
		leave, err := s.one(row, from.Caller().Node)
		if err != nil {
			return res, err
		}
		defer leave()
	}
	return serve(words.WithCaller(ctx, from), q)
}

// keyOf is the key that a request is about, if it says so: what waits for one key must not keep others out.
func keyOf(q any) api.Key {
	if about, ok := q.(interface{ FirstKey() api.Key }); ok {
		return about.FirstKey()
	}
	return ""
}
