package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/cluster/words"
)

// nodeOptions are the settings that servers and edges have in common.
type nodeOptions struct {
	region, node, listen, advertise, data, wan string
	join                                       []string
	insecure                                   bool
	leaseTerm                                  time.Duration
	log                                        logOptions
}

func (o *nodeOptions) addTo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.region, "region", "", "the region that the node stands in")
	f.StringVar(&o.node, "node", "", "the node's name, its own for life")
	f.StringVar(&o.listen, "listen", "", "`HOST:PORT` to listen on")
	f.StringVar(&o.advertise, "advertise", "", "`HOST:PORT` at which others reach this node (default the one it listens on)")
	f.StringVar(&o.data, "data", "", "`FOLDER` of what the node must keep")
	f.StringVar(&o.wan, "wan", "", "YAML `FILE` of delays between regions, to act as if they were far apart")
	f.StringSliceVar(&o.join, "join", nil, "`HOST:PORT` of a node of the cluster to join; several are tried in turn. Beside --bootstrap: the nodes to ask before a cluster is founded")
	f.BoolVar(&o.insecure, "insecure", false, "allow plain TCP outside loopback: whoever reaches the port can read and write everything")
	addLeaseTerm(cmd, &o.leaseTerm)
	o.log.addTo(cmd, "info")
}

func addLeaseTerm(cmd *cobra.Command, term *time.Duration) {
	cmd.Flags().DurationVar(term, "lease-term", words.DefaultLeaseTerm, "how long an edge answers by a lease that nobody extends; a cut-off edge delays writes about as long")
}

func checkLeaseTerm(term time.Duration) error {
	if term <= 0 || term > words.MaxLeaseTerm {
		return usagef("--lease-term %v: choose a time above 0 and up to %v", term, words.MaxLeaseTerm)
	}
	return nil
}

// nodeName is what may name a node: it stands in headers, in addresses of peers and in names of folders.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// checkNames finds what is wrong with the names and addresses that a node is given.
func (o *nodeOptions) checkNames() error {
	switch {
	case !regionName.MatchString(o.region):
		return usagef("--region %q: a region is named by small letters, digits and dashes", o.region)
	case !nodeName.MatchString(o.node):
		return usagef("--node %q: a node is named by letters, digits, dots, dashes and underscores", o.node)
	}
	for _, a := range o.join {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return usagef("--join %q: write HOST:PORT, such as 127.0.0.1:7400", a)
		}
	}
	return nil
}

// checkServer finds what is wrong with a server's settings before it opens anything.
func (o *nodeOptions) checkServer(bootstrap bool, groups, voters int) error {
	switch {
	case !bootstrap && len(o.join) == 0:
		return usagef("server: give --join HOST:PORT of a running node, or --bootstrap to start a new cluster")
	case groups < 1 || groups > maxGroups:
		return usagef("--groups %d: choose 1 to %d", groups, maxGroups)
	case voters != 3 && voters != 5:
		return usagef("--voters %d: choose 3 or 5", voters)
	}
	return checkLeaseTerm(o.leaseTerm)
}

// maxGroups bounds the groups of a region.
const maxGroups = 32

// refuseClientFlags refuses settings of clients that were typed for a node, where they mean nothing.
func refuseClientFlags(cmd *cobra.Command) error {
	for _, name := range []string{"addr", "token", "ca", "timeout", "format"} {
		if f := cmd.InheritedFlags().Lookup(name); f != nil && typed(f) {
			return usagef("%s: --%s is for the commands that talk to a node; see %s --help", cmd.CommandPath(), name, cmd.CommandPath())
		}
	}
	return nil
}

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
