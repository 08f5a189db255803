package consul

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"strconv"
)

// version is that of Consul whose API is served.
const version = "1.20.0"

// leader answers GET /v1/status/leader with the leader of the keys' owner.
func (f *frontend) leader(q *request) error {
	return q.reply(http.StatusOK, f.cfg.Home().Leader)
}

// peers answers GET /v1/status/peers with the voters of the keys' owner.
func (f *frontend) peers(q *request) error {
	return q.reply(http.StatusOK, append([]string{}, f.cfg.Home().Peers...))
}

// self answers GET /v1/agent/self.
func (f *frontend) self(q *request) error {
	type config struct {
		Datacenter, PrimaryDatacenter, NodeName, NodeID, Revision, Version string
		Server                                                             bool
	}
	type member struct {
		Name   string
		Addr   string
		Port   int
		Status int
		Tags   map[string]string
	}
	host, service, err := net.SplitHostPort(f.cfg.Address)
	port, bad := strconv.Atoi(service)
	if err != nil || bad != nil {
		host, port = f.cfg.Address, 0
	}
	sum := sha256.Sum256([]byte("consul/" + string(f.Node)))
	region := string(f.cfg.Region)
	return q.reply(http.StatusOK, struct {
		Config config
		Member member
	}{
		config{
			Datacenter: region, PrimaryDatacenter: region, NodeName: string(f.Node), Version: version, Server: f.cfg.Server,
			NodeID: fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]),
		},
		member{Name: string(f.Node), Addr: host, Port: port, Status: 1, Tags: map[string]string{"dc": region}},
	})
}
