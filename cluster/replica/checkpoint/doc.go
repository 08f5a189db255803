// Package checkpoint keeps snapshots that are folders of files. A machine makes one by linking its own files, and adopts one
// likewise; between members it is a stream with checksums, sent at a bounded rate and written to files as it arrives.
package checkpoint
