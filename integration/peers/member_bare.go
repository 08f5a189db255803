package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// memberBare is the least that an HTTP server written in Go can do: 256 bytes from memory, whatever is asked.
func memberBare(ctx context.Context, m *memberOptions) error {
	value := newValue(rand.New(rand.NewPCG(5, 6)))
	kind, length := []string{"application/octet-stream"}, []string{strconv.Itoa(len(value))}
	s := &http.Server{
		Addr:              m.client,
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["Content-Type"], h["Content-Length"] = kind, length
			_, _ = w.Write(value) // an error: the client has gone
		}),
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // ends ListenAndServe
	defer stop()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
