package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// progressState is the content of the file by which an interrupted import goes on: the first Lines lines are done.
type progressState struct {
	Lines int64 `json:"lines"`
	// Last is the hash of line number Lines, by which a changed input is noticed.
	Last uint64 `json:"last,string"`
}

// loadProgress reads a state file; one that does not exist is an import that has not begun.
func loadProgress(name string) (progressState, error) {
	var p progressState
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil || p.Lines < 0 {
		return p, fmt.Errorf("%s is no progress of an import; remove it to start over", name)
	}
	return p, nil
}

// save writes the state so that a crash leaves either the old or the new one.
func (p progressState) save(name string) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// watermark finds how many lines from the first on are acknowledged, while lines finish in any order. Safe for
// concurrent use. It holds one row a line that finished before an earlier one that is still under way.
type watermark struct {
	mu     sync.Mutex
	state  progressState
	early  map[int64]uint64 // finished lines above the mark, and their hashes
	failed int64            // the first line that failed, 0 for none: the mark stays below it
}

func newWatermark(from progressState) *watermark {
	return &watermark{state: from, early: map[int64]uint64{}}
}

// done takes note that a line, counted from 1, is acknowledged.
func (w *watermark) done(line int64, hash uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != 0 && line > w.failed {
		return
	}
	w.early[line] = hash
	for next := w.state.Lines + 1; ; next++ {
		h, ok := w.early[next]
		if !ok {
			return
		}
		delete(w.early, next)
		w.state = progressState{Lines: next, Last: h}
	}
}

// fail takes note that a line is not acknowledged and will not be in this run.
func (w *watermark) fail(line int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == 0 || line < w.failed {
		w.failed = line
	}
	for l := range w.early {
		if l > w.failed {
			delete(w.early, l)
		}
	}
}

// now is the state to save.
func (w *watermark) now() progressState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}
