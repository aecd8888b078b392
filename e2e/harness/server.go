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

// Answer is the response of a server that Serve started.
type Answer struct {
	Host    string         `json:"host"`    // the server's host name
	Source  netip.AddrPort `json:"source"`  // the client's address, as received by the server
	Address netip.AddrPort `json:"address"` // the server's address to which the client connected
}

// echoPath is the path of requests whose body the server returns while it
// arrives.
const echoPath = "/echo"

// Serve starts a server in the host that answers HTTP requests with an Answer,
// or with their own body, and echoes UDP datagrams, on one port of each address. It returns once the
// server answers on the first address.
func (h *Host) Serve(ctx context.Context, port uint16, addresses ...netip.Addr) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
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

// runServer is the main function of the process that Serve starts.
func runServer(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("expected PORT ADDRESS…, got %q", args)
	}
	failed := make(chan error)
	mux := http.NewServeMux()
	mux.HandleFunc("/", serveAnswer)
	mux.HandleFunc(echoPath, serveEcho)
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
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- server.Serve(listener) }()
		go func() { failed <- echo(packets) }()
	}
	return <-failed
}

func serveAnswer(w http.ResponseWriter, r *http.Request) {
	answer, err := describe(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may be gone
}

// serveEcho returns the body of the request while it arrives.
func serveEcho(w http.ResponseWriter, r *http.Request) {
	response := http.NewResponseController(w)
	if err := response.EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	buffer := make([]byte, 64<<10)
	for err := response.Flush(); err == nil; { // an error: the client is gone
		var n int
		n, err = r.Body.Read(buffer)
		if _, failed := w.Write(buffer[:n]); failed != nil || response.Flush() != nil {
			return
		}
	}
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
			continue // this client may be unreachable; the others are still served
		}
	}
}
