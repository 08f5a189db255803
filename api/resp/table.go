package resp

import "strings"

// command is a row of the table of commands. It has either parse or run.
type command struct {
	name string
	// arity is the number of arguments, the name among them; if it is negative, the least number of them.
	arity int
	// flags are those that COMMAND shows.
	flags string
	// first, last and step are where the keys are among the arguments, as COMMAND shows it; a negative last counts from the end.
	first, last, step int
	since, summary    string

	// parse returns what a command does with keys.
	parse func(s *space, args [][]byte) (action, error)
	// run carries out a command about the connection or the server, and answers it.
	run func(c *conn, args [][]byte)
	// multi says what becomes of the command inside MULTI. One with parse is queued.
	multi inMulti
	// open: a client that has not authenticated itself may send it.
	open bool
}

// inMulti is what becomes of a command inside MULTI.
type inMulti uint8

const (
	refusedInMulti inMulti = iota
	queuedInMulti
	runInMulti
)

// commands is the table of commands, in the order of their names. It is filled by init, since some of them show it.
var commands []command

var byName = map[string]*command{}

func init() {
	commands = []command{
		{name: "append", arity: 3, flags: "write denyoom fast", first: 1, last: 1, step: 1, since: "2.0.0", summary: "Appends a string to the value of a key.", parse: parseAppend},
		{name: "auth", arity: -2, flags: "noscript loading stale fast no_auth", since: "1.0.0", summary: "Authenticates the connection by a token of clients.", run: auth, open: true},
		{name: "client", arity: -2, flags: "noscript loading stale", since: "2.4.0", summary: "Shows and names the connection.", run: client, multi: queuedInMulti},
		{name: "command", arity: -1, flags: "loading stale", since: "2.8.13", summary: "Describes the commands that are served.", run: describe, multi: queuedInMulti},
		{name: "config", arity: -2, flags: "admin noscript loading stale", since: "2.0.0", summary: "Shows a few settings that clients ask for.", run: config, multi: queuedInMulti},
		{name: "dbsize", arity: 1, flags: "readonly fast", since: "1.0.0", summary: "Counts the keys of the database, by listing them.", run: dbsize},
		{name: "decr", arity: 2, flags: "write denyoom fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Subtracts one from the integer of a key.", parse: parseDecr},
		{name: "decrby", arity: 3, flags: "write denyoom fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Subtracts a number from the integer of a key.", parse: parseDecrBy},
		{name: "del", arity: -2, flags: "write", first: 1, last: -1, step: 1, since: "1.0.0", summary: "Deletes keys.", parse: parseDel},
		{name: "discard", arity: 1, flags: "noscript loading stale fast", since: "2.0.0", summary: "Ends a transaction without carrying it out.", run: discard, multi: runInMulti},
		{name: "echo", arity: 2, flags: "loading stale fast", since: "1.0.0", summary: "Returns its argument.", run: echo, multi: queuedInMulti},
		{name: "exec", arity: 1, flags: "noscript loading stale", since: "1.2.0", summary: "Carries out the commands of a transaction, if the watched keys are unchanged.", run: execute, multi: runInMulti},
		{name: "exists", arity: -2, flags: "readonly fast", first: 1, last: -1, step: 1, since: "1.0.0", summary: "Counts which of the keys exist.", parse: parseExists},
		{name: "expire", arity: -3, flags: "write fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Sets the time to live of a key, in seconds.", parse: parseExpire},
		{name: "expireat", arity: -3, flags: "write fast", first: 1, last: 1, step: 1, since: "1.2.0", summary: "Sets when a key ends, in seconds since 1970.", parse: parseExpireAt},
		{name: "expiretime", arity: 2, flags: "readonly fast", first: 1, last: 1, step: 1, since: "7.0.0", summary: "Returns when a key ends, in seconds since 1970.", parse: parseExpireTime},
		{name: "get", arity: 2, flags: "readonly fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Returns the value of a key.", parse: parseGet},
		{name: "getdel", arity: 2, flags: "write fast", first: 1, last: 1, step: 1, since: "6.2.0", summary: "Returns the value of a key and deletes it.", parse: parseGetDel},
		{name: "getex", arity: -2, flags: "write fast", first: 1, last: 1, step: 1, since: "6.2.0", summary: "Returns the value of a key and changes its time to live.", parse: parseGetEX},
		{name: "getset", arity: 3, flags: "write denyoom fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Sets a key and returns what it held.", parse: parseGetSet},
		{name: "hello", arity: -1, flags: "noscript loading stale fast no_auth", since: "6.0.0", summary: "Chooses the version of the protocol, and authenticates.", run: hello, open: true},
		{name: "incr", arity: 2, flags: "write denyoom fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Adds one to the integer of a key.", parse: parseIncr},
		{name: "incrby", arity: 3, flags: "write denyoom fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Adds a number to the integer of a key.", parse: parseIncrBy},
		{name: "info", arity: -1, flags: "loading stale", since: "1.0.0", summary: "Describes the node, and how reads were served.", run: info, multi: queuedInMulti},
		{name: "keys", arity: 2, flags: "readonly", since: "1.0.0", summary: "Lists all keys that match a pattern.", run: keys},
		{name: "mget", arity: -2, flags: "readonly fast", first: 1, last: -1, step: 1, since: "1.0.0", summary: "Returns the values of keys, all of one instant.", parse: parseMGet},
		{name: "mset", arity: -3, flags: "write denyoom", first: 1, last: -1, step: 2, since: "1.0.1", summary: "Sets keys, all at once.", parse: parseMSet},
		{name: "msetnx", arity: -3, flags: "write denyoom", first: 1, last: -1, step: 2, since: "1.0.1", summary: "Sets keys if none of them exists.", parse: parseMSetNX},
		{name: "multi", arity: 1, flags: "noscript loading stale fast", since: "1.2.0", summary: "Begins a transaction.", run: multi, multi: runInMulti},
		{name: "persist", arity: 2, flags: "write fast", first: 1, last: 1, step: 1, since: "2.2.0", summary: "Takes the time to live from a key.", parse: parsePersist},
		{name: "pexpire", arity: -3, flags: "write fast", first: 1, last: 1, step: 1, since: "2.6.0", summary: "Sets the time to live of a key, in milliseconds.", parse: parsePExpire},
		{name: "pexpireat", arity: -3, flags: "write fast", first: 1, last: 1, step: 1, since: "2.6.0", summary: "Sets when a key ends, in milliseconds since 1970.", parse: parsePExpireAt},
		{name: "pexpiretime", arity: 2, flags: "readonly fast", first: 1, last: 1, step: 1, since: "7.0.0", summary: "Returns when a key ends, in milliseconds since 1970.", parse: parsePExpireTime},
		{name: "ping", arity: -1, flags: "fast", since: "1.0.0", summary: "Returns PONG, or its argument.", run: ping, multi: queuedInMulti},
		{name: "psetex", arity: 4, flags: "write denyoom", first: 1, last: 1, step: 1, since: "2.6.0", summary: "Sets a key and its time to live, in milliseconds.", parse: parsePSetEX},
		{name: "pttl", arity: 2, flags: "readonly fast", first: 1, last: 1, step: 1, since: "2.6.0", summary: "Returns the time to live of a key, in milliseconds.", parse: parsePTTL},
		{name: "quit", arity: -1, flags: "noscript loading stale fast no_auth", since: "1.0.0", summary: "Ends the connection.", run: quit, multi: runInMulti, open: true},
		{name: "readonly", arity: 1, flags: "loading stale fast", since: "3.0.0", summary: "Lets the reads of the connection be stale.", run: readonly},
		{name: "readwrite", arity: 1, flags: "loading stale fast", since: "3.0.0", summary: "Makes the reads of the connection linearizable again.", run: readwrite},
		{name: "reset", arity: 1, flags: "noscript loading stale fast no_auth", since: "6.2.0", summary: "Makes the connection as it was when it began.", run: reset, multi: runInMulti, open: true},
		{name: "scan", arity: -2, flags: "readonly", since: "2.8.0", summary: "Lists a part of the keys, in their order.", run: scan},
		{name: "select", arity: 2, flags: "loading stale fast", since: "1.0.0", summary: "Chooses the database of the connection.", run: selectDB, multi: queuedInMulti},
		{name: "set", arity: -3, flags: "write denyoom", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Sets a key.", parse: parseSet},
		{name: "setex", arity: 4, flags: "write denyoom", first: 1, last: 1, step: 1, since: "2.0.0", summary: "Sets a key and its time to live, in seconds.", parse: parseSetEX},
		{name: "setnx", arity: 3, flags: "write denyoom fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Sets a key if it does not exist.", parse: parseSetNX},
		{name: "strlen", arity: 2, flags: "readonly fast", first: 1, last: 1, step: 1, since: "2.2.0", summary: "Returns the length of the value of a key.", parse: parseStrlen},
		{name: "touch", arity: -2, flags: "readonly fast", first: 1, last: -1, step: 1, since: "3.2.1", summary: "Counts which of the keys exist.", parse: parseExists},
		{name: "ttl", arity: 2, flags: "readonly fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Returns the time to live of a key, in seconds.", parse: parseTTL},
		{name: "type", arity: 2, flags: "readonly fast", first: 1, last: 1, step: 1, since: "1.0.0", summary: "Returns string if the key exists.", parse: parseType},
		{name: "unlink", arity: -2, flags: "write fast", first: 1, last: -1, step: 1, since: "4.0.0", summary: "Deletes keys.", parse: parseDel},
		{name: "unwatch", arity: 1, flags: "noscript loading stale fast", since: "2.2.0", summary: "Watches no key any more.", run: unwatch, multi: queuedInMulti},
		{name: "wait", arity: 3, flags: "noscript", since: "3.0.0", summary: "Returns how many more servers have the writes of the connection.", run: wait},
		{name: "watch", arity: -2, flags: "noscript loading stale fast", first: 1, last: -1, step: 1, since: "2.2.0", summary: "Has the next transaction carried out only if the keys are unchanged.", run: watch, multi: runInMulti},
	}
	for i := range commands {
		byName[commands[i].name] = &commands[i]
	}
}

// longestName is the most bytes of the name of a command.
const longestName = 16

// find returns the row of a name, in capitals or not; nil if there is none.
func find(name []byte) *command {
	if len(name) > longestName {
		return nil
	}
	var lower [longestName]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return byName[string(lower[:len(name)])]
}

// fits reports whether the command takes so many arguments.
func (m *command) fits(n int) bool {
	return n == m.arity || m.arity < 0 && n >= -m.arity
}

// reads reports whether the command only reads keys.
func (m *command) reads() bool { return strings.HasPrefix(m.flags, "readonly") }
