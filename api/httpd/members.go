package httpd

import (
	"context"
	"time"

	"github.com/edgehold/edgehold/api"
)

// orderJSON bounds an order about a node or a group.
var orderJSON = body{"body", "application/json", 64 << 10}

func orders(h *handler) bool { return h.Orders() }

// orderBody is what an order may say; each takes its own members alone.
type orderBody struct {
	For   *string     `json:"for"`
	Force *bool       `json:"force"`
	By    *api.NodeID `json:"by"`
	To    *api.NodeID `json:"to"`
}

// order reads the body of an order, which may be empty, carries the order out and answers with its progress. takes reports whether
// the body says nothing that the order does not take.
func order(takes func(b *orderBody) bool, carryOut func(ctx context.Context, x *exchange, b *orderBody) (*api.Progress, error)) func(*exchange) error {
	return func(x *exchange) error {
		raw, err := x.readBody()
		if err != nil {
			return err
		}
		var b orderBody
		if len(raw) > 0 {
			if err := decodeStrictly(raw, &b); err != nil {
				return err
			}
		}
		if !takes(&b) {
			return api.Errorf(api.CodeInvalid, "the body has a member that this order does not take")
		}
		x.writes = true
		p, err := carryOut(x.Ctx, x, &b)
		if err != nil {
			return err
		}
		return x.replyJSON(p)
	}
}

func takesNothing(b *orderBody) bool { return *b == orderBody{} }
func takesFor(b *orderBody) bool     { return *b == orderBody{For: b.For} }
func takesForce(b *orderBody) bool   { return *b == orderBody{Force: b.Force} }
func takesBy(b *orderBody) bool      { return *b == orderBody{By: b.By, Force: b.Force} }
func takesTo(b *orderBody) bool      { return *b == orderBody{To: b.To} }

func (b *orderBody) forced() bool { return b.Force != nil && *b.Force }

// The orders.
var (
	postDrain = order(takesFor, func(ctx context.Context, x *exchange, b *orderBody) (*api.Progress, error) {
		var limit time.Duration
		if b.For != nil {
			var err error
			if limit, err = time.ParseDuration(*b.For); err != nil || limit < 0 {
				return nil, api.Errorf(api.CodeInvalid, "for %.40q is not a time such as 30m", *b.For)
			}
		}
		return x.Store.Drain(ctx, x.of(), limit)
	})
	postUndrain = order(takesNothing, func(ctx context.Context, x *exchange, _ *orderBody) (*api.Progress, error) {
		return x.Store.Undrain(ctx, x.of())
	})
	postLeave = order(takesForce, func(ctx context.Context, x *exchange, b *orderBody) (*api.Progress, error) {
		return x.Store.Leave(ctx, x.of(), b.forced())
	})
	postRemove = order(takesForce, func(ctx context.Context, x *exchange, b *orderBody) (*api.Progress, error) {
		return x.Store.Remove(ctx, x.of(), b.forced())
	})
	postReplace = order(takesBy, func(ctx context.Context, x *exchange, b *orderBody) (*api.Progress, error) {
		if b.By == nil || *b.By == "" {
			return nil, api.Errorf(api.CodeInvalid, "name the server that takes the places: \"by\"")
		}
		return x.Store.Replace(ctx, x.of(), *b.By, b.forced())
	})
	postTransfer = order(takesTo, func(ctx context.Context, x *exchange, b *orderBody) (*api.Progress, error) {
		to := api.NodeID("")
		if b.To != nil {
			to = *b.To
		}
		return x.Store.Transfer(ctx, api.GroupID(x.args["group"]), to)
	})
	postRemoveRegion = order(takesNothing, func(ctx context.Context, x *exchange, _ *orderBody) (*api.Progress, error) {
		return x.Store.RemoveRegion(ctx, api.RegionID(x.args["region"]))
	})
)

// of is the node of the path.
func (x *exchange) of() api.NodeID { return api.NodeID(x.args["node"]) }
