// Package registration turns the flags of service register into a service.
package registration

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/meshway/meshway/cmd/meshctl/internal/fault"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Flags holds the flags of service register.
type Flags struct {
	Namespace, Instance, Address string
	Ports                        []string
	Labels                       map[string]string
}

// Service returns the service that the flags describe.
func (r Flags) Service(name string) (*catalogpb.Service, error) {
	address, err := netip.ParseAddr(r.Address)
	if err != nil {
		return nil, &fault.Fault{
			Code:    fault.ExitUsage,
			Message: fmt.Sprintf("%q is not an IP address", r.Address),
			Field:   "--address",
			Remedy:  "give the address of the service, such as 10.1.0.5",
		}
	}
	if len(r.Ports) == 0 {
		return nil, &fault.Fault{
			Code:    fault.ExitUsage,
			Message: "a service needs a port",
			Field:   "--port",
			Remedy:  "give one or more, such as --port 80/tcp",
		}
	}
	service := &catalogpb.Service{
		Namespace: r.Namespace,
		Name:      name,
		Instance:  r.Instance,
		Address:   address.String(),
		Labels:    r.Labels,
	}
	for _, text := range r.Ports {
		port, err := parsePort(text)
		if err != nil {
			return nil, err
		}
		service.Ports = append(service.Ports, port)
	}
	return service, nil
}

// parsePort parses [name:]number[/protocol]; the default protocol is tcp.
func parsePort(text string) (*catalogpb.Port, error) {
	wrong := &fault.Fault{
		Code:    fault.ExitUsage,
		Message: fmt.Sprintf("%q is not a port", text),
		Field:   "--port",
		Remedy:  "write [name:]number[/tcp|udp] with a number from 1 to 65535, such as http:80/tcp",
	}
	rest, name := text, ""
	if before, after, named := strings.Cut(text, ":"); named {
		name, rest = before, after
		if name == "" {
			return nil, wrong
		}
	}
	digits, protocol, given := strings.Cut(rest, "/")
	if !given {
		protocol = "tcp"
	}
	number, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || number == 0 || (protocol != "tcp" && protocol != "udp") {
		return nil, wrong
	}
	return &catalogpb.Port{
		Name:     name,
		Protocol: protocol,
		Number:   uint32(number),
	}, nil
}
