// Command echo tells whoever asks, over HTTP or UDP, who is answering and where
// the question came from:
//
//	{"pod":"web-7d9f","source":"10.11.1.5","server":"10.11.2.7","host":"web.shop.svc.cluster.local"}
//
// "source" is the address that arrived, after all translation on the way.
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

// answer is what the server saw.
type answer struct {
	Pod    string     `json:"pod"`
	Source netip.Addr `json:"source"`
	Server netip.Addr `json:"server,omitzero"` // the pod's own address that was asked; not over UDP
	Host   string     `json:"host,omitempty"`  // the name that was asked for
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
	return <-failed // and the program ends with it
}

func handler(pod string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := answer{Pod: pod, Host: r.Host}
		if source, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			seen.Source = source.Addr().Unmap()
		}
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
			seen.Server = local.AddrPort().Addr().Unmap()
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(seen) // the client is gone
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
			continue // this client cannot be reached; others can
		}
	}
}
