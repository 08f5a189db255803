package integration

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster"
	"github.com/edgehold/edgehold/integration/history"
)

// respKeys are the keys that clients of RESP have in a planet: those of database 0.
const respKeys = "redis/0/"

// speakFronts turns all fronts on.
func speakFronts(_ *host, cfg *cluster.Config) { cfg.Fronts = cluster.Fronts() }

// viaFronts reports whether the client reaches the keys of fronts through these fronts: half of the clients do, and the others share
// the keys with them.
func (w *workload) viaFronts(id int) bool { return w.fronts && id%2 == 1 }

// client is a user's program at a gateway: its connections begin at a host of its own in the gateway's region.
func (p *planet) clientOf(at *host) string {
	name := "client of " + at.name
	p.fabric.Place(name, at.region)
	return name
}

// respReply is an answer of RESP: a string, a number, nothing, or several.
type respReply struct {
	text string
	none bool
	all  []respReply
}

// respClient is a client of RESP. It keeps one connection, and opens another one after a failure.
type respClient struct {
	planet *planet
	at     *host
	from   string
	conn   net.Conn
	in     *bufio.Reader
}

func (c *respClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// dial opens a connection and says who asks.
func (c *respClient) dial(ctx context.Context) error {
	conn, err := c.planet.fabric.Dial(ctx, c.from, c.at.name)
	if err != nil {
		return err
	}
	if c.planet.ids != nil {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // in a bubble it is long before any certificate
	}
	c.conn, c.in = conn, bufio.NewReader(conn)
	if token := c.planet.token; token != "" {
		if _, err := c.ask(ctx, []string{"AUTH", string(token)}); err != nil {
			c.close()
			return err
		}
	}
	return nil
}

// ask sends commands at once and returns the answer to the last. The error is CodeUnavailable if nothing was carried out for certain,
// and no error of the api if that is not known.
func (c *respClient) ask(ctx context.Context, commands ...[]string) (respReply, error) {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return respReply{}, api.Errorf(api.CodeUnavailable, "dial: %v", err)
		}
	}
	var b strings.Builder
	for _, words := range commands {
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, word := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
		}
	}
	end, _ := ctx.Deadline()
	_ = c.conn.SetDeadline(end)
	if _, err := io.WriteString(c.conn, b.String()); err != nil {
		c.close()
		return respReply{}, err
	}
	var last respReply
	var refused error
	for range commands {
		var err error
		if last, err = readReply(c.in); err != nil {
			if _, said := errors.AsType[respError](err); !said {
				c.close()
				return respReply{}, err
			}
			refused = cmpOr(refused, err)
		}
	}
	return last, refused
}

func cmpOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// respError is an error that the server has answered.
type respError string

func (e respError) Error() string { return string(e) }

// known returns the error of a command as the history has it: a refusal that says that nothing happened is one of the api.
func known(err error) error {
	e, said := errors.AsType[respError](err)
	if said && !strings.HasPrefix(string(e), "AMBIGUOUS") && !strings.HasPrefix(string(e), "ERR internal") {
		return api.Errorf(api.CodeUnavailable, "%s", string(e))
	}
	return err
}

func readReply(in *bufio.Reader) (respReply, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return respReply{}, err
	}
	kind, rest := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case '+', ':':
		return respReply{text: rest}, nil
	case '-':
		return respReply{}, respError(rest)
	}
	n, err := strconv.Atoi(rest)
	switch {
	case err != nil:
		return respReply{}, err
	case n < 0:
		return respReply{none: true}, nil
	case kind == '$':
		b := make([]byte, n+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return respReply{}, err
		}
		return respReply{text: string(b[:n])}, nil
	}
	var out respReply
	for range n {
		one, err := readReply(in)
		if err != nil {
			return respReply{}, err
		}
		out.all = append(out.all, one)
	}
	return out, nil
}

// counterKey returns the key of a counter of RESP, and whether a key is that of a counter, of RESP or of KV Connect. The values of
// counters are numbers, and they are never removed: so each number is there once.
func counterKey(n int) api.Key { return api.Key(fmt.Sprintf("%sn%d", respKeys, n)) }

func isCounter(key api.Key) bool {
	return strings.HasPrefix(string(key), respKeys+"n") || strings.HasPrefix(string(key), denoCounters)
}

// resp carries out one operation through RESP and records it. RESP tells no versions, but the answers of some commands say what they met.
func (w *workload) resp(ctx context.Context, c *history.Client, to *respClient, key api.Key, n int, r *rand.Rand) {
	name := strings.TrimPrefix(string(key), respKeys)
	value := fmt.Sprintf("v%d", w.unique.Add(1))
	if n < 91 {
		w.respGet(ctx, c, to, key, name)
		return
	}
	op := history.Op{Kind: history.Put, Key: key, Written: value, Unversioned: true}
	switch n := r.IntN(8); {
	case isCounter(key):
		w.respIncr(ctx, c, to, key, name)
	case n < 2:
		running := c.Begin(op)
		_, err := to.ask(ctx, []string{"SET", name, value})
		running.End(history.State{}, known(err))
	case n < 4:
		running := c.Begin(op)
		got, err := to.ask(ctx, []string{"GETSET", name, value})
		running.EndReplaced(history.State{Exists: !got.none, Value: got.text}, known(err))
		w.acted(err)
	case n < 5:
		op.Kind = history.CAS
		running := c.Begin(op)
		got, err := to.ask(ctx, []string{"SETNX", name, value})
		w.acted(err)
		if err == nil && got.text == "0" {
			err = api.Errorf(api.CodePreconditionFailed, "the key exists")
		}
		running.End(history.State{}, known(err))
	case n < 7:
		running := c.Begin(history.Op{Kind: history.Delete, Key: key, Unversioned: true})
		got, err := to.ask(ctx, []string{"DEL", name})
		running.EndFound(got.text == "1", known(err))
		w.acted(err)
	default:
		w.respSwap(ctx, c, to, key, name, value)
	}
}

// respIncr adds 1 to a counter.
func (w *workload) respIncr(ctx context.Context, c *history.Client, to *respClient, key api.Key, name string) {
	running := c.Begin(history.Op{Kind: history.Add, Key: key, Unversioned: true})
	got, err := to.ask(ctx, []string{"INCR", name})
	running.End(history.State{Exists: true, Value: got.text}, known(err))
	w.acted(err)
}

// acted counts the deletes and functions that fronts have answered.
func (w *workload) acted(err error) {
	if err == nil {
		w.viaActs.Add(1)
	}
}

func (w *workload) respGet(ctx context.Context, c *history.Client, to *respClient, key api.Key, name string, before ...[]string) (history.State, error) {
	running := c.Begin(history.Op{Kind: history.Get, Key: key, Unversioned: true})
	got, err := to.ask(ctx, append(before, []string{"GET", name})...)
	seen := history.State{Exists: !got.none, Value: got.text}
	if err != nil {
		seen = history.State{}
	} else {
		w.viaRESP.Add(1)
	}
	running.End(seen, known(err))
	return seen, err
}

// respSwap replaces what the client has just read, if nothing has changed it since: it watches the key.
func (w *workload) respSwap(ctx context.Context, c *history.Client, to *respClient, key api.Key, name, value string) {
	seen, err := w.respGet(ctx, c, to, key, name, []string{"WATCH", name})
	if err != nil {
		to.close() // it watches nothing any more
		return
	}
	time.Sleep(time.Millisecond)
	running := c.Begin(history.Op{Kind: history.CAS, Key: key, Written: value, Expect: seen, Unversioned: true})
	if to.conn == nil {
		running.End(history.State{}, api.Errorf(api.CodeUnavailable, "the connection that watches is gone"))
		return
	}
	done, err := to.ask(ctx, []string{"MULTI"}, []string{"SET", name, value}, []string{"EXEC"})
	if err == nil && done.none {
		err = api.Errorf(api.CodeConflict, "the key has changed")
	}
	running.End(history.State{}, known(err))
}

// token makes a token that may read and write every key, which a planet on TLS asks for.
func (p *planet) giveToken() {
	p.t.Helper()
	n := p.byName[regions[0]+"-1"].running()
	made, err := n.CreateAccessToken(within(p.t, time.Minute), api.AccessTokenSpec{Name: "clients", Policies: []string{"all"}}, 30*time.Second)
	if err != nil {
		p.t.Fatalf("no token for clients: %v", err)
	}
	p.token = api.Secret(made.Token)
}
