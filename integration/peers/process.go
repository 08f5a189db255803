package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stage is one folder and the processes that live in it. Its end kills the processes and removes the folder.
type stage struct {
	options *options
	binary  string // Edgehold's
	dir     string
	spawn   func(*exec.Cmd) error
	unspawn func()
	all     []*process
	pinned  bool // processes are started on serverCore alone
}

// process is one process of a stage.
type process struct {
	name     string
	address  string // of Edgehold's nodes
	profiles string // HOST:PORT at which it serves profiles; "" is none
	log      string
	cmd      *exec.Cmd
	exited   chan struct{} // closed when cmd has been waited for
}

// newStage makes an empty stage.
func newStage(o *options, binary string) (*stage, error) {
	settleDisk()
	dir, err := os.MkdirTemp(o.dir, "edgehold-peers-")
	if err != nil {
		return nil, err
	}
	s := &stage{options: o, binary: binary, dir: dir}
	s.spawn, s.unspawn = newSpawner()
	return s, nil
}

// end leaves nothing behind.
func (s *stage) end() error {
	for _, p := range s.all {
		_ = p.cmd.Process.Kill() // an error: it has ended
		<-p.exited
	}
	s.unspawn()
	return os.RemoveAll(s.dir)
}

// run starts a process that lives as long as the stage; what it prints goes to a file.
func (s *stage) run(name, binary string, args ...string) (*process, error) {
	if s.pinned {
		binary, args = "taskset", append([]string{"-c", serverCore, binary}, args...)
	}
	p := &process{name: name, log: filepath.Join(s.dir, name+".log"), cmd: exec.Command(binary, args...), exited: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = log, log, plainEnv()
	if err := s.spawn(p.cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.all = append(s.all, p)
	go func() {
		_ = p.cmd.Wait() // its ProcessState has the result
		close(p.exited)
	}()
	return p, nil
}

// member runs this program again as a member of a product.
func (s *stage) member(name, product string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return s.run(name, self, append([]string{"member", product}, args...)...)
}

// folder is the place of a member's data.
func (s *stage) folder(name string) string { return filepath.Join(s.dir, name) }

// alive is an error if a process has ended, which none does by itself.
func (s *stage) alive() error {
	for _, p := range s.all {
		select {
		case <-p.exited:
			return fmt.Errorf("%s has ended (%v); its log ends with\n%s", p.name, p.cmd.ProcessState, p.tail())
		default:
		}
	}
	return nil
}

func (p *process) tail() string {
	const most = 4 << 10
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}

// startTimeout bounds the start of a product.
const startTimeout = 90 * time.Second

// eventually tries until it has worked, a process has ended, or the start has taken too long.
func (s *stage) eventually(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		err := try(attempt)
		done()
		if err == nil {
			return nil
		}
		if gone := s.alive(); gone != nil {
			return gone
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waited for %s: %w", what, errors.Join(ctx.Err(), err))
		}
		wait(ctx, 100*time.Millisecond)
	}
}

// plainEnv is the environment without settings of Edgehold.
func plainEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "EDGEHOLD_") })
}

// freeAddresses returns loopback addresses on which no process listens.
func freeAddresses(n int) ([]string, error) {
	out := make([]string, n)
	for i := range out {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // all at the end, so that they differ
		out[i] = l.Addr().String()
	}
	return out, nil
}
