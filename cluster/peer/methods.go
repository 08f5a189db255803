package peer

import (
	"context"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/words"
	"github.com/edgehold/edgehold/fsm"
	"github.com/edgehold/edgehold/fsm/ident"
	"github.com/edgehold/edgehold/fsm/placement"
)

// method is one thing that a node may ask of another.
type method[Req, Resp any] struct {
	name  string
	room  func(*Server) *room // that limits it; nil: it neither waits nor costs much
	serve func(*Server, context.Context, *Req) (*Resp, error)
}

// The list of methods. Names are part of the wire: never reused with another meaning.
var (
	methodRead         = method[api.ReadRequest, api.ReadResult]{"Read", requests, (*Server).read}
	methodDo           = method[api.Txn, api.TxnResult]{"Do", requests, (*Server).do}
	methodList         = method[api.ListRequest, api.ListResult]{"List", requests, (*Server).list}
	methodOpenSession  = method[words.OpenSession, words.SessionGrant]{"OpenSession", control, (*Server).openSession}
	methodCloseSession = method[closeSession, nothing]{"CloseSession", control, (*Server).closeSession}
	methodRelease      = method[release, nothing]{"Release", control, (*Server).release}
	methodConfirm      = method[confirm, confirmed]{"Confirm", nil, (*Server).confirm}
	methodPrepare      = method[transactional, fsm.Vote]{"Prepare", requests, (*Server).prepare}
	methodCommitLast   = method[transactional, fsm.Vote]{"CommitLast", requests, (*Server).commitLast}
	methodDecide       = method[transactional, fsm.Decision]{"Decide", control, (*Server).decide}
	methodOutcome      = method[outcome, fsm.Decision]{"Outcome", control, (*Server).outcome}
	methodResolve      = method[transactional, nothing]{"Resolve", control, (*Server).resolve}
	methodPoll         = method[poll, encodedMap]{"Poll", polls, (*Server).poll}
	methodMap          = method[nothing, encodedMap]{"Map", control, (*Server).getMap}
	methodPropose      = method[proposal, encodedMap]{"Propose", control, (*Server).propose}
	methodReport       = method[nothing, Report]{"Report", control, (*Server).report}
	methodIndex        = method[indexed, indexed]{"Index", control, (*Server).index}
	methodIntroduce    = method[Introduction, Standing]{"Introduce", control, (*Server).introduce}
	methodCede         = method[cede, fsm.Receipt]{"Cede", control, (*Server).cede}
	methodAdopt        = method[adopt, nothing]{"Adopt", control, (*Server).adopt}
)

// methodLeases is the stream.
const methodLeases = "Leases"

func requests(s *Server) *room { return &s.requests }
func control(s *Server) *room  { return &s.control }
func polls(s *Server) *room    { return &s.polls }

// handle is the way into the server, from a socket or from this node itself.
func (m method[Req, Resp]) handle(ctx context.Context, s *Server, q *Req) (res *Resp, err error) {
	defer s.cfg.Faults.Catch(m.name, &err)
	if m.room != nil {
		r := m.room(s)
		if !r.enter() {
			s.metrics.refused(1, m.name)
			return nil, overload(r.what)
		}
		defer r.leave()
	}
	return m.serve(s, ctx, q)
}

func (s *Server) read(ctx context.Context, q *api.ReadRequest) (*api.ReadResult, error) {
	g, err := s.group(q.Group)
	if err != nil {
		return nil, err
	}
	return g.Read(ctx, q)
}

func (s *Server) do(ctx context.Context, t *api.Txn) (*api.TxnResult, error) {
	g, err := s.group(t.Group)
	if err != nil {
		return nil, err
	}
	return g.Do(ctx, t)
}

func (s *Server) list(ctx context.Context, q *api.ListRequest) (*api.ListResult, error) {
	g, err := s.group(q.Group)
	if err != nil {
		return nil, err
	}
	return g.List(ctx, q)
}

func (s *Server) openSession(ctx context.Context, o *words.OpenSession) (*words.SessionGrant, error) {
	g, err := s.group(o.Group)
	if err != nil {
		return nil, err
	}
	grant, err := g.OpenSession(ctx, *o)
	return &grant, err
}

func (s *Server) closeSession(ctx context.Context, c *closeSession) (*nothing, error) {
	g, err := s.group(c.Group)
	if err != nil {
		return nil, err
	}
	return &nothing{}, g.CloseSession(ctx, c.Group, c.Session, c.Nonce)
}

func (s *Server) release(ctx context.Context, r *release) (*nothing, error) {
	g, err := s.group(r.Group)
	if err != nil {
		return nil, err
	}
	return &nothing{}, g.Release(ctx, r.Group, r.Leases)
}

// confirm answers from atomic reads alone: no disk, no waiting.
func (s *Server) confirm(_ context.Context, c *confirm) (*confirmed, error) {
	answer := &confirmed{Yes: make([]bool, len(c.Questions))}
	for i, q := range c.Questions {
		term, ok := s.cfg.Term(q.Group)
		answer.Yes[i] = ok && term == q.Term
	}
	return answer, nil
}

// poll waits for news of the map: at a voter of the meta group for its own, else for the mirror's.
func (s *Server) poll(ctx context.Context, p *poll) (*encodedMap, error) {
	patience := s.cfg.PollPatience
	if p.Since == 0 {
		patience = 0 // any map is news; where there is none, another node may have one
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	var now *placement.Map
	if m := s.cfg.Meta(); m != nil && m.Map() != nil {
		now = m.Wait(ctx, p.Since)
	} else if s.cfg.Mirror != nil {
		now, _ = s.cfg.Mirror.Wait(ctx, p.Since) // its error says: nothing newer
	}
	if now == nil || now.Version <= p.Since {
		if p.Since == 0 {
			return nil, api.Errorf(api.CodeUnavailable, "node %s has no placement map yet", s.cfg.Self)
		}
		return &encodedMap{}, nil
	}
	return &encodedMap{placement.EncodeMap(now)}, nil
}

func (s *Server) getMap(ctx context.Context, _ *nothing) (*encodedMap, error) {
	m := s.cfg.Meta()
	if m == nil {
		return nil, notHere(ident.MetaGroup)
	}
	now, err := m.Get(ctx)
	if err != nil {
		return nil, err
	}
	return &encodedMap{placement.EncodeMap(now)}, nil
}

func (s *Server) propose(ctx context.Context, p *proposal) (*encodedMap, error) {
	m := s.cfg.Meta()
	if m == nil {
		return nil, notHere(ident.MetaGroup)
	}
	c, err := placement.Decode(p.Command)
	if err != nil {
		return nil, err
	}
	now, err := m.Propose(ctx, c)
	if err != nil {
		return nil, err
	}
	if now == nil {
		return &encodedMap{}, nil
	}
	return &encodedMap{placement.EncodeMap(now)}, nil
}

func (s *Server) report(context.Context, *nothing) (*Report, error) {
	r := s.Report()
	return &r, nil
}

func (s *Server) index(ctx context.Context, q *indexed) (*indexed, error) {
	g, err := s.group(q.Group)
	if err != nil {
		return nil, err
	}
	index, err := g.Index(ctx)
	return &indexed{Index: index}, err
}

func (s *Server) introduce(_ context.Context, i *Introduction) (*Standing, error) {
	if s.cfg.Introduce == nil {
		return nil, api.Errorf(api.CodeUnavailable, "node %s takes no introductions", s.cfg.Self)
	}
	standing := s.cfg.Introduce(*i)
	return &standing, nil
}

func (s *Server) cede(ctx context.Context, c *cede) (*fsm.Receipt, error) {
	g, err := s.group(c.Group)
	if err != nil {
		return nil, err
	}
	return g.Cede(ctx, c.Range, c.Epoch, c.To)
}

func (s *Server) adopt(ctx context.Context, a *adopt) (*nothing, error) {
	g, err := s.group(a.Group)
	if err != nil {
		return nil, err
	}
	return &nothing{}, g.Adopt(ctx, &a.Receipt, a.Shard)
}
