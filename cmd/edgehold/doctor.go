package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/api/client"
	"github.com/edgehold/edgehold/cmd/edgehold/doctor"
)

func newDoctor(a *app) *cobra.Command {
	var initFolder string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine this machine, a node and its cluster for what will hurt later",
		Long: `Examine this machine, the node at --addr and its cluster for what will hurt later. It changes nothing.

Each check prints a line: ok, warn, FAIL, or skip if it could not be made, and what to do next. The exit status is 1 if one
fails. With --data, on the machine of the node, it examines the node's folder too, and asks the node over its admin socket.
Otherwise it needs a token with the right observe, if the cluster has tokens.`,
		Example: `  edgehold doctor --data /var/lib/edgehold
  edgehold doctor --addr http://127.0.0.1:7400 -o json`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd, a, initFolder) },
	}
	cmd.Flags().StringVar(&initFolder, "init", "", "`FOLDER` with which a server founded the cluster: it must be gone by now")
	return cmd
}

func runDoctor(cmd *cobra.Command, a *app, initFolder string) error {
	outside := a.outside()
	asked := outside
	if a.data != "" {
		if _, err := socketIn(a.data); err == nil {
			asked = a.settings
		}
	}
	transport, err := outside.transport(1)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	var roots *x509.CertPool
	if transport.TLSClientConfig != nil {
		roots = transport.TLSClientConfig.RootCAs
	}
	return asked.with(cmd.Context(), 1, func(c *client.Client) error {
		found := doctor.Run(cmd.Context(), doctor.Config{
			Node: c, Data: a.data, Init: initFolder, HTTP: &http.Client{Transport: transport}, Roots: roots,
			At: func(url string) doctor.Node { return nodeAt{outside.at(url)} },
		})
		if err := a.show(a.out, found, doctorTable(found).String()); err != nil {
			return err
		}
		failed := 0
		for _, f := range found {
			if f.Verdict == doctor.Fail {
				failed++
			}
		}
		if failed > 0 {
			return fmt.Errorf("doctor: %d of %d lines say FAIL: each names the next step", failed, len(found))
		}
		return nil
	})
}

// nodeAt is a node that is reached by an address of its own, with a connection for each question.
type nodeAt struct{ settings }

func (n nodeAt) Status(ctx context.Context) (s *api.Status, err error) {
	err = n.with(ctx, 1, func(c *client.Client) error {
		s, err = c.Status(ctx)
		return err
	})
	return s, err
}

func (n nodeAt) Fetch(ctx context.Context, path string) (text []byte, err error) {
	err = n.with(ctx, 1, func(c *client.Client) error {
		text, err = c.Fetch(ctx, path)
		return err
	})
	return text, err
}

func doctorTable(found []doctor.Finding) table {
	var t table
	for _, f := range found {
		says := f.Says
		if f.Next != "" {
			says += "; next: " + f.Next
		}
		t = append(t, []string{string(f.Verdict), f.Check, says})
	}
	return t
}
