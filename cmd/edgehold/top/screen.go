package top

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// Key is what a person has pressed.
type Key byte

// The keys that mean something.
const (
	KeyQuit Key = iota + 1
	KeySort
	KeyUp
	KeyDown
	KeyPageUp
	KeyPageDown
)

// Update is news of the cluster: an event, or why there is none.
type Update struct {
	Event *Event
	From  string // the node that is asked
	Err   error
}

// Screen is a terminal, and what happens at it.
type Screen struct {
	Out     io.Writer
	Size    func() (columns, rows int)
	Keys    <-chan Key
	Resized <-chan struct{}
	Updates <-chan Update // closed when there will be none
	Colors  bool
}

// Sequences of ANSI terminals.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
	loudly      = "\x1b[1;31m"
	quietly     = "\x1b[0m"
)

// tick is how often the ages on the screen are drawn anew.
const tick = time.Second

// Show draws the newest event until ctx ends, a person quits, or the updates end with an error, which it returns. It leaves the screen
// as it was.
func (s *Screen) Show(ctx context.Context) (err error) {
	if _, err := io.WriteString(s.Out, enterScreen); err != nil {
		return err
	}
	defer func() {
		if _, e := io.WriteString(s.Out, leaveScreen); err == nil {
			err = e
		}
	}()
	t := time.NewTicker(tick)
	defer t.Stop()
	d := &drawing{screen: s, came: time.Now()}
	for updates := s.Updates; ; {
		d.view.Waited = time.Since(d.came)
		if err := d.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case k := <-s.Keys:
			if k == KeyQuit {
				return nil
			}
			d.press(k)
		case <-s.Resized:
		case <-t.C:
		case u, ok := <-updates:
			if !ok {
				return errors.New("there is no more to show")
			}
			if u.Err != nil && Final(u.Err) {
				return u.Err
			}
			d.take(u)
		}
	}
}

// drawing is what is on a screen.
type drawing struct {
	screen *Screen
	view   View
	came   time.Time // of the newest event, or the beginning
	scroll int
	page   int // rows of the part that scrolls
}

func (d *drawing) take(u Update) {
	d.view.From, d.view.Problem = u.From, ""
	if u.Err != nil {
		d.view.Problem = u.Err.Error()
	}
	if u.Event != nil {
		d.view.Event, d.came = u.Event, time.Now()
	}
}

func (d *drawing) press(k Key) {
	switch k {
	case KeySort:
		d.view.Order = (d.view.Order + 1) % orders
	case KeyUp:
		d.scroll--
	case KeyDown:
		d.scroll++
	case KeyPageUp:
		d.scroll -= d.page
	case KeyPageDown:
		d.scroll += d.page
	}
}

const footer = "q quit  s sort  arrows scroll"

// draw writes the whole screen at once.
func (d *drawing) draw() error {
	columns, rows := d.screen.Size()
	columns, rows = max(columns, 20), max(rows, 6)
	head, body := d.view.head(), d.view.body()
	d.page = max(1, rows-len(head)-1)
	d.scroll = max(0, min(d.scroll, len(body)-d.page))
	body = body[d.scroll:min(len(body), d.scroll+d.page)]
	var b strings.Builder
	b.WriteString(home)
	for _, l := range append(head, body...) {
		d.line(&b, l, columns)
	}
	for range d.page - len(body) {
		b.WriteString(clearLine + "\r\n")
	}
	b.WriteString(fit(footer, columns) + clearLine + clearRest)
	_, err := io.WriteString(d.screen.Out, b.String())
	return err
}

func (d *drawing) line(b *strings.Builder, l line, columns int) {
	loud := l.loud && d.screen.Colors
	if loud {
		b.WriteString(loudly)
	}
	b.WriteString(fit(strings.TrimRight(l.text, " "), columns))
	if loud {
		b.WriteString(quietly)
	}
	b.WriteString(clearLine + "\r\n")
}

// keysOf returns the keys that the bytes of a terminal are. A sequence that is cut is ignored.
func keysOf(b []byte) (keys []Key) {
	named := map[string]Key{
		"q": KeyQuit, "Q": KeyQuit, "\x03": KeyQuit, "\x04": KeyQuit, "s": KeySort, "k": KeyUp, "j": KeyDown, " ": KeyPageDown,
		"\x1b[A": KeyUp, "\x1bOA": KeyUp, "\x1b[B": KeyDown, "\x1bOB": KeyDown, "\x1b[5~": KeyPageUp, "\x1b[6~": KeyPageDown,
	}
	for text := string(b); text != ""; {
		n := 1
		if text[0] == '\x1b' {
			for n = len(text); n > 1 && named[text[:n]] == 0; n-- {
			}
		}
		if k := named[text[:n]]; k != 0 {
			keys = append(keys, k)
		} else if n == 1 && text[0] == '\x1b' {
			return keys // a sequence of another key
		}
		text = text[n:]
	}
	return keys
}
