package transfer

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// fetchedPage is a page, or the error of fetching it.
type fetchedPage struct {
	client.Page
	err error
}

// pagesAhead lists the range page by page. While the loop handles a page, the next one is fetched, and at most one more; a page
// has up to 8 MiB. A page with an error is the last one. No goroutine is left when the loop ends.
func pagesAhead(ctx context.Context, c *client.Client, keys api.Range, how ...client.ListOption) iter.Seq[fetchedPage] {
	return func(yield func(fetchedPage) bool) {
		ctx, stop := context.WithCancel(ctx)
		left := make(chan struct{})
		var fetching sync.WaitGroup
		defer func() { stop(); close(left); fetching.Wait() }()
		pages := make(chan fetchedPage, 1)
		fetching.Go(func() {
			defer close(pages)
			fetchPages(ctx, c, keys, how, pages, left)
		})
		for p := range pages {
			if !yield(p) {
				return
			}
		}
	}
}

// fetchPages fetches pages until the last one, an error, or until left is closed. The end of ctx is an error.
func fetchPages(ctx context.Context, c *client.Client, keys api.Range, how []client.ListOption, to chan<- fetchedPage, left <-chan struct{}) {
	how = append(slices.Clone(how), client.Between(keys.Start, keys.End), client.Limit(api.MaxListLimit))
	for next := ""; ; {
		p, err := c.ListPage(ctx, "", append(slices.Clip(how), client.FromPage(next))...)
		select {
		case to <- fetchedPage{p, err}:
		case <-left:
			return
		}
		if err != nil || p.Next == "" {
			return
		}
		next = p.Next
	}
}
