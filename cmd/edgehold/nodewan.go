package main

import (
	"net"

	"github.com/edgehold/edgehold/api"
	"github.com/edgehold/edgehold/cluster/local"
)

// delay is what the --wan file asks for: connections to a region wrapped to be as slow as the way there. nil is none.
func (o *nodeOptions) delay() (func(net.Conn, api.RegionID) net.Conn, error) {
	if o.wan == "" {
		return nil, nil
	}
	slow, err := local.Delay(o.wan, api.RegionID(o.region))
	if err != nil {
		return nil, usagef("%v", err)
	}
	return slow, nil
}
