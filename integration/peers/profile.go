package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	_ "net/http/pprof" // serves on http.DefaultServeMux
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"sync"
	"time"
)

// profiler fetches profiles of the members that serve them, and makes one of this process, which is their client, for as
// long as the window is open. Members that serve none, those of other products, are left alone, and so is their client.
func profiler(ctx context.Context, o *options, label string, members []*process) func() {
	if o.profile == "" {
		return nil
	}
	return func() {
		var fetching sync.WaitGroup
		served := slices.DeleteFunc(slices.Clone(members), func(p *process) bool { return p.profiles == "" })
		if len(served) > 0 {
			fetching.Go(func() {
				if err := profileSelf(ctx, filepath.Join(o.profile, label+"-client-cpu.pprof"), o.window); err != nil {
					fmt.Fprintln(os.Stderr, "peers: profile:", err)
				}
			})
		}
		for _, p := range served {
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

// profileSelf is a CPU profile of this process.
func profileSelf(ctx context.Context, file string, d time.Duration) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	wait(ctx, d)
	return nil
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

// serveProfiles serves profiles of this process at the address until ctx is done.
func serveProfiles(ctx context.Context, address string) error {
	s := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // ends ListenAndServe
	defer stop()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
