package join

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Protocol is the ALPN protocol by which a node that joins is shown the certificate of the node that it asks.
const Protocol = "edgehold-join/1"

// Path is where a request to join is sent, by HTTP over that protocol.
const Path = "/v1/join"

const (
	// askTimeout bounds one question, however slowly the answer comes.
	askTimeout = 15 * time.Second
	// maxAnswer bounds an answer: it holds the placement map.
	maxAnswer = 64 << 20
)

// WrongNodeError means that the node at an address is not one that a joining node may ask. Nothing was sent to it.
type WrongNodeError struct{ Text string }

func (e *WrongNodeError) Error() string { return e.Text }

// Asker asks nodes to admit this one.
type Asker struct {
	Token Token
	// Dial connects to an address.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Skewed, if not nil, is called with how far the clock of a node that has answered is ahead of this one's. It is not judged.
	Skewed func(address string, ahead time.Duration)
}

// Ask sends the request, with the token, to the node at the address, and returns its answer. Before it sends anything, the node must
// prove that it is a server of the token's cluster; else the error is a *WrongNodeError. Other errors are an *api.Error: that of the
// cluster, or CodeUnavailable if the node cannot be reached, or has too much to do.
func (a Asker) Ask(ctx context.Context, address string, q *api.JoinRequest) (*api.JoinAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := a.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.NetConn().Close() }() // no wait for the alert that ends TLS
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answer, err := a.post(ctx, conn, address, q)
	if err != nil && ctx.Err() != nil {
		return nil, unreachable(address, ctx.Err())
	}
	return answer, err
}

// connect returns a connection to a server that has proved itself.
func (a Asker) connect(ctx context.Context, address string) (*tls.Conn, error) {
	raw, err := a.Dial(ctx, address)
	if err != nil {
		return nil, unreachable(address, err)
	}
	conn := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{Protocol},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection judges, without dates
		VerifyConnection:   func(s tls.ConnectionState) error { return a.verify(address, s.PeerCertificates) },
	})
	err = conn.HandshakeContext(ctx)
	if err == nil {
		return conn, nil
	}
	_ = raw.Close()
	if wrong, ok := errors.AsType[*WrongNodeError](err); ok {
		return nil, wrong
	}
	if ctx.Err() == nil && a.speaksPlain(ctx, address) {
		return nil, &WrongNodeError{address + " speaks no TLS: if that cluster is plain, leave --join-token out"}
	}
	return nil, unreachable(address, err)
}

// verify demands a certificate that the root of the token has signed, of a server.
func (a Asker) verify(address string, chain []*x509.Certificate) error {
	var root *x509.Certificate
	shown := "none"
	for _, c := range chain {
		if c.IsCA {
			f := Fingerprint(c)
			if shown = abbreviated(f[:]); f == a.Token.Fingerprint {
				root = c
				break
			}
		}
	}
	if root == nil {
		return &WrongNodeError{fmt.Sprintf("%s is not of the token's cluster (root sha256:%s, token sha256:%s): check --join", address, shown, abbreviated(a.Token.Fingerprint[:]))}
	}
	s, err := VerifyChain(chain, []*x509.Certificate{root}, "")
	if err != nil {
		return &WrongNodeError{fmt.Sprintf("%s is not of the token's cluster (%v): check --join", address, err)}
	}
	if s.Role != api.RoleServer {
		return &WrongNodeError{fmt.Sprintf("%s is an edge: name a server in --join", s.Node)}
	}
	return nil
}

// abbreviated is the beginning of a fingerprint, for people to compare.
func abbreviated(fingerprint []byte) string { return hex.EncodeToString(fingerprint[:2]) + ".." }

// speaksPlain reports whether what has failed a handshake so answers HTTP without TLS. A node that knows no cluster yet, and will have
// its certificate soon, does not count.
func (a Asker) speaksPlain(ctx context.Context, address string) bool {
	conn, err := a.Dial(ctx, address)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return false
	}
	if _, err := io.WriteString(conn, "GET /v1/cluster HTTP/1.0\r\n\r\n"); err != nil {
		return false
	}
	head := make([]byte, len("HTTP/1.0 200"))
	_, err = io.ReadFull(conn, head)
	return err == nil && strings.HasPrefix(string(head), "HTTP/1.") && string(head[9:]) != "503"
}

// post sends the request over a connection that was proved, and reads the answer. Redirects are not followed.
func (a Asker) post(ctx context.Context, conn net.Conn, address string, q *api.JoinRequest) (*api.JoinAnswer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+Path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	t := &http.Transport{DisableKeepAlives: true, DisableCompression: true,
		DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	defer t.CloseIdleConnections()
	res, err := t.RoundTrip(r)
	if err != nil {
		return nil, unreachable(address, err)
	}
	defer func() { _ = res.Body.Close() }()
	a.compareClocks(address, res.Header.Get("Date"))
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil || len(text) > maxAnswer {
		return nil, unreachable(address, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, refusal(address, res, text)
	}
	answer := new(api.JoinAnswer)
	if err := json.Unmarshal(text, answer); err != nil {
		return nil, unreachable(address, err)
	}
	return answer, nil
}

// maxSkew is how far apart clocks may be before it is worth a line in the log.
const maxSkew = 5 * time.Minute

func (a Asker) compareClocks(address, date string) {
	there, err := http.ParseTime(date)
	if err != nil || a.Skewed == nil {
		return
	}
	if ahead := time.Until(there); ahead > maxSkew || ahead < -maxSkew {
		a.Skewed(address, ahead.Round(time.Second))
	}
}

// refusal is the error that an answer describes.
func refusal(address string, res *http.Response, text []byte) error {
	var p struct {
		Code   api.Code `json:"code"`
		Detail string   `json:"detail"`
	}
	if err := json.Unmarshal(text, &p); err != nil || p.Detail == "" {
		p.Detail = fmt.Sprintf("%s answers %s", address, res.Status)
	}
	e := &api.Error{Op: "join", Hint: p.Detail}
	switch res.StatusCode {
	case http.StatusBadRequest:
		e.Code = api.CodeInvalid
	case http.StatusUnauthorized:
		e.Code = api.CodeUnauthenticated
	case http.StatusForbidden:
		e.Code = api.CodeDenied
	case http.StatusConflict:
		e.Code = api.CodeConflict
	case http.StatusRequestEntityTooLarge:
		e.Code = api.CodeTooLarge
	default: // overload, no leader, or what only another try shows
		e.Code = api.CodeUnavailable
		if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s >= 0 && s < 3600 {
			e.RetryAfter = time.Duration(s) * time.Second
		}
	}
	return e
}

func unreachable(address string, cause error) error {
	return &api.Error{Code: api.CodeUnavailable, Op: "join", Hint: address + " cannot be reached", Err: cause}
}

// Use checks an answer, which may be wrong if the server fails, and returns the identity of the node and the roots
// that it trusts. key is the node's own.
func (a Asker) Use(answer *api.JoinAnswer, q *api.JoinRequest, key *ecdsa.PrivateKey) (*Identity, []*x509.Certificate, error) {
	roots, err := ParseCertificates(answer.Roots)
	if err != nil {
		return nil, nil, err
	}
	found := false
	for _, r := range roots {
		found = found || Fingerprint(r) == a.Token.Fingerprint
	}
	if !found || len(roots) > MaxRoots {
		return nil, nil, api.Errorf(api.CodeInternal, "the server's answer does not have the root of the join token")
	}
	id, err := NewIdentity(key, answer.Certificate, answer.Vouchers, answer.Roots)
	if err != nil {
		return nil, nil, err
	}
	if want := (Subject{Cluster: answer.ClusterID, Region: q.Region, Role: q.Role, Node: q.Node}); id.Subject != want {
		return nil, nil, api.Errorf(api.CodeInternal, "the server has signed a certificate for %s, not for %s", id.URI(), want.URI())
	}
	return id, roots, nil
}

// Probe returns the subject that the certificate of the node at an address names, without any proof; false if no node answers there with TLS.
func Probe(ctx context.Context, dial func(ctx context.Context, address string) (net.Conn, error), address string) (Subject, bool) {
	raw, err := dial(ctx, address)
	if err != nil {
		return Subject{}, false
	}
	defer func() { _ = raw.Close() }()
	conn := tls.Client(raw, &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{Protocol}, InsecureSkipVerify: true}) //nolint:gosec // nothing is sent: it only reads the certificate
	if err := conn.HandshakeContext(ctx); err != nil {
		return Subject{}, false
	}
	chain := conn.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return Subject{}, false
	}
	s, err := subjectOf(chain[0])
	return s, err == nil
}
