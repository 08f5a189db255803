package front

import (
	"context"
	"io"
)

// Debugs reports whether the node writes debug bundles.
func (b *Backend) Debugs() bool { return b.debugger != nil }

// WriteDebug writes the debug bundle of this node, a gzipped tar. It needs [Operate].
func (c Caller) WriteDebug(ctx context.Context, w io.Writer) error {
	if err := c.May("debug", Operate, string(c.backend.Node)); err != nil {
		return err
	}
	return c.backend.debugger.WriteDebug(ctx, w)
}
