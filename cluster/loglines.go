package cluster

import (
	"io"
	"log"
	"sync"

	"github.com/hashicorp/go-hclog"
)

const (
	// maxLogLines and maxLogBytes bound what a node keeps of its log in memory.
	maxLogLines = 10_000
	maxLogBytes = 4 << 20
	// maxLogLine bounds one line of it.
	maxLogLine = 16 << 10
)

// logLines keeps the newest lines of a node's log, whatever level the node logs, for a debug bundle. It is safe for concurrent use; its
// zero value works.
type logLines struct {
	mu    sync.Mutex
	lines [][]byte // guarded by mu: oldest first; a line never changes
	size  int      // guarded by mu: bytes of lines
	left  uint64   // guarded by mu: lines that were kept and had to go
}

// Write keeps one line. The oldest ones leave if there is no room.
func (l *logLines) Write(line []byte) (int, error) {
	kept := line[:min(len(line), maxLogLine)]
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(kept) < len(line) {
		l.add(append(append([]byte(nil), kept[:len(kept)-1]...), '\n'))
	} else {
		l.add(append([]byte(nil), kept...))
	}
	return len(line), nil
}

// add keeps a line. The caller holds mu.
func (l *logLines) add(line []byte) {
	gone := 0
	for size := l.size + len(line); gone < len(l.lines) && (len(l.lines)-gone >= maxLogLines || size > maxLogBytes); gone++ {
		size -= len(l.lines[gone])
		l.size -= len(l.lines[gone])
		l.lines[gone] = nil
	}
	l.left += uint64(gone)
	l.lines, l.size = append(l.lines[gone:], line), l.size+len(line)
}

// newest returns the lines that are kept, oldest first, and how many older ones are not kept any more. The lines must not be changed.
func (l *logLines) newest() (lines [][]byte, left uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([][]byte(nil), l.lines...), l.left
}

// keepLines returns a logger that writes to log, and what is of the level info and above to lines too.
func keepLines(log hclog.Logger, lines *logLines) hclog.Logger {
	return keptLog{log, hclog.New(&hclog.LoggerOptions{Name: log.Name(), Level: hclog.Info, Output: lines})}
}

// keptLog is a logger whose lines are kept by another one too. SetLevel is that of the first alone.
type keptLog struct {
	hclog.Logger
	kept hclog.Logger
}

func (k keptLog) Log(level hclog.Level, msg string, args ...any) {
	k.Logger.Log(level, msg, args...)
	k.kept.Log(level, msg, args...)
}

func (k keptLog) Info(msg string, args ...any) {
	k.Logger.Info(msg, args...)
	k.kept.Info(msg, args...)
}

func (k keptLog) Warn(msg string, args ...any) {
	k.Logger.Warn(msg, args...)
	k.kept.Warn(msg, args...)
}

func (k keptLog) Error(msg string, args ...any) {
	k.Logger.Error(msg, args...)
	k.kept.Error(msg, args...)
}

func (keptLog) IsInfo() bool  { return true }
func (keptLog) IsWarn() bool  { return true }
func (keptLog) IsError() bool { return true }

func (k keptLog) With(args ...any) hclog.Logger {
	return keptLog{k.Logger.With(args...), k.kept.With(args...)}
}

func (k keptLog) Named(name string) hclog.Logger {
	return keptLog{k.Logger.Named(name), k.kept.Named(name)}
}

func (k keptLog) ResetNamed(name string) hclog.Logger {
	return keptLog{k.Logger.ResetNamed(name), k.kept.ResetNamed(name)}
}

func (k keptLog) StandardLogger(opts *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(k.StandardWriter(opts), "", 0)
}

func (k keptLog) StandardWriter(opts *hclog.StandardLoggerOptions) io.Writer {
	return io.MultiWriter(k.Logger.StandardWriter(opts), k.kept.StandardWriter(opts))
}
