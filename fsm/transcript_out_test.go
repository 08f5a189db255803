package fsm

import (
	"fmt"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/fsm/ident"
)

// print writes a result, one part per line.
func (s *stage) print(r Result) {
	if r.Err != nil {
		s.say("#%d %s", r.Index, r.Err.Error())
	} else {
		s.say("#%d ok", r.Index)
	}
	if r.Txn != nil {
		text := txnText(r.Txn)
		if s.founded == Level1 { // the program of then did not say it
			text = strings.ReplaceAll(text, " elided", "")
		}
		s.say("  txn %s", text)
	}
	if len(r.Entries) > 0 {
		s.say("  entries %s", entriesText(r.Entries, r.Leases...))
	}
	if !r.Session.IsZero() {
		s.say("  session %v", r.Session)
	}
	if len(r.Holders) > 0 {
		s.say("  holders %s", holdersText(r.Holders))
	}
	if r.Receipt != nil {
		s.say("  receipt %s", receiptText(r.Receipt))
	}
	if e := r.Effect; e.Kind != EffectNone {
		name := [...]string{"", "term-start", "suspect", "unsuspect", "killed"}[e.Kind]
		s.say("  effect %s %s%v", name, e.Node, e.Sessions)
	}
}

func txnText(x *api.TxnResult) string {
	out := fmt.Sprintf("committed=%v version=%v entries %s", x.Committed, x.Version, entriesText(x.Entries))
	if x.Replayed {
		out += " replayed"
	}
	for _, l := range x.Lists {
		out += " list " + entriesText(l)
	}
	return out
}

func entriesText(es []api.Entry, leases ...ident.LeaseID) string {
	var out []string
	for i, e := range es {
		x := string(e.Key) + "@" + e.Version.String()
		if e.Exists {
			x += "=" + string(e.Value)
		} else {
			x += "!"
		}
		if len(leases) > 0 && leases[i] != 0 {
			x += fmt.Sprintf(" lease=%d", leases[i])
		}
		if e.Elided {
			x += " elided"
		}
		if e.Unchanged {
			x += " unchanged"
		}
		out = append(out, x)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func holdersText(hs []Holder) string {
	var out []string
	for _, h := range hs {
		out = append(out, fmt.Sprintf("%v:%s:%d on %s", h.Session, h.Key, h.Lease, h.Node))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func receiptText(r *Receipt) string {
	out := fmt.Sprintf("%v at %d from %v to %v, dedup epoch %d", r.Range, r.Epoch, r.From, r.To, r.DedupEpoch)
	for _, c := range r.Clients {
		out += fmt.Sprintf("; client %s acked below %d", strings.TrimRight(string(c.ID[:]), "\x00"), c.AckedBelow)
	}
	for _, c := range r.Records {
		out += fmt.Sprintf("; record %s/%d of %s", strings.TrimRight(string(c.Client[:]), "\x00"), c.Seq, c.Anchor)
	}
	return out
}

// look reads, without a command.
func (s *stage) look(verb string, a []string) {
	var keys []api.Key
	for _, k := range a {
		keys = append(keys, api.Key(k))
	}
	switch verb {
	case "read":
		es, _, err := s.m.Read(keys)
		if err != nil {
			s.say("%v", err)
			return
		}
		s.say("%s", entriesText(es))
	case "list":
		res, err := s.m.List(&api.ListRequest{Range: s.rng(a[0], a[1])})
		if err != nil {
			s.say("%v", err)
			return
		}
		s.say("%s", entriesText(res.Entries))
	case "holders":
		s.say("%s", holdersText(s.m.Holders(keys)))
	case "history":
		h, err := s.m.History(s.num(a[0]), 1<<20)
		if err != nil {
			s.t.Fatal(err)
		}
		s.say("after %s to %d, floor %d", a[0], h.To, h.Position.Floor)
		for _, e := range h.Events {
			s.say("  #%d %v %s@%v=%q", e.Index, e.Kind, e.Key, e.Version, e.Value)
		}
	case "meta":
		m := s.m.Meta()
		level := ""
		if m.Level > Level1 {
			level = fmt.Sprintf("level=%d ", m.Level)
		}
		if m.Ended > 0 {
			level += fmt.Sprintf("ended=%d void=%d ", m.Ended, m.Void)
		}
		s.say("%s %scounter=%d term=%d epoch=%d keys=%d tombstones=%d sessions=%d leases=%d records=%d",
			m.Group, level, m.Counter, m.LastTerm, m.DedupEpoch, m.Keys, m.Tombstones, m.Sessions, m.Leases, m.Records)
	}
}
