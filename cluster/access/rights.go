package access

import (
	"slices"
	"strings"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/front"
	"github.com/edgehold/edgehold/fsm/placement"
)

// mask is a set of rights: a bit for each [front.Right].
type mask uint8

func of(rights ...front.Right) (m mask) {
	for _, r := range rights {
		m |= 1 << r
	}
	return m
}

func (m mask) has(r front.Right) bool { return m&(1<<r) != 0 }

// rights are those of one principal: a right is held on a key if some rule with a prefix of the key gives it.
type rights struct {
	// The keys from starts[i], up to but without starts[i+1], have on[i]. starts[0] is "".
	starts  []string
	on      []mask
	cluster mask
}

// compile returns what the policies give together.
func compile(policies []placement.Policy) *rights {
	r := &rights{}
	var rules []placement.Rule
	for i := range policies {
		p := &policies[i]
		rules = append(rules, p.Rules...)
		r.cluster |= clusterRights(p)
	}
	slices.SortStableFunc(rules, func(a, b placement.Rule) int { return strings.Compare(string(a.Prefix), string(b.Prefix)) })
	r.begin("", 0)
	var open []prefix // the prefixes that the next key may have, each longer than the one before
	for _, rule := range rules {
		for len(open) > 0 && !strings.HasPrefix(string(rule.Prefix), open[len(open)-1].text) {
			open = r.leave(open)
		}
		m := keyRights(rule)
		if len(open) > 0 {
			m |= open[len(open)-1].on
		}
		open = append(open, prefix{string(rule.Prefix), m})
		r.begin(string(rule.Prefix), m)
	}
	for len(open) > 0 {
		open = r.leave(open)
	}
	return r
}

// prefix is a prefix of keys, and the rights on them of its rule and of those with shorter prefixes.
type prefix struct {
	text string
	on   mask
}

// leave ends the longest open prefix: the keys after it have the rights of the one before.
func (r *rights) leave(open []prefix) []prefix {
	last := len(open) - 1
	end, below := api.PrefixRange(api.Key(open[last].text)).End, mask(0)
	if last > 0 {
		below = open[last-1].on
	}
	if end != "" {
		r.begin(string(end), below)
	}
	return open[:last]
}

// begin gives the keys from start on the rights m. Starts come in order.
func (r *rights) begin(start string, m mask) {
	if n := len(r.starts); n > 0 && r.starts[n-1] == start {
		r.on[n-1] = m
		return
	}
	r.starts, r.on = append(r.starts, start), append(r.on, m)
}

func keyRights(r placement.Rule) (m mask) {
	if r.Read {
		m |= of(front.Read)
	}
	if r.List {
		m |= of(front.List)
	}
	if r.Write {
		m |= of(front.Write)
	}
	return m
}

func clusterRights(p *placement.Policy) (m mask) {
	if p.Observe {
		m |= of(front.Observe)
	}
	if p.Operate {
		m |= of(front.Operate)
	}
	if p.Admin {
		m |= of(front.Administer)
	}
	return m
}

// at returns the place of the last start that is not above the key.
func (r *rights) at(k string) int {
	low, high := 0, len(r.starts) // starts[low] <= k < starts[high]
	for high-low > 1 {
		if mid := int(uint(low+high) >> 1); r.starts[mid] <= k {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// key reports whether the right is held on the key.
func (r *rights) key(x front.Right, k api.Key) bool { return r.on[r.at(string(k))].has(x) }

// keys reports whether the right is held on every key of the range.
func (r *rights) keys(x front.Right, keys api.Range) bool {
	first := r.at(string(keys.Start))
	for i := first; i < len(r.starts) && (i == first || keys.End == "" || r.starts[i] < string(keys.End)); i++ {
		if !r.on[i].has(x) {
			return false
		}
	}
	return true
}

// none reports whether there is no right at all.
func (r *rights) none() bool {
	return r.cluster == 0 && !slices.ContainsFunc(r.on, func(m mask) bool { return m != 0 })
}
