package transfer

import (
	"context"
	"iter"
	"slices"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
)

// fetchedPage is a page, or the error of fetching it.
type fetchedPage struct {
	client.Page
	err error
}

// pagesAhead lists the range page by page. While the loop handles a page, the next one is fetched, and at most one more; a page
// has up to 8 MiB. A page with an error is the last one; the end of ctx is an error. No goroutine is left when the loop ends.
func pagesAhead(ctx context.Context, c *client.Client, keys api.Range, how ...client.ListOption) iter.Seq[fetchedPage] {
	how = append(slices.Clip(how), client.Between(keys.Start, keys.End), client.Limit(api.MaxListLimit))
	return func(yield func(fetchedPage) bool) {
		ctx, stop := context.WithCancel(ctx)
		pages := make(chan fetchedPage, 1)
		go func() {
			defer close(pages)
			for next, more := "", true; more; {
				p, err := c.ListPage(ctx, "", append(slices.Clip(how), client.FromPage(next))...)
				pages <- fetchedPage{p, err}
				next, more = p.Next, err == nil && p.Next != ""
			}
		}()
		defer func() {
			stop()
			for range pages { // until the goroutine has ended
			}
		}()
		for p := range pages {
			if !yield(p) {
				return
			}
		}
	}
}
