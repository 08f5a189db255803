package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// endpoint returns the address to listen on, and reports whether it is outside loopback.
func (o *nodeOptions) endpoint() (address string, exposed bool, err error) {
	addr, err := net.ResolveTCPAddr("tcp", o.listen)
	if err != nil {
		return "", false, usagef("--listen %q: %v; write HOST:PORT, such as 127.0.0.1:7400", o.listen, err)
	}
	exposed = !addr.IP.IsLoopback()
	switch {
	case o.Advertise == "" && (addr.IP == nil || addr.IP.IsUnspecified()):
		return "", exposed, usagef("--listen %s means every address of this machine: name the one that others use with --advertise HOST:PORT", o.listen)
	case o.Advertise == "":
	default:
		if _, _, err := net.SplitHostPort(o.Advertise); err != nil {
			return "", exposed, usagef("--advertise %q: write HOST:PORT", o.Advertise)
		}
	}
	return addr.String(), exposed, nil
}

// consulEndpoint returns the address to answer clients of Consul at, "" for none, and reports whether it is outside loopback.
func (o *nodeOptions) consulEndpoint() (address string, exposed bool, err error) {
	if o.consul == "" {
		return "", false, nil
	}
	addr, err := net.ResolveTCPAddr("tcp", o.consul)
	if err != nil {
		return "", false, usagef("--consul-listen %q: %v; write HOST:PORT, such as 127.0.0.1:8500", o.consul, err)
	}
	return addr.String(), !addr.IP.IsLoopback(), nil
}

// runningNode is a node as the commands see it.
type runningNode interface {
	Ready(ctx context.Context) error
	URL() string // at which clients reach it
	Close() error
}

// ignoreSignals keeps the process running if the reader of its log ends, which would end it at the next line, and if the terminal
// that started it is closed.
func ignoreSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) }

// reloadAtHangup has the node read its files again at each SIGHUP, until ctx is done.
func reloadAtHangup(ctx context.Context, n runningNode) {
	r, ok := n.(interface{ Reload() })
	if !ok {
		return
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer func() {
		signal.Stop(hangups)
		signal.Ignore(syscall.SIGHUP)
	}()
	for {
		select {
		case <-hangups:
			r.Reload()
		case <-ctx.Done():
			return
		}
	}
}

// stopTimeout is how long a node may take to stop. A disk that is full or hangs can block it for ever.
const stopTimeout = 20 * time.Second

// stop closes the node, and waits no longer than limit.
func stop(n runningNode, limit time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- n.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(limit):
		return fmt.Errorf("the node did not close within %v, because its disk is full or hangs; the process ends anyway, and nothing that was acknowledged is lost", limit)
	}
}

// run listens, opens a node on the listener and runs it until ctx is done.
func (o *nodeOptions) run(ctx context.Context, t *terminal, open func(net.Listener, hclog.Logger) (runningNode, error)) error {
	address, exposed, err := o.endpoint()
	if err != nil {
		return err
	}
	consul, wide, err := o.consulEndpoint()
	if err != nil {
		return err
	}
	if err := o.secured(exposed || wide); err != nil {
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
		return fmt.Errorf("--listen %s cannot be opened (%w): choose another address, or stop what listens there", o.listen, err)
	}
	if o.open {
		logger.Warn("INSECURE: plain TCP outside loopback: anyone who reaches this port can read and write everything", "listen", l.Addr(), "consul", o.consul)
	}
	if consul != "" {
		if o.ConsulListener, err = lc.Listen(ctx, "tcp", consul); err != nil {
			err = fmt.Errorf("--consul-listen %s cannot be opened (%w): choose another address, or stop what listens there", o.consul, err)
			return errors.Join(err, l.Close())
		}
	}
	n, err := open(l, logger)
	if err != nil {
		return asNodeError(errors.Join(err, ignoreClosed(l.Close())))
	}
	logger.Info("listening", "node", o.ID, "region", o.Region, "address", l.Addr())
	return asNodeError(serve(ctx, n, logger, t.lookupEnv))
}

// serve runs an open node until ctx is done, then closes it. The service manager, if one started this process, gets a
// message when the node is ready, when it stops, and in between that it is alive.
func serve(ctx context.Context, n runningNode, logger hclog.Logger, lookupEnv func(string) (string, bool)) error {
	service, err := openNotifier(lookupEnv)
	if err != nil {
		logger.Warn("cannot send this node's state to the service manager", "error", err)
	}
	defer service.close()
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { service.watch(watching, n) })
	watch.Go(func() { reloadAtHangup(watching, n) })
	logReady(ctx, n, logger, service)
	<-ctx.Done()
	logger.Info("stopping")
	service.send(serviceStopping)
	err = stop(n, stopTimeout)
	stopWatching()
	watch.Wait()
	return err
}

// readyEvery is the interval between two checks whether a starting node is ready.
const readyEvery = 200 * time.Millisecond

// logReady waits until the node is ready or ctx is done. It logs that the node is ready, or what is missing, and sends it to the
// service manager too.
func logReady(ctx context.Context, n runningNode, logger hclog.Logger, service *notifier) {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	start, missing := time.Now(), ""
	for {
		err := n.Ready(ctx)
		if err == nil {
			logger.Info("ready", "after", time.Since(start).Round(time.Millisecond), "page", n.URL()+"/ui/")
			service.send(serviceStatus + "ready")
			service.send(serviceReady)
			return
		}
		if text := err.Error(); text != missing && ctx.Err() == nil {
			missing = text
			logger.Info("not ready yet", "missing", text)
			service.send(serviceStatus + "not ready yet: " + text)
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
