package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// profiler fetches profiles of the members that serve them, for as long as the window is open.
func profiler(ctx context.Context, o *options, label string, members []*process) func() {
	if o.profile == "" {
		return nil
	}
	return func() {
		var fetching sync.WaitGroup
		for _, p := range members {
			if p.profiles == "" {
				continue
			}
			for kind, path := range map[string]string{"cpu": "profile", "allocs": "allocs"} {
				fetching.Go(func() {
					file := filepath.Join(o.profile, fmt.Sprintf("%s-%s-%s.pprof", label, p.name, kind))
					url := fmt.Sprintf("http://%s/debug/pprof/%s?seconds=%d", p.profiles, path, max(1, int(o.window/time.Second)))
					if err := download(ctx, url, file); err != nil {
						fmt.Fprintln(os.Stderr, "peers: profile:", err)
					}
				})
			}
		}
		fetching.Wait()
	}
}

func download(ctx context.Context, url, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	return os.WriteFile(file, b, 0o600)
}
