package main

import (
	"context"
	"net"
	"net/http"

	"github.com/meshway/meshway/agent/control/controlpb/controlpbconnect"
)

// newClient speaks to meshd on its unix socket. It dials at the first call.
func newClient(socket string) controlpbconnect.OperatorClient {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}
	return controlpbconnect.NewOperatorClient(&http.Client{Transport: transport}, "http://meshd")
}
