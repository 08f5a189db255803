package httpd

import "runtime"

// Where thousands of connections bring a request at one time, as many goroutines are made ready, and each would parse its
// request and answer it before a heartbeat of Raft gets a processor. So only a few requests are taken apart at once; whoever
// waits for a turn does nothing but wait, in the order of arrival. A turn begins when bytes of a request have come, and ends
// when its handler begins or more bytes must come: nobody waits for a client, or for what a handler waits for.

// newTurns makes room for a few turns.
func newTurns() chan struct{} { return make(chan struct{}, 4*runtime.GOMAXPROCS(0)) }

// beginTurn waits for a turn.
func (c *retellingConn) beginTurn() {
	c.turns <- struct{}{}
	c.turn.Store(true)
}

// endTurn ends the turn, if there is one.
func (c *retellingConn) endTurn() {
	if c.turn.Swap(false) {
		<-c.turns
	}
}

// read reads from the connection, and waits for a turn with what has come. What a handler reads needs none, nor what net/http
// reads ahead while one runs, which is one byte.
func (c *retellingConn) read(b []byte) (int, error) {
	c.endTurn()
	n, err := c.Conn.Read(b)
	if n > 0 && len(b) > 1 && !c.answering.Load() && !c.shared.Load() {
		c.beginTurn()
	}
	return n, err
}

// Close also ends the turn.
func (c *retellingConn) Close() error {
	c.endTurn()
	return c.Conn.Close()
}
