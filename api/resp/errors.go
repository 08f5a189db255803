package resp

import (
	"context"
	"errors"
	"strings"

	"github.com/edgehold/edgehold/api"
)

// refusal is the text of an error as Redis words it.
type refusal string

func (e refusal) Error() string { return string(e) }

// Redis's own errors.
const (
	errSyntax       = refusal("ERR syntax error")
	errNotInteger   = refusal("ERR value is not an integer or out of range")
	errOverflow     = refusal("ERR increment or decrement would overflow")
	errDecrement    = refusal("ERR decrement would overflow")
	errIndex        = refusal("ERR DB index is out of range")
	errAborted      = refusal("EXECABORT Transaction discarded because of previous errors.")
	errNoAuth       = refusal("NOAUTH Authentication required.")
	errWrongPass    = refusal("WRONGPASS invalid username-password pair or user is disabled.")
	errNoPerm       = refusal("NOPERM this user has no permissions to access one of the keys used as arguments")
	errMaxClients   = refusal("ERR max number of clients reached")
	errNotInMulti   = refusal("ERR Command not allowed inside a transaction")
	errNoProto      = refusal("NOPROTO unsupported protocol version")
	errHelloNoAuth  = refusal("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
	errCursor       = refusal("ERR invalid cursor")
	errUnknownValue = refusal("AMBIGUOUS answer unknown: the command took effect, but its answer is lost, since the value was too long to be kept; read the key")
	errLostAnswer   = refusal("AMBIGUOUS answer unknown: the command took effect, but answers that clients have not accepted fill the memory for them; read the keys")
)

func wrongArity(name string) refusal {
	return refusal("ERR wrong number of arguments for '" + name + "' command")
}

func unknownCommand(args [][]byte) refusal {
	var b strings.Builder
	for i := 1; i < len(args) && b.Len() < 128; i++ {
		b.WriteString("'" + text(args[i], 128-b.Len()) + "' ")
	}
	return refusal("ERR unknown command '" + text(args[0], 128) + "', with args beginning with: " + b.String())
}

func unknownSubcommand(name string, arg []byte) refusal {
	return refusal("ERR unknown subcommand '" + text(arg, 128) + "'. Try " + strings.ToUpper(name) + " HELP.")
}

// text is what an error shows of what a client has sent.
func text(b []byte, most int) string {
	s := string(b[:min(len(b), most)])
	s, _, _ = strings.Cut(s, "\x00") // as Redis does
	return s
}

// codeOf returns what err, in Redis's words or not, means in metrics and spans.
func codeOf(err error) api.Code {
	r, worded := errors.AsType[refusal](err)
	switch {
	case !worded:
		return api.CodeOf(err)
	case strings.HasPrefix(string(r), "AMBIGUOUS"):
		return api.CodeAmbiguous
	case strings.HasPrefix(string(r), "TRYAGAIN"):
		return api.CodeUnavailable
	}
	return api.CodeInvalid
}

// errorText returns err in Redis's words, or in ones that say whether the command was carried out. writes: it may have been.
func errorText(err error, writes bool) string {
	if r, ok := errors.AsType[refusal](err); ok {
		return string(r)
	}
	e, known := errors.AsType[*api.Error](err)
	code, hint := api.CodeOf(err), ""
	switch {
	case known:
		hint = e.Hint
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		if code, hint = api.CodeUnavailable, "the time ran out"; writes {
			code = api.CodeAmbiguous
		}
	}
	if known && e.Unknown {
		code = api.CodeAmbiguous
	}
	switch code {
	case api.CodeUnauthenticated:
		return string(errNoAuth)
	case api.CodeDenied:
		return string(errNoPerm)
	case api.CodeNotLeader, api.CodeWrongGroup, api.CodeSessionDead:
		return "TRYAGAIN the owner of the key is changing"
	case api.CodeUnavailable, api.CodeLimited:
		return "TRYAGAIN not carried out: " + hint
	case api.CodeInvalid, api.CodeTooLarge, api.CodeConflict, api.CodePreconditionFailed, api.CodeNotFound:
		return "ERR " + hint
	}
	if writes {
		return "AMBIGUOUS outcome unknown: the command may have been carried out, or may yet be; read the keys before you send it again: " + hint
	}
	return "ERR " + string(code) + ": " + hint
}

// itsOwn reports whether a request was refused for one of the commands that share it, so that the others may succeed without it.
// Nothing of it was carried out.
func itsOwn(err error) bool {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Unknown {
		return false // an earlier copy of the request may have been carried out
	}
	switch api.CodeOf(err) {
	case api.CodeDenied, api.CodeTooLarge, api.CodeInvalid, api.CodePreconditionFailed, api.CodeConflict:
		return true
	}
	return false
}

// before is the error of a read before anything was written.
func before(err error) error {
	switch code := api.CodeOf(err); {
	case code == "", code.Applied() == "no":
		return err
	case errors.Is(err, context.DeadlineExceeded) || code == api.CodeAmbiguous:
		return api.Errorf(api.CodeUnavailable, "the time ran out")
	}
	return &api.Error{Code: api.CodeUnavailable, Hint: "the node met a fault", Err: err}
}
