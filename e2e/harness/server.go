//go:build linux

package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"
)

// Answer is what a server says about a request.
type Answer struct {
	Host    string         `json:"host"`    // of the server
	Source  netip.AddrPort `json:"source"`  // of the client, as the server saw it
	Address netip.AddrPort `json:"address"` // of the server, as the client named it
}

// Serve starts a server in the host that tells over HTTP what it sees and
// echoes UDP datagrams, on one port of each address, and waits until it answers.
func (h *Host) Serve(ctx context.Context, port uint16, addresses ...netip.Addr) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	argv := []string{self, roleServer, strconv.Itoa(int(port))}
	for _, address := range addresses {
		argv = append(argv, address.String())
	}
	server, err := h.Start("server", argv...)
	if err != nil {
		return nil, err
	}
	err = Wait(ctx, "the server on "+h.name+" answers", func(ctx context.Context) error {
		_, err := h.Get(ctx, netip.AddrPortFrom(addresses[0], port))
		return err
	})
	return server, err
}

// runServer is the process that Serve starts.
func runServer(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("want PORT ADDRESS…, have %q", args)
	}
	failed := make(chan error)
	for _, address := range args[1:] {
		hostport := net.JoinHostPort(address, args[0])
		listener, err := net.Listen("tcp", hostport)
		if err != nil {
			return err
		}
		packets, err := net.ListenPacket("udp", hostport)
		if err != nil {
			return err
		}
		server := &http.Server{Handler: http.HandlerFunc(tell), ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- server.Serve(listener) }()
		go func() { failed <- echo(packets) }()
	}
	return <-failed
}

func tell(w http.ResponseWriter, r *http.Request) {
	answer, err := describe(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}

func describe(r *http.Request) (Answer, error) {
	name, errName := os.Hostname()
	source, errSource := netip.ParseAddrPort(r.RemoteAddr)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return Answer{}, errors.New("no local address")
	}
	address, errAddress := netip.ParseAddrPort(local.String())
	return Answer{Host: name, Source: source, Address: address}, errors.Join(errName, errSource, errAddress)
}

func echo(packets net.PacketConn) error {
	buffer := make([]byte, 65536)
	for {
		n, from, err := packets.ReadFrom(buffer)
		if err != nil {
			return err
		}
		if _, err := packets.WriteTo(buffer[:n], from); err != nil && !errors.Is(err, net.ErrClosed) {
			continue // the client may have become unreachable: the next one counts
		}
	}
}
