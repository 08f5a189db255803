package fsm

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files in testdata anew")

// TestTranscripts applies the commands in testdata/transcripts, of version 2, in testdata/level-5/transcripts, in
// testdata/level-6/transcripts and, of version 1, in testdata/level-1/transcripts. It compares the results with those below each. The latter are never written anew. Lines:
//
//	term N                          the terms of the entries to come, and of judgements that name none (term=N)
//	init [LO HI EPOCH I OF]...      start NODE     open NODE NONCE T P     close SID NONCE
//	put K V | del K | get K         txn COND... [then OP...] [else OP...]
//	grant SID K...                  suspect SID    unsuspect SID    kill SID...    release SID:K:LID...
//	cede LO HI EPOCH TO...          adopt I OF     (of the newest receipt)
//	trim BELOW LIMIT                advance        expire LIMIT     reap LIMIT     garbage HEX
//	raise LEVEL                     level N        (of the commands to come, whatever that of the group is)
//	drop BELOW LIMIT                bound BYTES    (of the history)
//	read K...                       list LO HI     holders K...     meta    history AFTER    (no commands)
//
// COND is K@EPOCH.INDEX, K=V, K? (exists) or K! (is absent); OP is +K=V, -K, .K (get), #K=N (add) or &K=V (append if
// absent), from level 6 on also _K=V (put that keeps the deadline), ~K=V (append), %K=V (sum64), <K=V (min64) and ^K=V (max64), where
// V has 8 bytes. A put, append or fold may end with |TTL. A write may have id=CLIENT/SEQ/ACKED/EPOCH, clear=SID:K:LID,... and kill=SID,...; every bound "-" is none.
func TestTranscripts(t *testing.T) {
	for _, x := range []struct {
		dir     string
		level   Level
		compare func(*testing.T, string, []byte)
	}{{"testdata/transcripts", Level2, golden}, {"testdata/level-5/transcripts", Level5, golden}, {"testdata/level-6/transcripts", Level6, golden}, {"testdata/level-1/transcripts", Level1, kept}} {
		files, err := filepath.Glob(x.dir + "/*.txt")
		if err != nil || len(files) == 0 {
			t.Fatal("no transcripts", err)
		}
		for _, file := range files {
			t.Run(strings.TrimPrefix(strings.TrimSuffix(file, ".txt"), "testdata/"), func(t *testing.T) {
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				x.compare(t, file, play(t, want, x.level))
			})
		}
	}
}

// golden compares with the file, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept(t, file, got)
}

// kept compares with a file that is never written anew.
func kept(t *testing.T, file string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s:%d is\n%s\nwant\n%s", file, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d", file, len(g), len(w))
}

// stage is the environment in which a transcript runs.
type stage struct {
	t       *testing.T
	m       *Machine
	founded Level    // the level at which a group is founded
	level   Level    // of commands; 0 is that of the group
	term    api.Term // of entries
	judged  api.Term // of judgements
	receipt *Receipt
	out     strings.Builder
}

// play returns the transcript with the results as they come out.
func play(t *testing.T, script []byte, level Level) []byte {
	s := &stage{t: t, m: newMachine(t), founded: level, term: 1}
	for line := range strings.Lines(string(script)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "> ") {
			continue
		}
		s.out.WriteString(line + "\n")
		if line != "" && line[0] != '#' {
			s.line(strings.Fields(line))
		}
		if err := s.m.CheckInvariants(); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
	}
	return []byte(s.out.String())
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(&s.out, "> "+format+"\n", args...) }

func (s *stage) line(f []string) {
	verb, args := f[0], f[1:]
	s.judged = s.term
	w := Write{}
	rest := args[:0:0]
	for _, a := range args {
		name, v, ok := strings.Cut(a, "=")
		switch {
		case ok && name == "term":
			s.judged = api.Term(s.num(v))
		case ok && name == "id":
			w.Txn.ID, w.Epoch = s.id(v)
		case ok && name == "clear":
			w.Cleared = s.leases(strings.Split(v, ",")...)
		case ok && name == "kill":
			w.Killed = s.sids(strings.Split(v, ",")...)
		default:
			rest = append(rest, a)
		}
	}
	w.Term = s.judged
	switch verb {
	case "term":
		s.term = api.Term(s.num(rest[0]))
	case "level":
		s.level = Level(s.num(rest[0]))
	case "read", "list", "holders", "meta", "history":
		s.look(verb, rest)
	case "garbage":
		b, err := hex.DecodeString(strings.Join(rest, ""))
		if err != nil {
			s.t.Fatal(err)
		}
		if results, err := s.m.Apply(1, s.term, [][]byte{b}); err != nil {
			s.say("%v", err)
		} else {
			s.print(results[0])
		}
	default:
		res := one(s.m.Apply(1, s.term, [][]byte{s.encode(s.command(verb, rest, w))}))
		if res.Receipt != nil {
			s.receipt = res.Receipt
		}
		s.print(res)
	}
}

func (s *stage) encode(c Command) []byte {
	level := s.level
	if _, founds := c.(Init); founds && level == 0 {
		level = s.founded
	}
	return Encode(c, cmp.Or(level, s.m.Level()))
}

func (s *stage) command(verb string, a []string, w Write) Command {
	switch verb {
	case "init":
		c := Init{Group: "g.1", Incarnation: 7, MaxTerm: time.Minute, MaxPause: 10 * time.Second}
		for ; len(a) >= 5; a = a[5:] {
			c.Shards = append(c.Shards, Shard{s.rng(a[0], a[1]), s.num(a[2]), uint32(s.num(a[3])), uint32(s.num(a[4]))})
		}
		return c
	case "start":
		return TermStart{api.NodeID(a[0])}
	case "open":
		return SessionOpen{api.NodeID(a[0]), nonce(a[1]), s.dur(a[2]), s.dur(a[3])}
	case "close":
		return SessionClose{s.sid(a[0]), nonce(a[1])}
	case "suspect":
		return Suspect{s.judged, s.sid(a[0])}
	case "unsuspect":
		return Unsuspect{s.judged, s.sid(a[0])}
	case "kill":
		return Kill{s.judged, s.sids(a...)}
	case "release":
		return Release{s.leases(a...)}
	case "grant":
		item := GrantItem{Session: s.sid(a[0])}
		for _, k := range a[1:] {
			item.Keys = append(item.Keys, api.Key(k))
		}
		return Grant{s.judged, []GrantItem{item}}
	case "cede":
		c := Cede{Term: s.judged, Range: s.rng(a[0], a[1]), Epoch: s.num(a[2]), Cleared: w.Cleared, Killed: w.Killed}
		for _, g := range a[3:] {
			c.To = append(c.To, api.GroupID(g))
		}
		return c
	case "adopt":
		return Adopt{*s.receipt, Shard{s.receipt.Range, s.receipt.Epoch, uint32(s.num(a[0])), uint32(s.num(a[1]))}}
	case "trim":
		return TrimTombstones{s.judged, s.num(a[0]), int(s.num(a[1]))}
	case "advance":
		return AdvanceDedupEpoch{s.judged}
	case "raise":
		return SetLevel{s.judged, Level(s.num(a[0]))}
	case "drop":
		return TrimHistory{s.judged, s.num(a[0]), int(s.num(a[1]))}
	case "bound":
		return HistoryMax{s.judged, s.num(a[0])}
	case "reap":
		return Reap{s.judged, int(s.num(a[0]))}
	case "expire":
		return ExpireDedup{s.judged, int(s.num(a[0]))}
	}
	return s.write(verb, a, w)
}

func (s *stage) write(verb string, a []string, w Write) Command {
	switch verb {
	case "put":
		a = []string{"then", "+" + a[0] + "=" + a[1]}
	case "del":
		a = []string{"then", "-" + a[0]}
	case "get":
		a = []string{"then", "." + a[0]}
	case "txn":
	default:
		s.t.Fatalf("no such command: %s", verb)
	}
	part := "if"
	for _, x := range a {
		switch {
		case x == "then" || x == "else":
			part = x
		case part == "if":
			w.Txn.If = append(w.Txn.If, s.cond(x))
		case part == "then":
			w.Txn.Then = append(w.Txn.Then, op(x))
		default:
			w.Txn.Else = append(w.Txn.Else, op(x))
		}
	}
	return w
}

func (s *stage) cond(x string) api.Cond {
	if k, v, ok := strings.Cut(x, "@"); ok {
		ver, err := api.ParseVersion(v)
		if err != nil {
			s.t.Fatal(err)
		}
		return api.Cond{Kind: api.CondVersion, Key: api.Key(k), Version: ver}
	}
	if k, v, ok := strings.Cut(x, "="); ok {
		return api.Cond{Kind: api.CondValue, Key: api.Key(k), Value: []byte(v)}
	}
	if k, ok := strings.CutSuffix(x, "?"); ok {
		return api.Cond{Kind: api.CondExists, Key: api.Key(k)}
	}
	return api.Cond{Kind: api.CondAbsent, Key: api.Key(strings.TrimSuffix(x, "!"))}
}

func op(x string) api.Op {
	x, life, _ := strings.Cut(x, "|")
	k, v, _ := strings.Cut(x[1:], "=")
	ttl, _ := time.ParseDuration(life)
	if kind, ok := map[byte]api.OpKind{'_': api.OpPut, '~': api.OpAppend, '%': api.OpSum64, '<': api.OpMin64, '^': api.OpMax64}[x[0]]; ok {
		return api.Op{Kind: kind, Key: api.Key(k), Value: []byte(v), TTL: ttl, KeepTTL: x[0] == '_'}
	}
	switch x[0] {
	case '+':
		return api.Op{Kind: api.OpPut, Key: api.Key(k), Value: []byte(v), TTL: ttl}
	case '-':
		return api.Op{Kind: api.OpDelete, Key: api.Key(k)}
	case '&':
		return api.Op{Kind: api.OpAppendIfAbsent, Key: api.Key(k), Value: []byte(v)}
	case '#':
		n, _ := strconv.ParseInt(v, 10, 64)
		return api.Op{Kind: api.OpAdd, Key: api.Key(k), Delta: n}
	}
	return api.Op{Kind: api.OpGet, Key: api.Key(k)}
}

func (s *stage) num(x string) uint64 {
	n, err := strconv.ParseUint(x, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stage) dur(x string) time.Duration {
	d, err := time.ParseDuration(x)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *stage) rng(lo, hi string) api.Range {
	return api.Range{Start: api.Key(strings.TrimPrefix(lo, "-")), End: api.Key(strings.TrimPrefix(hi, "-"))}
}

func nonce(x string) (n ident.Nonce) { copy(n[:], x); return n }

func (s *stage) sid(x string) ident.SessionID {
	inc, i, _ := strings.Cut(x, ".")
	return ident.SessionID{Incarnation: s.num(inc), Index: s.num(i)}
}

func (s *stage) sids(xs ...string) (ids []ident.SessionID) {
	for _, x := range xs {
		ids = append(ids, s.sid(x))
	}
	return ids
}

func (s *stage) leases(xs ...string) (ls []ident.DroppedLease) {
	for _, x := range xs {
		f := strings.Split(x, ":")
		ls = append(ls, ident.DroppedLease{Session: s.sid(f[0]), Key: api.Key(f[1]), Lease: ident.LeaseID(s.num(f[2]))})
	}
	return ls
}

func (s *stage) id(x string) (id api.RequestID, epoch ident.DedupEpoch) {
	f := strings.Split(x, "/")
	id = api.RequestID{Seq: s.num(f[1]), AckedBelow: s.num(f[2])}
	if n := s.num(f[3]); n > 0 {
		m := s.m.Meta()
		epoch = ident.DedupEpoch{Group: m.Group, Incarnation: m.Incarnation, Count: n}
	}
	copy(id.Client[:], f[0])
	return id, epoch
}
