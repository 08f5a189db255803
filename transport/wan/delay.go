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
// side wraps.
func (t *Table) Delay(c net.Conn, a, b string) net.Conn {
	return Delay(c, t.Link(a, b), t.Link(b, a))
}

// Delay makes a connection as slow as the links there and back say. Only the dialling side wraps. Order and throughput
// are kept, and what waits is bounded. Close does not wait: what was written before it is still sent, and the connection
// and its two goroutines end after that, at the latest [linger] after it was due.
func Delay(c net.Conn, there, back Link) net.Conn {
	if there == (Link{}) && back == (Link{}) {
		return c
	}
	return delay(c, fixed(there), fixed(back))
}

func delay(c net.Conn, there, back path) net.Conn {
	d := &delayed{Conn: c, out: newPipe(there), in: newPipe(back)}
	go d.send()
	go d.receive()
	return d
}

// linger bounds how long a closed connection still sends what was written before, also if a cut holds that back.
const linger = 5 * time.Second

// fixed is a path that never changes.
type fixed Link

func (f fixed) delay() time.Duration { return Link(f).draw(rand.Float64) }
func (f fixed) cut() cut             { return cut{} }

// delayed is a real connection whose bytes wait on both ways.
type delayed struct {
	net.Conn
	out, in *pipe
	closing sync.Once
}

const (
	sendBytes    = 256 << 10 // at most about so much goes out at once
	receiveBytes = 16 << 10
)

// send moves bytes that are due to the real connection, until the pipe ends.
func (d *delayed) send() {
	for {
		due, err := d.out.take(sendBytes)
		if err == nil {
			_, err = due.WriteTo(d.Conn)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF): // closed, and all has been sent
			_ = d.Conn.Close()
			return
		default:
			d.fail(err)
			return
		}
	}
}

// receive moves bytes from the real connection into the pipe that delays them, until the connection ends.
func (d *delayed) receive() {
	buf := make([]byte, receiveBytes)
	for {
		n, err := d.Conn.Read(buf)
		if n > 0 {
			if _, werr := d.in.write(buf[:n]); werr != nil {
				err = werr
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			d.in.finish(io.EOF, io.EOF)
			return
		default:
			d.fail(err)
			return
		}
	}
}

// fail ends both ways: reads get the error after what is under way, writes at once.
func (d *delayed) fail(err error) {
	d.in.finish(err, err)
	d.out.finish(err, err)
	d.out.abandon(err)
	_ = d.Conn.Close()
}

func (d *delayed) Read(b []byte) (int, error)  { return d.in.read(b) }
func (d *delayed) Write(b []byte) (int, error) { return d.out.write(b) }

func (d *delayed) Close() error {
	err := net.ErrClosed
	d.closing.Do(func() {
		err = nil
		d.in.abandon(net.ErrClosed)
		end := d.out.finish(net.ErrClosed, io.EOF).Add(linger)
		d.out.readDeadline(end)
		_ = d.Conn.SetWriteDeadline(end)
	})
	return err
}

func (d *delayed) SetDeadline(t time.Time) error {
	d.in.readDeadline(t)
	d.out.writeDeadline(t)
	return nil
}

func (d *delayed) SetReadDeadline(t time.Time) error {
	d.in.readDeadline(t)
	return nil
}

func (d *delayed) SetWriteDeadline(t time.Time) error {
	d.out.writeDeadline(t)
	return nil
}
