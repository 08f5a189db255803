package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// endpoint is where the node listens. Plain TCP stays on loopback unless --insecure is given.
func (o *nodeOptions) endpoint() (address string, exposed bool, err error) {
	addr, err := net.ResolveTCPAddr("tcp", o.listen)
	if err != nil {
		return "", false, usagef("--listen %q: %v; write HOST:PORT, such as 127.0.0.1:7400", o.listen, err)
	}
	exposed = !addr.IP.IsLoopback()
	switch {
	case exposed && !o.insecure:
		return "", true, fmt.Errorf("--listen %s is outside loopback, where plain TCP would let anybody read and write: "+
			"listen on 127.0.0.1, or give --insecure on a private network that you trust", o.listen)
	case o.advertise == "" && (addr.IP == nil || addr.IP.IsUnspecified()):
		return "", exposed, usagef("--listen %s is every address of this machine: name the one that others reach with --advertise HOST:PORT", o.listen)
	case o.advertise == "":
	default:
		if _, _, err := net.SplitHostPort(o.advertise); err != nil {
			return "", exposed, usagef("--advertise %q: write HOST:PORT", o.advertise)
		}
	}
	return addr.String(), exposed, nil
}

// runningNode is a node as the commands see it.
type runningNode interface {
	Ready(ctx context.Context) error
	Close() error
}

// ignoreSignals keeps a node running when the reader of its log has ended, which would end the process at the next line, and when the
// terminal that started it is closed.
func ignoreSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) }

// stopTimeout bounds how long a node may take to stop: a disk that is full or hangs can keep it for ever.
const stopTimeout = 20 * time.Second

// stop closes the node, but does not wait longer than limit.
func stop(n runningNode, limit time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- n.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(limit):
		return fmt.Errorf("the node has not closed within %v: its disk is full or hangs. It is ended without; nothing that was acknowledged is lost", limit)
	}
}

// run listens, lets open make a node of it, and keeps it running until ctx is done.
func (o *nodeOptions) run(ctx context.Context, t *terminal, open func(net.Listener, hclog.Logger) (runningNode, error)) error {
	address, exposed, err := o.endpoint()
	if err != nil {
		return err
	}
	ignoreSignals()
	logger, err := o.log.open(t)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--listen %s cannot be had (%w): choose another address, or stop what listens there", o.listen, err)
	}
	if exposed {
		logger.Warn("INSECURE: plain TCP outside loopback: whoever reaches this port can read and write everything", "listen", l.Addr())
	}
	n, err := open(l, logger)
	if err != nil {
		return asNodeError(errors.Join(err, ignoreClosed(l.Close())))
	}
	logger.Info("listening", "node", o.node, "region", o.region, "address", l.Addr())
	tellWhenReady(ctx, n, logger)
	<-ctx.Done()
	logger.Info("stopping")
	return asNodeError(stop(n, stopTimeout))
}

// readyEvery is how often a node that starts is asked whether it is ready.
const readyEvery = 200 * time.Millisecond

// tellWhenReady logs that the node is ready; it returns then, or when ctx is done.
func tellWhenReady(ctx context.Context, n runningNode, logger hclog.Logger) {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	start, missing := time.Now(), ""
	for {
		err := n.Ready(ctx)
		if err == nil {
			logger.Info("ready", "after", time.Since(start).Round(time.Millisecond))
			return
		}
		if text := err.Error(); text != missing && ctx.Err() == nil {
			missing = text
			logger.Info("not ready yet", "missing", text)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
