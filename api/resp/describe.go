package resp

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// redisVersion is the version of Redis whose answers are given.
const redisVersion = "7.0.0"

// describe is COMMAND.
func describe(c *conn, args [][]byte) {
	if len(args) == 1 {
		c.out.array(len(commands))
		for i := range commands {
			c.row(&commands[i])
		}
		return
	}
	switch sub := args[1]; {
	case is(sub, "COUNT") && len(args) == 2:
		c.out.int(int64(len(commands)))
	case is(sub, "LIST") && len(args) == 2:
		c.out.array(len(commands))
		for i := range commands {
			c.out.text(commands[i].name)
		}
	case is(sub, "INFO"):
		chosen := choose(args[2:])
		c.out.array(len(chosen))
		for _, m := range chosen {
			c.row(m)
		}
	case is(sub, "DOCS"):
		c.docs(choose(args[2:]))
	case is(sub, "COUNT"), is(sub, "LIST"):
		c.out.error(string(wrongArity("command|" + strings.ToLower(string(sub)))))
	default:
		c.out.error(string(unknownSubcommand("command", sub)))
	}
}

// choose returns the rows of the names, nil for one that there is not; all rows for no name.
func choose(names [][]byte) (chosen []*command) {
	if len(names) == 0 {
		for i := range commands {
			chosen = append(chosen, &commands[i])
		}
	}
	for _, n := range names {
		chosen = append(chosen, find(n))
	}
	return chosen
}

// row writes what COMMAND says of a command.
func (c *conn) row(m *command) {
	if m == nil {
		c.out.null()
		return
	}
	c.out.array(10)
	c.out.text(m.name)
	c.out.int(int64(m.arity))
	flags := strings.Fields(m.flags)
	c.out.array(len(flags))
	for _, f := range flags {
		c.out.status(f)
	}
	for _, n := range []int{m.first, m.last, m.step} {
		c.out.int(int64(n))
	}
	for range 4 { // categories, tips, specifications of keys, subcommands
		c.out.array(0)
	}
	c.out.flushSome()
}

func (c *conn) docs(chosen []*command) {
	n := 0
	for _, m := range chosen {
		if m != nil {
			n++
		}
	}
	c.out.dict(n)
	for _, m := range chosen {
		if m == nil {
			continue
		}
		group := "generic"
		if m.run != nil {
			group = "connection"
		}
		c.out.text(m.name)
		c.out.dict(3)
		for _, pair := range [][2]string{{"summary", m.summary}, {"since", m.since}, {"group", group}} {
			c.out.text(pair[0])
			c.out.text(pair[1])
		}
		c.out.flushSome()
	}
}

// settings are what CONFIG GET shows: what clients ask for.
var settings = [][2]string{
	{"appendonly", "yes"}, {"databases", fmt.Sprint(Databases)}, {"maxmemory", "0"}, {"maxmemory-policy", "noeviction"},
	{"notify-keyspace-events", ""}, {"proto-max-bulk-len", fmt.Sprint(MaxArgBytes)}, {"save", ""}, {"timeout", "0"},
}

func config(c *conn, args [][]byte) {
	switch {
	case !is(args[1], "GET"):
		c.out.error(string(unknownSubcommand("config", args[1])))
		return
	case len(args) == 2:
		c.out.error(string(wrongArity("config|get")))
		return
	}
	var found [][2]string
	for _, s := range settings {
		for _, pattern := range args[2:] {
			if matches(strings.ToLower(string(pattern)), s[0]) {
				found = append(found, s)
				break
			}
		}
	}
	c.out.dict(len(found))
	for _, s := range found {
		c.out.text(s[0])
		c.out.text(s[1])
	}
}

// section is a part of INFO.
type section struct {
	name  string
	lines []string
}

func info(c *conn, args [][]byte) {
	var b strings.Builder
	for _, s := range c.sections() {
		wanted := len(args) == 1
		for _, a := range args[1:] {
			wanted = wanted || is(a, strings.ToUpper(s.name)) || is(a, "ALL") || is(a, "EVERYTHING") || is(a, "DEFAULT")
		}
		if wanted {
			if b.Len() > 0 {
				b.WriteString("\r\n")
			}
			b.WriteString("# " + s.name + "\r\n" + strings.Join(s.lines, "\r\n") + "\r\n")
		}
	}
	c.out.verbatim(b.String())
}

func (c *conn) sections() []section {
	s := c.server
	hits, misses := s.served.hits.Load(), s.served.misses.Load()
	line := fmt.Sprintf
	return []section{
		{"Server", []string{
			"redis_version:" + redisVersion, "redis_mode:standalone", "server_name:edgehold", line("os:%s %s", runtime.GOOS, runtime.GOARCH),
			line("process_id:%d", os.Getpid()), line("uptime_in_seconds:%d", int(time.Since(s.started).Seconds())), "node:" + string(s.backend.Node),
		}},
		{"Clients", []string{line("connected_clients:%d", s.open()), line("maxclients:%d", s.maxConns)}},
		{"Memory", []string{line("used_memory_client_buffers:%d", s.memory.used.Load()), "maxmemory:0", "maxmemory_policy:noeviction"}},
		{"Persistence", []string{"loading:0"}},
		{"Stats", []string{
			line("total_connections_received:%d", s.accepted.Load()), line("total_commands_processed:%d", s.commands.Load()),
			line("keyspace_hits:%d", hits), line("keyspace_misses:%d", misses),
			line("reads_by_lease:%d", s.served.leased.Load()), line("reads_by_owner:%d", s.served.owner.Load()), line("reads_stale:%d", s.served.stale.Load()),
		}},
		{"Replication", []string{"role:master", "connected_slaves:0"}},
		{"Cluster", []string{"cluster_enabled:0"}},
		{"Keyspace", nil},
	}
}
