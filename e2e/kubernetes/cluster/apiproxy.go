//go:build linux

package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

// APIProxy is a server between some clients and the API server of a cluster, as a load
// balancer would be. It is on the first node, and has the API server's certificate.
type APIProxy struct {
	Address netip.AddrPort
	server  *http.Server
	serving sync.WaitGroup
}

// StartAPIProxy starts one. What handle makes answers all requests; next is the API server.
func (c *Cluster) StartAPIProxy(port uint16, handle func(next http.Handler) http.Handler) (*APIProxy, error) {
	certificate, err := tls.X509KeyPair(c.certificates.server, c.certificates.serverKey)
	if err != nil {
		return nil, fmt.Errorf("read certificate of the API server: %w", err)
	}
	api, err := url.Parse(c.server())
	if err != nil {
		return nil, fmt.Errorf("read URL of the API server: %w", err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(c.certificates.ca)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(api) },
		Transport: &http.Transport{
			DialContext: c.lab.console.DialContext, TLSClientConfig: &tls.Config{RootCAs: authorities}, ForceAttemptHTTP2: true,
		},
		FlushInterval: -1, // watches
		ErrorLog:      log.New(c.lab.progress, c.Name()+" front ", 0),
	}
	f := &APIProxy{
		Address: netip.AddrPortFrom(c.nodes[0].Addresses[0], port),
		server: &http.Server{
			Handler: handle(proxy), ReadHeaderTimeout: time.Minute, ErrorLog: proxy.ErrorLog,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		},
	}
	var listener net.Listener
	err = c.nodes[0].host.Do(func() (err error) {
		listener, err = net.Listen("tcp", f.Address.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen in front of the API server: %w", err)
	}
	f.serving.Go(func() {
		if err := f.server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			proxy.ErrorLog.Print(err)
		}
	})
	return f, nil
}

// Close breaks all connections.
func (f *APIProxy) Close() error {
	defer f.serving.Wait()
	return f.server.Close()
}
