package resp

import (
	"fmt"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// choose makes a database the one of the connection.
func (c *conn) choose(db int) { c.db, c.space.prefix = db, prefixOf(db) }

// become makes the connection that of a token's principal; "" is the anonymous one. An error leaves it as it is.
func (c *conn) become(token string) error {
	p, err := c.server.backend.Authenticate(token, c.RemoteAddr().String())
	if err != nil && token == "" {
		p = &front.Principal{} // it may authenticate itself, and nothing else
	} else if err != nil {
		return err
	}
	c.ctx = front.WithPrincipal(c.server.ctx, p)
	c.caller = c.server.backend.For(c.ctx).Noting(&c.note)
	c.kept.become(p.Name)
	c.unread.become(p.Name)
	c.judge()
	return nil
}

// judge finds out whether the principal may ask anything at present.
func (c *conn) judge() {
	c.allowed = c.server.backend.Check(c.ctx)
	c.in.stranger = c.allowed != nil
}

func auth(c *conn, args [][]byte) {
	switch len(args) {
	case 2, 3:
		if c.authenticate(args[len(args)-1]) {
			c.out.ok()
		}
	default:
		c.out.error(string(errSyntax))
	}
}

// authenticate makes the connection that of the token's principal, or answers that it is wrong. The user that Redis has beside the
// password is not looked at: a token names its principal.
func (c *conn) authenticate(token []byte) bool {
	err := error(errWrongPass)
	if len(token) > 0 {
		err = c.become(string(token))
	}
	if err == nil {
		c.wrong = 0
		return true
	}
	text := string(errWrongPass)
	if code := api.CodeOf(err); code == api.CodeUnavailable || code == api.CodeLimited {
		text = errorText(err, false)
	}
	c.out.error(text)
	if c.wrong++; c.wrong >= maxWrongInARow {
		c.ending = true
	}
	return false
}

func hello(c *conn, args [][]byte) {
	version, token, name, err := helloOptions(c, args[1:])
	switch {
	case err != nil:
		c.out.error(err.Error())
		return
	case token != nil && !c.authenticate(token):
		return
	case c.allowed != nil:
		c.out.error(string(errHelloNoAuth))
		return
	}
	if name != nil {
		c.name = *name
	}
	c.out.resp3 = version == 3
	c.out.dict(7)
	for _, pair := range [][2]string{{"server", "redis"}, {"version", redisVersion}} {
		c.out.text(pair[0])
		c.out.text(pair[1])
	}
	c.out.text("proto")
	c.out.int(int64(version))
	c.out.text("id")
	c.out.int(int64(c.id))
	for _, pair := range [][2]string{{"mode", "standalone"}, {"role", "master"}} {
		c.out.text(pair[0])
		c.out.text(pair[1])
	}
	c.out.text("modules")
	c.out.array(0)
}

// helloOptions returns what a HELLO asks for. token and name are nil if it names none.
func helloOptions(c *conn, args [][]byte) (version int, token []byte, name *string, err error) {
	version = 2
	if c.out.resp3 {
		version = 3
	}
	if len(args) == 0 {
		return version, nil, nil, nil
	}
	n, err := integer(args[0])
	switch {
	case err != nil:
		return 0, nil, nil, refusal("ERR Protocol version is not an integer or out of range")
	case n < 2 || n > 3:
		return 0, nil, nil, errNoProto
	}
	for i := 1; i < len(args); i++ {
		switch {
		case is(args[i], "AUTH") && i+2 < len(args):
			token = args[i+2]
			i += 2
		case is(args[i], "SETNAME") && i+1 < len(args):
			i++
			if err := checkName(args[i]); err != nil {
				return 0, nil, nil, err
			}
			s := string(args[i])
			name = &s
		default:
			return 0, nil, nil, refusal("ERR Syntax error in HELLO option '" + text(args[i], 128) + "'")
		}
	}
	return int(n), token, name, nil
}

func selectDB(c *conn, args [][]byte) {
	db, err := database(args[1])
	if err != nil {
		c.out.error(err.Error())
		return
	}
	c.choose(db)
	c.out.ok()
}

func database(arg []byte) (int, error) {
	switch n, err := integer(arg); {
	case err != nil:
		return 0, err
	case n < 0 || n >= Databases:
		return 0, errIndex
	default:
		return int(n), nil
	}
}

func ping(c *conn, args [][]byte) {
	switch len(args) {
	case 1:
		c.out.status("PONG")
	case 2:
		c.out.bytes(args[1])
	default:
		c.out.error(string(wrongArity("ping")))
	}
}

func echo(c *conn, args [][]byte) { c.out.bytes(args[1]) }

func quit(c *conn, _ [][]byte) {
	c.out.ok()
	c.ending = true
}

// reset makes the connection as it was when it began.
func reset(c *conn, _ [][]byte) {
	c.endMulti()
	c.choose(0)
	c.stale, c.name, c.out.resp3 = false, "", false
	_ = c.become("") // the anonymous principal is never refused
	c.out.status("RESET")
}

func readonly(c *conn, _ [][]byte) {
	c.stale = true
	c.out.ok()
}

func readwrite(c *conn, _ [][]byte) {
	c.stale = false
	c.out.ok()
}

// wait answers at once: a write is acknowledged when a majority of its group's servers has it.
func wait(c *conn, args [][]byte) {
	n, err := integer(args[1])
	if err == nil {
		_, err = integer(args[2])
	}
	if err != nil {
		c.out.error(err.Error())
		return
	}
	c.out.int(min(max(n, 0), int64(c.server.copies())))
}

func client(c *conn, args [][]byte) {
	switch sub := args[1]; {
	case is(sub, "ID") && len(args) == 2:
		c.out.int(int64(c.id))
	case is(sub, "GETNAME") && len(args) == 2:
		c.out.value([]byte(c.name), c.name != "")
	case is(sub, "INFO") && len(args) == 2:
		c.out.verbatim(c.describe())
	case is(sub, "SETNAME") && len(args) == 3:
		if err := checkName(args[2]); err != nil {
			c.out.error(err.Error())
			return
		}
		c.name = string(args[2])
		c.out.ok()
	case is(sub, "SETINFO") && len(args) == 4:
		c.setInfo(args[2], args[3])
	default:
		for _, known := range []string{"ID", "GETNAME", "INFO", "SETNAME", "SETINFO"} {
			if is(sub, known) {
				c.out.error(string(wrongArity("client|" + strings.ToLower(known))))
				return
			}
		}
		c.out.error(string(unknownSubcommand("client", sub)))
	}
}

const maxName = 256

// checkName refuses a name of a connection that would break a line of CLIENT INFO.
func checkName(b []byte) error {
	for _, c := range b {
		if c < '!' || c > '~' {
			return refusal("ERR Client names cannot contain spaces, newlines or special characters.")
		}
	}
	if len(b) > maxName {
		return refusal(fmt.Sprintf("ERR Client names cannot have more than %d bytes", maxName))
	}
	return nil
}

func (c *conn) setInfo(what, value []byte) {
	i := 0
	switch {
	case checkName(value) != nil:
		c.out.error("ERR " + strings.ToLower(text(what, 16)) + " cannot contain spaces, newlines or special characters.")
		return
	case is(what, "LIB-NAME"):
	case is(what, "LIB-VER"):
		i = 1
	default:
		c.out.error("ERR Unrecognized option '" + text(what, 128) + "'")
		return
	}
	c.library[i] = string(value)
	c.out.ok()
}

// describe is the line of CLIENT INFO.
func (c *conn) describe() string {
	resp, in := 2, -1
	if c.out.resp3 {
		resp = 3
	}
	if c.multi != nil {
		in = len(c.multi.calls)
	}
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d idle=0 flags=N db=%d sub=0 psub=0 multi=%d watch=%d cmd=client|info user=%s lib-name=%s lib-ver=%s resp=%d\n",
		c.id, c.RemoteAddr(), c.LocalAddr(), c.name, int(time.Since(c.since).Seconds()), c.db, in, len(c.watched), front.PrincipalFrom(c.ctx).Name,
		c.library[0], c.library[1], resp)
}
