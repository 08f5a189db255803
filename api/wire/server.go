package wire

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/admission"
	"github.com/edgehold/edgehold/api/codec"
	"github.com/edgehold/edgehold/api/fault"
)

// The defaults of a [ServerConfig].
const (
	DefaultMaxCalls        = 16_384
	DefaultMaxRequestBytes = 64 << 20
	DefaultMaxAnswerBytes  = 16 << 20
)

// ServerConfig says what answers the calls of one connection, and sets the limits. Exactly one of Store and Nodes is required. A
// zero field means the default given there.
type ServerConfig struct {
	// Store answers the calls of applications. Such calls cannot have an envelope.
	Store api.Store
	// Nodes answers the calls of nodes.
	Nodes Nodes
	// MaxCalls bounds the calls being answered. One more is refused at once. 0 means [DefaultMaxCalls].
	MaxCalls int
	// MaxRequestBytes bounds the size of the requests of the calls being answered. A call over it is refused in the same way. 0
	// means [DefaultMaxRequestBytes].
	MaxRequestBytes int64
	// MaxAnswerBytes bounds the answers that wait to be sent. Further answers wait for room, and their calls count as being
	// answered. 0 means [DefaultMaxAnswerBytes].
	MaxAnswerBytes int
	// MaxMessageBytes bounds one received message. 0 means [MaxMessageBytes].
	MaxMessageBytes int
	// Enter, if not nil, admits or refuses each call before it is decoded. A refusal may be shared and must not be changed.
	Enter func(Asked) (*admission.Ticket, *api.Error)
	// Workers carry out the calls. If it is nil, each call gets a goroutine of its own.
	Workers *Workers
	// Faults catches the panics of calls. If it is nil, they are caught but not reported.
	Faults *fault.Catcher
	// Drain ends the connection gracefully when it is closed: new calls are refused, and calls under way are answered. If it is
	// nil, this never happens.
	Drain <-chan struct{}
}

// Serve answers the calls of a connection until the connection ends, ctx ends, or Drain is closed and the last call is answered.
// It closes the connection, and returns when no call is under way. The error says why the connection ended. It is nil if it was
// drained or the other side closed it.
func Serve(ctx context.Context, conn io.ReadWriteCloser, cfg ServerConfig) error {
	if cfg.MaxCalls == 0 {
		cfg.MaxCalls = DefaultMaxCalls
	}
	if cfg.MaxRequestBytes == 0 {
		cfg.MaxRequestBytes = DefaultMaxRequestBytes
	}
	if cfg.MaxMessageBytes == 0 {
		cfg.MaxMessageBytes = MaxMessageBytes
	}
	if cfg.MaxAnswerBytes == 0 {
		cfg.MaxAnswerBytes = DefaultMaxAnswerBytes
	}
	s := &server{
		cfg: cfg, conn: conn, out: newOutbox(cfg.MaxAnswerBytes), running: map[uint64]*served{},
		tooMany:  overload("%d calls of the connection are being answered, the limit", cfg.MaxCalls),
		tooLarge: overload("the calls being answered fill the %d bytes for them", cfg.MaxRequestBytes),
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	defer context.AfterFunc(s.ctx, s.cut)()
	s.loops.Go(func() { _ = s.out.run(conn); s.cut() })
	s.loops.Go(s.drain)
	err := s.receive()
	s.leave()
	s.loops.Wait()
	return err
}

// server is one connection being served.
type server struct {
	cfg    ServerConfig
	ctx    context.Context // the parent of the calls' contexts
	cancel context.CancelFunc
	conn   io.ReadWriteCloser
	out    *outbox
	bytes  atomic.Int64 // of the requests being answered

	mu       sync.Mutex
	draining bool               // guarded by mu: new calls are refused
	running  map[uint64]*served // guarded by mu: calls being answered
	calls    sync.WaitGroup     // added to under mu while not draining
	loops    sync.WaitGroup

	tooMany, tooLarge *api.Error
	refused           refusals // used by receive only
}

// cut ends everything at once.
func (s *server) cut() {
	s.cancel()
	s.out.close()
	_ = s.conn.Close() // the connection is not used again, so its error does not matter
}

// leave ends what is left when nothing more is received.
func (s *server) leave() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.cancel()
	s.calls.Wait()
	s.cut()
}

// drain says goodbye once Drain is closed, and ends the connection after the last answer has been sent.
func (s *server) drain() {
	select {
	case <-s.cfg.Drain:
	case <-s.ctx.Done():
		return
	}
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	_ = s.out.add(kindGoodbye, 0, nil) // it is short
	s.calls.Wait()
	s.out.close() // run returns when everything is sent, and cuts
}

// receive reads calls from the connection until it ends.
func (s *server) receive() (err error) {
	defer s.cfg.Faults.Catch("receive", &err)
	in := newInbox(s.conn, s.cfg.MaxMessageBytes)
	for {
		if !in.ready() {
			s.beforeRead(in)
		}
		m, err := in.next()
		if err == nil {
			err = s.take(m)
		}
		switch {
		case err == nil:
		case s.ctx.Err() != nil || errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}

// take begins what a message asks for. A refused call is not even decoded, because a refusal must cost little.
func (s *server) take(m *message) error {
	switch m.kind {
	case kindRead, kindDo:
		timeout := readTimeout(&m.body)
		x, refusal := s.begin(m.id, asked(m), timeout)
		if refusal != nil {
			s.refused.add(s.out, m.id, refusal)
			return nil
		}
		if m.kind == kindRead {
			x.read = new(reading)
			m.body.ReadRequest(&x.read.request)
		} else {
			x.txn = new(api.Txn)
			m.body.Txn(x.txn)
		}
		if s.cfg.Nodes != nil {
			x.tries = m.body.Uint()
			x.ctx = admission.WithTries(x.ctx, x.tries)
			x.envelope = append(x.room[:0], m.body.Rest()...)
		}
		if err := m.end(); err != nil {
			x.finish()
			return err
		}
		s.cfg.Workers.start(x.run)
	case kindCancel:
		s.mu.Lock()
		x := s.running[m.id]
		s.mu.Unlock()
		if x != nil {
			x.cancel()
		}
		return m.end()
	default:
		return malformed("an unknown kind of message")
	}
	return nil
}

func readTimeout(r *codec.Reader) time.Duration {
	us := r.Uint()
	if us == 0 || us > uint64(api.MaxTimeout.Microseconds()) {
		return api.MaxTimeout
	}
	return time.Duration(us) * time.Microsecond
}

// served is a call being answered. Exactly one of read and txn is set.
type served struct {
	server   *server
	id       uint64
	bytes    int64
	place    *admission.Ticket
	ctx      context.Context
	cancel   context.CancelFunc
	read     *reading
	txn      *api.Txn
	tries    uint64   // with which a call between nodes came
	envelope []byte   // of such a call
	room     [48]byte // for an envelope of the usual size
}

// reading is a read being answered.
type reading struct {
	request api.ReadRequest
	out     api.ReadResult
	answer  Envelope // nil if there is none
}

func (x *reading) put(w *codec.Writer) {
	codec.PutReadResult(w, &x.out)
	putEnvelope(w, x.answer)
}

// begin adds a call to running until it finishes, or refuses it.
func (s *server) begin(id uint64, a Asked, timeout time.Duration) (x *served, refusal *api.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return nil, errDraining
	case len(s.running) >= s.cfg.MaxCalls:
		return nil, s.tooMany
	case s.bytes.Load()+a.Bytes > s.cfg.MaxRequestBytes:
		return nil, s.tooLarge
	}
	var place *admission.Ticket
	if s.cfg.Enter != nil {
		if place, refusal = s.cfg.Enter(a); refusal != nil {
			return nil, refusal
		}
	}
	if s.running[id] != nil {
		place.Leave()
		return nil, api.Errorf(api.CodeInvalid, "two calls have the id %d", id)
	}
	s.bytes.Add(a.Bytes)
	s.calls.Add(1)
	x = &served{server: s, id: id, bytes: a.Bytes, place: place}
	x.ctx, x.cancel = context.WithTimeout(s.ctx, timeout)
	s.running[id] = x
	return x, nil
}

var errDraining = &api.Error{Code: api.CodeUnavailable, Hint: "the node is shutting down"}

func (x *served) finish() {
	s := x.server
	defer s.calls.Done()
	x.cancel()
	x.place.Leave()
	s.bytes.Add(-x.bytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, x.id)
}

// run carries out the call.
func (x *served) run() {
	defer x.finish() // not before the answer: a call whose answer waits for room still counts
	if x.read != nil {
		x.answer(x.read.put, x.carryOutRead())
		return
	}
	res, err := x.carryOutTxn()
	x.answer(func(w *codec.Writer) { codec.PutTxnResult(w, res) }, err)
}

func (x *served) carryOutRead() (err error) {
	cfg, r := &x.server.cfg, x.read
	defer cfg.Faults.Catch("read", &err)
	if cfg.Nodes == nil {
		return cfg.Store.Read(x.ctx, &r.request, &r.out)
	}
	r.answer, err = cfg.Nodes.Read(x.ctx, x.envelope, &r.request, &r.out)
	return err
}

func (x *served) carryOutTxn() (res *api.TxnResult, err error) {
	cfg := &x.server.cfg
	defer cfg.Faults.Catch("txn", &err)
	if cfg.Nodes == nil {
		return cfg.Store.Do(x.ctx, x.txn)
	}
	return cfg.Nodes.Do(x.ctx, x.envelope, x.txn)
}

// answer sends the answer. It waits for room.
func (x *served) answer(put func(w *codec.Writer), err error) {
	out := x.server.out
	if err == nil {
		if err = x.send(put); err == nil {
			return
		}
		if x.txn != nil {
			err = &api.Error{Code: api.CodeAmbiguous, Hint: "it was carried out, but its answer is too long", Err: err}
		}
	}
	_ = out.add(kindError, x.id, x.errorBody(err)) // errors are short
}

// send sends a result.
func (x *served) send(put func(w *codec.Writer)) (err error) {
	defer x.server.cfg.Faults.Catch("answer", &err)
	return x.server.out.add(kindResult, x.id, put)
}

func (x *served) errorBody(err error) func(w *codec.Writer) {
	e := api.AsError(err)
	return func(w *codec.Writer) {
		codec.PutError(w, e)
		if x.server.cfg.Nodes != nil {
			w.Uint(admission.Used(x.ctx, x.tries))
		}
	}
}
