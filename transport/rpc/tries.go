package rpc

import (
	"context"
	"strconv"

	"google.golang.org/grpc/metadata"

	"github.com/edgehold/edgehold/api/admission"
)

// triesKey is where a request's metadata has the tries that it has left, if they are counted.
const triesKey = "edgehold-tries"

func sendTries(ctx context.Context) context.Context {
	if n := admission.Tries(ctx); n > 0 {
		return metadata.AppendToOutgoingContext(ctx, triesKey, strconv.FormatUint(n, 10))
	}
	return ctx
}

func receiveTries(ctx context.Context) context.Context {
	if v := metadata.ValueFromIncomingContext(ctx, triesKey); len(v) == 1 {
		if n, err := strconv.ParseUint(v[0], 10, 64); err == nil {
			return admission.WithTries(ctx, n)
		}
	}
	return ctx
}
