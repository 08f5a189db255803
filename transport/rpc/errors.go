package rpc

import (
	"context"
	"errors"
	"regexp"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/edgehold/edgehold/api"
)

// errorType marks the status detail that holds a CBOR api.Error.
const errorType = "edgehold/api.Error"

// toStatus returns err as it goes over the wire. codes.Aborted stands for every error that a handler returned, and sets them
// apart from errors of the transport.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	e := api.AsError(err)
	if e.Err != nil { // the cause stays here, but its text may help on the other side
		c := *e
		if c.Hint == "" {
			c.Hint = e.Err.Error()
		}
		e = &c
	}
	b, merr := encoder.Marshal(e)
	if merr != nil {
		return status.Error(codes.Internal, merr.Error())
	}
	return status.ErrorProto(&spb.Status{
		Code: int32(codes.Aborted), Message: e.Error(),
		Details: []*anypb.Any{{TypeUrl: errorType, Value: b}},
	})
}

// fromStatus returns the error of a call for its caller; sent reports whether the request may have left this node.
func fromStatus(ctx context.Context, op string, err error, sent bool) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	for _, d := range s.Proto().GetDetails() {
		if d.GetTypeUrl() != errorType {
			continue
		}
		var e api.Error
		if uerr := decoder.Unmarshal(d.GetValue(), &e); uerr == nil {
			return &e
		}
	}
	code := api.CodeAmbiguous
	switch {
	case !sent:
		code = api.CodeUnavailable
	case s.Code() == codes.Unimplemented:
		code = api.CodeUnavailable // refused by the other side before any handler ran
	}
	cause := err
	if ctx.Err() != nil {
		cause = errors.Join(context.Cause(ctx), err)
	}
	return &api.Error{Code: code, Op: op, Hint: "the other node did not answer: " + plain(s.Message()), Err: cause}
}

// LacksMethod reports whether the error of a call says that the other node does not know the method: it runs an older version.
func LacksMethod(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Err != nil && status.Code(e.Err) == codes.Unimplemented
}

// plain is the cause in a message of gRPC's about a connection, without gRPC's own frame around it. It leaves out the port of this
// end, which is another one at each try, so that the same cause has the same text.
func plain(message string) string {
	const frame = `connection error: desc = "`
	if i := strings.LastIndex(message, frame); i >= 0 {
		message = strings.TrimSuffix(message[i+len(frame):], `"`)
	}
	message = strings.TrimPrefix(message, "transport: ")
	message = strings.TrimPrefix(message, "Error while dialing: ")
	return ownEnd.ReplaceAllString(message, "")
}

// ownEnd is the address of this end in the text of an error of package net.
var ownEnd = regexp.MustCompile(`\S+->`)
