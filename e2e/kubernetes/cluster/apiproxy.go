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

// APIProxy is a reverse proxy between clients and the API server of a cluster,
// like a load balancer. It listens on the first node and has the API server's
// certificate.
type APIProxy struct {
	Address netip.AddrPort
	server  *http.Server
	serving sync.WaitGroup
}

// StartAPIProxy starts a proxy. The handler that handle returns serves all
// requests; next forwards a request to the API server.
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
		FlushInterval: -1, // for watches
		ErrorLog:      log.New(c.lab.progress, c.Name()+" API proxy: ", 0),
	}
	p := &APIProxy{
		Address: netip.AddrPortFrom(c.nodes[0].Addresses[0], port),
		server: &http.Server{
			Handler: handle(proxy), ReadHeaderTimeout: time.Minute, ErrorLog: proxy.ErrorLog,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		},
	}
	var listener net.Listener
	err = c.nodes[0].host.Do(func() (err error) {
		listener, err = net.Listen("tcp", p.Address.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen for the API proxy: %w", err)
	}
	p.serving.Go(func() {
		if err := p.server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			proxy.ErrorLog.Print(err)
		}
	})
	return p, nil
}

// Close stops the proxy and closes all its connections.
func (p *APIProxy) Close() error {
	defer p.serving.Wait()
	return p.server.Close()
}
