package remote

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/peer"
	"github.com/edgehold/edgehold/cluster/words"
)

// FeedsPerNode bounds the feeds that one node has open at another. Feeds are none of the calls that a node admits: a feed waits for
// most of its time, and does not keep a request out.
const FeedsPerNode = 2048

var streamFeed = peer.NewStream[feedUp, feedDown]("Feed", peer.Nodes).PerNode(FeedsPerNode)

// feedUp goes up the stream of a feed: the request first and once, and pings with rising numbers.
type feedUp struct {
	Request *words.FeedRequest `cbor:"1,keyasint,omitempty"`
	Ping    uint64             `cbor:"2,keyasint,omitempty"`
}

// feedDown comes down: a batch, or why there are no more.
type feedDown struct {
	Batch *words.FeedBatch `cbor:"1,keyasint,omitempty"`
	// Ping is the newest ping that had come before the instant that the batch's age counts from: everything that was acknowledged
	// before it was sent has been delivered.
	Ping uint64     `cbor:"2,keyasint,omitempty"`
	Err  *api.Error `cbor:"3,keyasint,omitempty"`
}

// Feed begins a feed at the node. It does not wait for the node: the first Next returns what the node refuses, and CodeUnavailable
// if the node cannot be reached or is of a version without feeds. A node that does not take the batches holds the feed back, and
// nothing else.
func (n Node) Feed(ctx context.Context, r *words.FeedRequest) (words.Feed, error) {
	end, err := streamFeed.Open(ctx, n.Remote)
	if err != nil {
		return nil, err
	}
	f := &feed{end: end, ping: 1, sent: time.Now()}
	if err := end.Send(&feedUp{Request: r, Ping: f.ping}); err != nil {
		end.Close()
		return nil, err
	}
	return f, nil
}

// feed is the end of a feed that is read. How old a position is it knows by its own clock, from when it sent the ping that the
// batch names.
type feed struct {
	end  peer.ClientEnd[feedUp, feedDown]
	ping uint64    // the newest that was sent; the next one follows when a batch has named it
	sent time.Time // when that was
	over bool      // a batch has said that the piece has moved
}

func (f *feed) Next() (*words.FeedBatch, error) {
	if f.over {
		return nil, io.EOF
	}
	down, err := f.end.Recv()
	if err != nil {
		return nil, err
	}
	switch {
	case down.Err != nil:
		return nil, down.Err
	case down.Batch == nil:
		return nil, api.Errorf(api.CodeInternal, "the node's feed has a message without a batch")
	}
	b := *down.Batch
	b.AsOf, b.Age = time.Time{}, 0
	if down.Ping == f.ping {
		b.AsOf, b.Age = f.sent, words.AgeOf(f.sent)
		f.ping, f.sent = f.ping+1, time.Now()
		if err := f.end.Send(&feedUp{Ping: f.ping}); err != nil {
			return nil, err
		}
	}
	f.over = b.Last()
	return &b, nil
}

func (f *feed) Close() error {
	f.end.Close()
	return nil
}

// pings is the newest ping of a feed, at the node that answers.
type pings struct {
	mu   sync.Mutex
	last uint64
	came time.Time
}

func (p *pings) note(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.came = n, time.Now()
}

// before returns the newest ping if it came before an instant, or 0.
func (p *pings) before(asOf time.Time) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if asOf.IsZero() || !p.came.Before(asOf) {
		return 0
	}
	return p.last
}

type feedEnd = peer.ServerEnd[feedUp, feedDown]

func registerFeeds(s *peer.Server, groups Groups) {
	streamFeed.Handle(s, func(ctx context.Context, end feedEnd) error {
		up, err := end.Recv()
		if err != nil {
			return err
		}
		if up.Request == nil {
			return api.Errorf(api.CodeInvalid, "a feed begins with its request")
		}
		p := &pings{}
		p.note(up.Ping)
		if !s.Go(func() { p.receive(end) }) {
			return api.Errorf(api.CodeUnavailable, "the node is shutting down")
		}
		if err := serveFeed(ctx, groups, up.Request, p, end); err != nil {
			return end.Send(&feedDown{Err: api.AsError(err)})
		}
		return nil
	})
}

// receive takes the pings that come, until the stream is over.
func (p *pings) receive(end feedEnd) {
	for {
		up, err := end.Recv()
		if err != nil {
			return
		}
		p.note(up.Ping)
	}
}

// serveFeed sends the batches of the group's feed until it ends. The caller's rights are checked again before each batch.
func serveFeed(ctx context.Context, groups Groups, r *words.FeedRequest, p *pings, end feedEnd) error {
	g, err := groups.at(r.Group)
	if err == nil {
		err = maySeeAll(ctx, r)
	}
	if err != nil {
		return err
	}
	f, err := g.Feed(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // what was delivered counts
	for {
		b, err := f.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = maySeeAll(ctx, r)
		}
		if err != nil {
			return err
		}
		down := &feedDown{Batch: b, Ping: p.before(b.AsOf)}
		if b.Age > 0 {
			there := *b // by whose clock it is worth nothing
			there.Age = 0
			down.Batch = &there
		}
		if err := end.Send(down); err != nil {
			return err
		}
	}
}

// maySeeAll refuses a feed unless the caller may see every key of all its pieces now.
func maySeeAll(ctx context.Context, r *words.FeedRequest) error {
	err := maySee(ctx, r.Range)
	for i := 0; err == nil && i < len(r.Also); i++ {
		err = maySee(ctx, r.Also[i].Range)
	}
	return err
}

// maySee refuses a range of which the caller may not see every key now.
func maySee(ctx context.Context, r api.Range) error {
	c := peer.CallerFrom(ctx)
	if c.Role == "" {
		return api.Errorf(api.CodeDenied, "the placement map does not name node %s any more", c.Node)
	}
	return rangeInScope(c, r)
}
