package top

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Terminal shows the updates on a terminal until ctx ends or a person quits, and leaves the terminal as it was.
func Terminal(ctx context.Context, in, out *os.File, colors bool, updates <-chan Update) (err error) {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, term.Restore(int(in.Fd()), before)) }()
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	keys, resized := make(chan Key), make(chan struct{}, 1)
	tasks.Go(func() { readKeys(ctx, in, keys) })
	tasks.Go(func() { noteSizes(ctx, resized) })
	s := Screen{Out: out, Keys: keys, Resized: resized, Updates: updates, Colors: colors, Size: func() (columns, rows int) {
		columns, rows, err := term.GetSize(int(out.Fd()))
		if err != nil {
			return 80, 24
		}
		return columns, rows
	}}
	return s.Show(ctx)
}

// keyPause bounds how long a reader of keys does not notice that it is to end.
const keyPause = 100 * time.Millisecond

// readKeys passes keys on until ctx ends. If the terminal has gone, it quits.
func readKeys(ctx context.Context, in *os.File, keys chan<- Key) {
	buf := make([]byte, 64)
	for ctx.Err() == nil {
		pressed := []Key{KeyQuit}
		fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(keyPause.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR) || err == nil && n == 0:
			continue
		case err == nil:
			if n, err = unix.Read(int(in.Fd()), buf); err == nil && n > 0 {
				pressed = keysOf(buf[:n])
			}
		}
		for _, k := range pressed {
			select {
			case keys <- k:
			case <-ctx.Done():
			}
		}
	}
}

// noteSizes says when the terminal has got another size, until ctx ends.
func noteSizes(ctx context.Context, resized chan<- struct{}) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	defer signal.Stop(c)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c:
			select {
			case resized <- struct{}{}:
			default: // it will look at the size anyway
			}
		}
	}
}
