// Package checkpoint stores snapshots that are folders of files. A machine creates and adopts a checkpoint by linking files.
// Between members a checkpoint is a stream with checksums, sent at a bounded rate and written to files as it arrives.
package checkpoint
