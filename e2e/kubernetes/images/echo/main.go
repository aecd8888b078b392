// Command echo answers HTTP requests and UDP datagrams with the name of its pod
// and the addresses of the connection:
//
//	{"pod":"web-7d9f","source":"10.11.1.5","server":"10.11.2.7","host":"web.shop.svc.cluster.local"}
//
// "source" is the client's address after all address translation.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
)

// answer is the response to a request.
type answer struct {
	Pod    string     `json:"pod"`
	Source netip.Addr `json:"source"`
	Server netip.Addr `json:"server,omitzero"` // the pod's address that received the request; not for UDP
	Host   string     `json:"host,omitempty"`  // the Host header of the request
}

func main() {
	listen := flag.String("listen", ":8080", "address for HTTP and for UDP")
	flag.Parse()
	if err := serve(*listen); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func serve(listen string) error {
	pod, err := os.Hostname()
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", listen)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- servePackets(packets, pod) }()
	go func() { failed <- http.ListenAndServe(listen, handler(pod)) }()
	return <-failed
}

func handler(pod string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answer{Pod: pod, Host: r.Host}
		if source, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			a.Source = source.Addr().Unmap()
		}
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
			a.Server = local.AddrPort().Addr().Unmap()
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a) // the client may be gone
	})
}

func servePackets(packets net.PacketConn, pod string) error {
	buffer := make([]byte, 2048)
	for {
		_, source, err := packets.ReadFrom(buffer)
		if err != nil {
			return err
		}
		text, err := json.Marshal(answer{Pod: pod, Source: source.(*net.UDPAddr).AddrPort().Addr().Unmap()})
		if err != nil {
			return err
		}
		if _, err := packets.WriteTo(append(text, '\n'), source); err != nil {
			continue // only this client is unreachable
		}
	}
}
