package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// Path is where nodes tell what the cluster does.
const Path = "/v1/cluster/live"

const (
	// idle is how long a node may send nothing before another one is asked.
	idle = 5 * time.Second
	// pause is how long to wait after all nodes have failed.
	pause = time.Second
	// maxRefusal bounds what is read of a refusal, in bytes.
	maxRefusal = 64 << 10
)

// Source is the nodes that tell what the cluster does. One is asked at a time, the next one if it fails.
type Source struct {
	HTTP  *http.Client
	Addrs []string
	// Token returns the token to send; "" is none.
	Token func() (api.Secret, error)
}

// Follow calls tell with each event and the JSON that it was, and with each failure, until ctx ends, a node refuses for good, or tell
// returns an error, which it returns. text is valid during the call alone.
func (s *Source) Follow(ctx context.Context, tell func(u Update, text []byte) error) error {
	for i := 0; ; i++ {
		from := s.Addrs[i%len(s.Addrs)]
		err := s.ask(ctx, from, tell)
		if told, ok := errors.AsType[toldError](err); ok {
			return told.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if Final(err) {
			return err
		}
		if err := tell(Update{From: from, Err: err}, nil); err != nil {
			return err
		}
		if i%len(s.Addrs) < len(s.Addrs)-1 {
			continue
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// toldError is an error of the function to which updates are given.
type toldError struct{ error }

// errIdle is the cause of the end of a stream at which nothing came.
var errIdle = errors.New("the node sends nothing any more")

// ask follows one node until its stream ends, and returns why.
func (s *Source) ask(ctx context.Context, from string, tell func(Update, []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(idle, func() { cancel(errIdle) })
	defer silent.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(from, "/")+Path, http.NoBody)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "--addr %s: %v", from, err)
	}
	token, err := s.Token()
	if err != nil {
		return api.Errorf(api.CodeInvalid, "the token file: %v", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	res, err := s.HTTP.Do(req)
	if err != nil {
		return explain(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal)) // what there is of it
		if res.StatusCode == http.StatusNotFound {
			return api.Errorf(api.CodeNotFound, "%s does not tell what the cluster does: upgrade that node, or name another one with --addr", from)
		}
		return Refusal(text)
	}
	for r := NewReader(res.Body); ; {
		e, text, err := r.Next()
		if err != nil {
			return explain(ctx, err)
		}
		silent.Reset(idle)
		if err := tell(Update{Event: e, From: from}, text); err != nil {
			return toldError{err}
		}
	}
}

// explain is the failure of a stream in words.
func explain(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errIdle) {
		err = errIdle
	} else if errors.Is(err, io.EOF) {
		err = errors.New("the node has ended the stream")
	}
	if _, ours := errors.AsType[*api.Error](err); ours {
		return err
	}
	return &api.Error{Code: api.CodeUnavailable, Op: "top", Err: err}
}

// Final reports whether asking again, or another node, gives no other answer.
func Final(err error) bool {
	switch api.CodeOf(err) {
	case api.CodeUnauthenticated, api.CodeDenied, api.CodeNotFound, api.CodeInvalid:
		return true
	}
	return false
}

// errEnough ends what Once follows.
var errEnough = errors.New("enough")

// Once returns the first event that has rates, and the JSON that it was; after ctx has ended, the last one that came. It fails if every
// node has failed.
func (s *Source) Once(ctx context.Context) (last *Event, from string, text []byte, err error) {
	failed := 0
	err = s.Follow(ctx, func(u Update, raw []byte) error {
		if u.Err != nil {
			if failed++; failed >= len(s.Addrs) {
				return u.Err
			}
			return nil
		}
		last, from, text = u.Event, u.From, append(text[:0], raw...)
		for _, n := range last.Live.Nodes {
			if n.OverMs > 0 {
				return errEnough
			}
		}
		return nil
	})
	if last != nil {
		return last, from, text, nil
	}
	return nil, "", nil, fmt.Errorf("no node tells what the cluster does: %w", err)
}
