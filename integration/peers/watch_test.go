package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestReadEvents counts changes, whatever their data looks like, and takes a gap for a failure.
func TestReadEvents(t *testing.T) {
	const put = "event: put\ndata: {\"key\":\"k\",\"value\":\"event: put\"}\nid: c\n\n"
	long := strings.Replace(put, "event: put\"", strings.Repeat("x", 5000)+"\"", 1)
	for _, c := range []struct {
		text string
		seen int
		want string
	}{
		{put + long + put, 3, io.EOF.Error()},
		{put + "event: gap\ndata: {}\n\n" + put, 1, "event: gap"},
		{"event: progress\ndata: {}\n\nevent: delete\ndata: {}\n\n", 0, io.EOF.Error()},
	} {
		n := 0
		err := readEvents(bufio.NewReaderSize(strings.NewReader(c.text), 1<<10), func() { n++ }, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || n != c.seen {
			t.Errorf("%d events, %v, want %d, %s", n, err, c.seen, c.want)
		}
	}
	in := bufio.NewReader(strings.NewReader("event: ready\ndata: {}\n\n" + put))
	if err := readEvents(in, func() { t.Error("a change before the watch has begun") }, eventReady); err != nil {
		t.Error(err)
	}
}

// TestOpenWatches says how many watches could be opened, and why there are no more.
func TestOpenWatches(t *testing.T) {
	full := errors.New("full")
	open := make(chan struct{}, 70)
	n, err := openWatches(t.Context(), 100, func(context.Context, int) error {
		select {
		case open <- struct{}{}:
			return nil
		default:
			return full
		}
	})
	if n != 70 || !errors.Is(err, full) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := openWatches(t.Context(), 5, func(context.Context, int) error { return nil }); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
