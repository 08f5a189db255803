package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// The states of a process that are sent to the service manager, as sd_notify(3) names them.
const (
	serviceReady    = "READY=1"
	serviceStopping = "STOPPING=1"
	serviceAlive    = "WATCHDOG=1"
	serviceStatus   = "STATUS="
)

// notifier sends states to the service manager that started this process. The zero value sends nothing: the process is not a
// service, or not one of Type=notify. Safe for concurrent use.
type notifier struct {
	socket *net.UnixConn
	alive  time.Duration // the manager expects serviceAlive this often; 0: never
}

// openNotifier connects to NOTIFY_SOCKET, the path of a socket, or an abstract one that begins with "@". Without that variable
// the notifier is the zero value. It reads WATCHDOG_USEC too, unless WATCHDOG_PID names another process.
func openNotifier(lookupEnv func(string) (string, bool)) (*notifier, error) {
	n := &notifier{}
	if lookupEnv == nil {
		return n, nil
	}
	name, _ := lookupEnv("NOTIFY_SOCKET")
	if name == "" {
		return n, nil
	}
	if name[0] != '/' && name[0] != '@' {
		return n, errors.New("NOTIFY_SOCKET is neither a path nor an abstract socket")
	}
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return n, err
	}
	n.socket = socket
	usec, _ := lookupEnv("WATCHDOG_USEC")
	if us, err := strconv.ParseInt(usec, 10, 64); err == nil && us > 0 {
		if pid, ok := lookupEnv("WATCHDOG_PID"); !ok || pid == "" || pid == strconv.Itoa(os.Getpid()) {
			n.alive = time.Duration(us) * time.Microsecond
		}
	}
	return n, nil
}

// send sends a state to the manager. A state that cannot be sent is dropped: the manager may be restarting, and the next one follows.
func (n *notifier) send(state string) {
	if n.socket == nil {
		return
	}
	_ = n.socket.SetWriteDeadline(time.Now().Add(time.Second)) // a manager that does not read does not stop the node
	_, _ = n.socket.Write([]byte(strings.ReplaceAll(state, "\n", " ")))
}

// watch reports to the manager that the process is alive, three times in each of its watchdog's periods, until ctx is done. It asks
// the node first whether it is ready. The answer does not matter, only that the node can give one: a node that waits for its
// group is well, and one whose locks are stuck is restarted.
func (n *notifier) watch(ctx context.Context, node runningNode) {
	if n.alive == 0 {
		return
	}
	tick := time.NewTicker(n.alive / 3)
	defer tick.Stop()
	for {
		_ = node.Ready(ctx)
		n.send(serviceAlive)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *notifier) close() {
	if n.socket != nil {
		_ = n.socket.Close() // nothing is buffered in it
	}
}
