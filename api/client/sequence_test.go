package client

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/edgehold/edgehold/api"
)

// TestAcknowledges checks that each write says below which number all writes are finished.
func TestAcknowledges(t *testing.T) {
	onPlanet(t, func(t *testing.T, c *Client, p *planet, h http.Handler) {
		hold := make(chan struct{})
		p.set("near", func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "slow") {
				<-hold
			}
			return of(h)(r)
		})
		var wg sync.WaitGroup
		put := func(k api.Key) {
			if _, err := c.Put(t.Context(), k, nil); err != nil {
				t.Error(err)
			}
		}
		put("a")
		wg.Go(func() { put("slow") })
		synctest.Wait()
		put("b")
		put("c")
		close(hold)
		wg.Wait()
		put("d")
		client := c.sequence.Load().client.String()
		var want []string
		for _, s := range []string{"1-1", "2-2", "3-2", "4-2", "5-5"} {
			want = append(want, "eh1-"+client+"-"+s)
		}
		if !slices.Equal(p.ids, want) {
			t.Errorf("ids %q, want %q", p.ids, want)
		}
	})
}

func TestSequenceWindow(t *testing.T) {
	c, err := Open(t.Context(), Config{Endpoints: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	first := c.sequence.Load()
	_, endFirst, err := c.beginWrite()
	if err != nil {
		t.Fatal(err)
	}
	for range maxWindow - 1 {
		_, end, err := c.beginWrite()
		if err != nil {
			t.Fatal(err)
		}
		end()
	}
	if c.sequence.Load() != first {
		t.Error("the client changed its id too early")
	}
	id, end, err := c.beginWrite()
	if err != nil || c.sequence.Load() == first || c.sequence.Load().client == first.client {
		t.Errorf("the client did not change its id: %v", err)
	}
	if want := fmt.Sprintf("eh1-%s-1-1", c.sequence.Load().client); id().IdempotencyKey() != want {
		t.Errorf("id %s, want %s", id().IdempotencyKey(), want)
	}
	end()
	endFirst()
	if first.below != maxWindow+1 || len(first.finished) != 0 {
		t.Errorf("below %d, %d kept", first.below, len(first.finished))
	}
}
