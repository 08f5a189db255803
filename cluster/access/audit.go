package access

import (
	"encoding/json"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
)

// maxDenials is how many refusals of one second are written down; the others are counted.
const maxDenials = 100

// maxTarget is how much of a target is written down, in bytes: clients may name keys that are longer than any can be.
const maxTarget = api.MaxKeyBytes

// Outcomes of what the audit log has.
const (
	outcomeDenied = "denied" // nothing was done
	outcomeBegun  = "begun"  // it is to be carried out; whether it succeeds is not said
)

// AuditConfig makes an Audit.
type AuditConfig struct {
	// To takes one line at a time, each in one Write. It is required.
	To io.Writer
	// Node is this node's name.
	Node api.NodeID
	// Failed is called with each line that could not be written; nil ignores that. It must not block.
	Failed func(error)
}

// Audit writes lines of JSON: the time, the node, the principal, its origin, the verb, the target and the outcome. It has no values, no secrets
// and no headers. It is safe for concurrent use.
type Audit struct {
	cfg AuditConfig

	mu      sync.Mutex // guards the count
	second  int64      // in which denials are counted
	denials int

	writing sync.Mutex // held by write
	torn    bool       // a part of the last line was written
}

// NewAudit returns an Audit.
func NewAudit(cfg AuditConfig) *Audit { return &Audit{cfg: cfg} }

// entry is a line of the audit log. Names from outside are escaped as JSON demands, so that a line is one line.
type entry struct {
	Time      string     `json:"time"`
	Node      api.NodeID `json:"node"`
	Principal string     `json:"principal"` // "" if anonymous
	ID        string     `json:"id,omitempty"`
	From      string     `json:"from,omitempty"`
	Verb      string     `json:"verb"`
	Right     string     `json:"right,omitempty"`
	Target    *string    `json:"target,omitempty"`
	TargetB64 []byte     `json:"target_base64,omitempty"` // a target that is no text
	Outcome   string     `json:"outcome"`
	Why       api.Code   `json:"why,omitempty"`
	// More is how many refusals of the second before were not written down.
	More int `json:"more,omitempty"`
}

// act is what a principal asks for.
type act struct {
	verb   string
	right  front.Right
	target string
}

// begun notes what is to be carried out. An error means that the line could not be written.
func (a *Audit) begun(p *front.Principal, x act) error {
	if a == nil {
		return nil
	}
	return a.write(a.entry(p, x, outcomeBegun))
}

// denied notes a refusal, if not too many came in this second.
func (a *Audit) denied(p *front.Principal, x act, why api.Code) {
	if a == nil {
		return
	}
	listed, more := a.countDenial(time.Now().Unix())
	if more > 0 {
		_ = a.write(entry{Time: now(), Node: a.cfg.Node, Verb: "refusals that are not listed", Outcome: outcomeDenied, More: more}) // Failed has it
	}
	if listed {
		e := a.entry(p, x, outcomeDenied)
		e.Why = why
		_ = a.write(e) // Failed has it
	}
}

// countDenial reports whether a refusal of that second is to be listed, and how many of the second before were not.
func (a *Audit) countDenial(second int64) (listed bool, more int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if second != a.second {
		more = max(0, a.denials-maxDenials)
		a.second, a.denials = second, 0
	}
	a.denials++
	return a.denials <= maxDenials, more
}

func (a *Audit) entry(p *front.Principal, x act, outcome string) entry {
	e := entry{Time: now(), Node: a.cfg.Node, Principal: p.Name, ID: p.ID, From: p.From, Verb: x.verb, Outcome: outcome}
	if x.right != front.None {
		e.Right = x.right.String()
	}
	if len(x.target) > maxTarget {
		x.target = x.target[:maxTarget]
	}
	switch {
	case x.target == "":
	case utf8.ValidString(x.target):
		e.Target = &x.target
	default:
		e.TargetB64 = []byte(x.target)
	}
	return e
}

// write writes a line. After one that was written in part, as on a full disk, the next one begins on a line of its own.
func (a *Audit) write(e entry) error {
	line, err := json.Marshal(e)
	if err == nil {
		err = a.writeLine(append(line, '\n'))
	}
	if err != nil && a.cfg.Failed != nil {
		a.cfg.Failed(err)
	}
	return err
}

func (a *Audit) writeLine(line []byte) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	if a.torn {
		line = append([]byte{'\n'}, line...)
	}
	n, err := a.cfg.To.Write(line)
	a.torn = err != nil && (a.torn || n > 0)
	return err
}

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }
