package wan

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Delay makes a connection from region a to region b as slow as the table says, in both directions. Only the dialling
// side wraps. Order and throughput are kept. Close waits for nothing; the goroutines end with the connection.
func (t *Table) Delay(c net.Conn, a, b string) net.Conn {
	there, back := t.Link(a, b), t.Link(b, a)
	if there == (Link{}) && back == (Link{}) {
		return c
	}
	d := &delayed{Conn: c, out: newPipe(fixed(there)), in: newPipe(fixed(back))}
	go d.carry(d.out, nil)
	go d.carry(nil, d.in)
	return d
}

// fixed is a path that never changes.
type fixed Link

func (f fixed) delay() time.Duration         { return Link(f).draw(rand.Float64) }
func (f fixed) cut() (bool, <-chan struct{}) { return false, nil }

// retransmit is what the first loss of a segment costs; each further one twice the one before.
const retransmit = 200 * time.Millisecond

// draw is how long one segment takes.
func (l Link) draw(random func() float64) time.Duration {
	d := l.Latency
	if l.Jitter > 0 {
		d += time.Duration(random() * float64(l.Jitter))
	}
	if l.Loss > 0 {
		for again := retransmit; again < time.Minute && random() < l.Loss; again *= 2 {
			d += again
		}
	}
	return d
}

// delayed is a real connection whose bytes wait on both ways.
type delayed struct {
	net.Conn
	out, in *pipe
	once    sync.Once
}

// carry moves bytes between a pipe and the real connection, one of the two ways.
func (d *delayed) carry(out, in *pipe) {
	buf := make([]byte, 64<<10)
	for {
		var n int
		var err error
		if out != nil {
			if n, err = out.read(buf); n > 0 {
				_, err = d.Conn.Write(buf[:n])
			}
		} else if n, err = d.Conn.Read(buf); n > 0 {
			_, err = in.write(buf[:n])
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && in != nil:
			in.end()
			return
		default:
			d.fail(err)
			return
		}
	}
}

func (d *delayed) fail(err error) {
	d.once.Do(func() {
		d.out.breakOff(err)
		d.in.breakOff(err)
		_ = d.Conn.Close()
	})
}

func (d *delayed) Read(b []byte) (int, error)  { return d.in.read(b) }
func (d *delayed) Write(b []byte) (int, error) { return d.out.write(b) }

func (d *delayed) Close() error {
	d.fail(net.ErrClosed)
	return nil
}

func (d *delayed) SetDeadline(t time.Time) error {
	d.in.setDeadline(&d.in.reading, t)
	d.out.setDeadline(&d.out.writing, t)
	return nil
}

func (d *delayed) SetReadDeadline(t time.Time) error {
	d.in.setDeadline(&d.in.reading, t)
	return nil
}

func (d *delayed) SetWriteDeadline(t time.Time) error {
	d.out.setDeadline(&d.out.writing, t)
	return nil
}
