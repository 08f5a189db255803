package cluster

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/access"
	"github.com/edgehold/edgehold/fsm/placement"
)

// openAccess makes the warden, which checks the rights of clients, and keeps it up to date with the roll.
func (n *Node) openAccess() (func() error, error) {
	audit, closeAudit, err := n.openAudit()
	if err != nil {
		return nil, err
	}
	view := n.membership.view
	checks := n.metrics.Counter("edgehold_access_checks_total", "Requests whose principal was judged.")
	limited := n.metrics.Counter("edgehold_access_limited_total", "Requests refused because a token was over its rate.")
	n.warden = access.NewWarden(access.Config{
		At:  access.Place{Node: n.cfg.ID, Region: n.cfg.Region, Role: n.cfg.Role},
		Now: func() time.Duration { return n.cfg.Clock.Now().Boottime }, Audit: audit,
		Checked: func() { checks(1) }, Limited: func() { limited(1) },
	})
	n.metrics.Gauge("edgehold_access_age_seconds", "Age of the tokens and policies by which this node judges; -1 while it is not known.", func() float64 {
		if _, age, heard := n.warden.Revision(); heard {
			return age.Seconds()
		}
		return -1
	})
	f := &freshness{suspends: n.suspends, heard: n.warden.Heard}
	b := newBackground()
	b.every(time.Second, view.Changed, func() {
		f.look(view.RollAge())
		n.judgeBy(view.Map(), view.Roll())
		stale := n.warden.Stale()
		if write, _ := n.said.Say("access", fmt.Sprint(stale)); write && stale {
			n.log.Warn("the tokens and policies of this node are old: it refuses clients when they are older than access-max-age")
		}
	})
	return func() error {
		b.close()
		return closeAudit()
	}, nil
}

// judgeBy gives the warden the roll, and what the map says of how it is to be used.
func (n *Node) judgeBy(m *placement.Map, roll *placement.Roll) {
	if m == nil {
		return // it belongs to no cluster yet
	}
	s := access.Source{Roll: roll, Open: m.Security != placement.TLS, MaxAge: m.Duration(placement.SettingAccessMaxAge)}
	if n.cfg.AccessMaxAge != nil {
		s.MaxAge = *n.cfg.AccessMaxAge
	}
	n.warden.Update(s)
}

// openAudit opens the audit log; nil if there is none.
func (n *Node) openAudit() (a *access.Audit, end func() error, err error) {
	failed := n.metrics.Counter("edgehold_access_audit_errors_total", "Lines that could not be written to the audit log.")
	var to io.Writer
	end = func() error { return nil }
	switch n.cfg.Audit {
	case "":
		return nil, end, nil
	case "-":
		to = os.Stdout
	default:
		f, err := os.OpenFile(n.cfg.Audit, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, &api.Error{Code: api.CodeInvalid, Op: "open", Hint: "the audit log cannot be opened; see --audit", Err: err}
		}
		to, end = f, f.Close
	}
	return access.NewAudit(access.AuditConfig{To: to, Node: n.cfg.ID, Failed: func(err error) {
		failed(1)
		if write, _ := n.said.Say("audit", err.Error()); write {
			n.log.Error("the audit log cannot be written: operation and administration are refused", "error", err)
		}
	}}), end, nil
}

// elsewhere refuses administration at an edge, which would see the credentials of administrators and the secrets that are made.
func (n *Node) elsewhere() error {
	if n.cfg.Role == api.RoleServer {
		return nil
	}
	var urls []string
	if m := n.membership.view.Map(); m != nil {
		for _, o := range m.Nodes {
			if o.Role == api.RoleServer && o.URL != "" {
				urls = append(urls, o.URL)
			}
		}
	}
	slices.Sort(urls)
	if len(urls) > 5 {
		urls = urls[:5]
	}
	return api.Errorf(api.CodeDenied, "%s is an edge, and administration is taken at servers only: ask %s", n.cfg.ID, strings.Join(urls, ", "))
}
