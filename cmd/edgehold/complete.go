package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

const (
	// completeTimeout bounds how long a shell waits for what a cluster completes.
	completeTimeout = time.Second
	// maxCompleted bounds how many words are offered, and maxCompletedPages the pages that are listed to find them.
	maxCompleted      = 100
	maxCompletedPages = 10
	// maxCompletedWord bounds the bytes of a word that is offered.
	maxCompletedWord = 200
)

// lookup finds the words with which an argument can begin as text does.
type lookup func(ctx context.Context, c *client.Client, text string) ([]string, error)

// completing returns a function that completes the arguments of a command from the cluster, each by a lookup of its own. A cluster that
// does not answer at once, or refuses, completes nothing.
func (a *app) completing(directive cobra.ShellCompDirective, args ...lookup) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(given) >= len(args) || settle(cmd, a.lookupEnv) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		asked := a.settings
		asked.timeout, asked.warn, asked.format = completeTimeout, io.Discard, "table"
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
		defer cancel()
		var words []string
		if err := asked.with(ctx, 1, func(c *client.Client) (err error) {
			words, err = args[len(given)](ctx, c, text)
			return err
		}); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // what is wrong, the command itself says
		}
		words = slices.DeleteFunc(words, func(w string) bool { return !strings.HasPrefix(w, text) || !plainWord(w) })
		return words, directive | cobra.ShellCompDirectiveNoFileComp
	}
}

// plainWord reports whether a shell takes a word as it is, and the commands take it for no flag.
func plainWord(w string) bool {
	return w != "" && len(w) <= maxCompletedWord && utf8.ValidString(w) && w[0] != '-' && w[0] != '~' && !strings.ContainsFunc(w, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_./:@+=,%~", r)
	})
}

// completingKeys completes one key, by parts that end with a slash. Of many keys below a part, it offers the part.
func (a *app) completingKeys() cobra.CompletionFunc {
	return a.completing(cobra.ShellCompDirectiveNoSpace, completeKeys)
}

func completeKeys(ctx context.Context, c *client.Client, text string) (words []string, err error) {
	whole := api.PrefixRange(api.Key(text))
	for start, page := whole.Start, 0; page < maxCompletedPages && len(words) < maxCompleted; page++ {
		opts := []client.ListOption{client.Between(start, whole.End), client.KeysOnly(), client.Limit(maxCompleted)}
		var last string
		more := 0
		for e, err := range c.List(ctx, "", opts...) {
			if err != nil {
				return nil, err
			}
			more++
			last = string(e.Key)
			if i := strings.IndexByte(last[len(text):], '/'); i >= 0 {
				last = last[:len(text)+i+1]
			}
			if len(words) == 0 || words[len(words)-1] != last {
				words = append(words, last)
			}
		}
		if more < maxCompleted {
			break
		}
		if start = api.Key(last + "\x00"); strings.HasSuffix(last, "/") {
			start = api.PrefixRange(api.Key(last)).End
		}
		if start == "" || whole.End != "" && start >= whole.End {
			break
		}
	}
	return words[:min(len(words), maxCompleted)], nil
}

// ofStatus is a lookup of names in the status of the cluster.
func ofStatus(names func(s *api.Status) []string) lookup {
	return func(ctx context.Context, c *client.Client, _ string) ([]string, error) {
		s, err := c.Status(ctx)
		if err != nil {
			return nil, err
		}
		all := names(s)
		slices.Sort(all)
		return slices.Compact(all), nil
	}
}

var completeNode = ofStatus(func(s *api.Status) (all []string) {
	for _, n := range s.Nodes {
		all = append(all, string(n.Node))
	}
	return all
})

var completeServer = ofStatus(func(s *api.Status) (all []string) {
	for _, n := range s.Nodes {
		if n.Role == api.RoleServer {
			all = append(all, string(n.Node))
		}
	}
	return all
})

var completeGroup = ofStatus(func(s *api.Status) (all []string) {
	for _, g := range s.Groups {
		all = append(all, string(g.Group))
	}
	return all
})

var completeRegion = ofStatus(func(s *api.Status) (all []string) {
	for _, n := range s.Nodes {
		all = append(all, string(n.Region))
	}
	return all
})

// completeSetting finds the names of settings.
func completeSetting(ctx context.Context, c *client.Client, _ string) (names []string, err error) {
	all, err := c.Settings(ctx)
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names, err
}
