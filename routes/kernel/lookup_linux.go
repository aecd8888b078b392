package kernel

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/meshway/meshway/routes"
)

// Lookup implements routes.Kernel with two requests: one returns the matching
// route (table, prefix, nexthop object), the other the path of a packet (device,
// router, source).
func (k *Kernel) Lookup(_ context.Context, q routes.Query) (routes.Lookup, error) {
	addr := q.Destination.Unmap()
	c, err := dial()
	if err != nil {
		return routes.Lookup{}, err
	}
	defer c.close()
	in, err := ifindex(q.In)
	if err != nil {
		return routes.Lookup{}, fmt.Errorf("lookup %s: %w", q, err)
	}
	out, err := ifindex(q.Out)
	if err != nil {
		return routes.Lookup{}, fmt.Errorf("lookup %s: %w", q, err)
	}
	match, err := c.lookup(q, in, out, unix.RTM_F_FIB_MATCH)
	if err != nil {
		return lookupError(addr, routes.Lookup{}, err)
	}
	found := routes.Lookup{Table: match.table, Prefix: match.Prefix, Nexthop: match.Nexthop}
	path, err := c.lookup(q, in, out, 0)
	if err != nil {
		return lookupError(addr, found, err)
	}
	found.Source, found.Via = path.Source, path.via
	link, err := net.InterfaceByIndex(path.ifindex)
	if err != nil {
		return routes.Lookup{}, fmt.Errorf("lookup %s: device %d: %w", addr, path.ifindex, err)
	}
	found.Device = link.Name
	return found, nil
}

// lookupError converts the error of a lookup. The kernel returns an error number
// for a blackhole, which is no error here.
func lookupError(addr netip.Addr, found routes.Lookup, err error) (routes.Lookup, error) {
	switch {
	case isBlackhole(err):
		found.Blackhole = true
		return found, nil
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return routes.Lookup{}, fmt.Errorf("lookup %s: %w", addr, routes.ErrNoRoute)
	default:
		return routes.Lookup{}, fmt.Errorf("lookup %s: %w", addr, err)
	}
}

// isBlackhole reports whether err is the EINVAL of a blackhole, which has no text;
// that of an invalid request has one.
func isBlackhole(err error) bool {
	var failure kernelError
	return errors.As(err, &failure) && failure.number == unix.EINVAL && failure.message == ""
}

// ifindex returns the index of a device; 0 for the empty name.
func ifindex(device string) (uint32, error) {
	if device == "" {
		return 0, nil
	}
	link, err := net.InterfaceByName(device)
	if err != nil {
		return 0, fmt.Errorf("device %s: %w", device, err)
	}
	return uint32(link.Index), nil //nolint:gosec // positive
}

func (c *conn) lookup(q routes.Query, in, out, flags uint32) (route, error) {
	addr := q.Destination.Unmap()
	body := []byte{familyByte(routes.FamilyOf(addr)), byte(addr.BitLen()), 0, q.TOS, 0, 0, 0, 0} //nolint:gosec // 32 or 128
	if addr.Is4() {                                                                              // IPv6 always returns the table, and refuses the flag
		flags |= unix.RTM_F_LOOKUP_TABLE
	}
	body = native.AppendUint32(body, flags)
	body = appendAttr(body, unix.RTA_DST, addr.AsSlice())
	if q.Source.IsValid() {
		body[2] = byte(addr.BitLen()) //nolint:gosec // 32 or 128
		body = appendAttr(body, unix.RTA_SRC, q.Source.AsSlice())
	}
	if in != 0 {
		body = appendAttr32(body, unix.RTA_IIF, in)
	}
	if out != 0 {
		body = appendAttr32(body, unix.RTA_OIF, out)
	}
	body = appendAttr(body, unix.RTA_IP_PROTO, []byte{cmp.Or(q.Protocol, unix.IPPROTO_UDP)})
	body = appendPort(body, unix.RTA_SPORT, q.FromPort)
	body = appendPort(body, unix.RTA_DPORT, q.ToPort)
	if q.Mark != 0 {
		body = appendAttr32(body, unix.RTA_MARK, q.Mark)
	}
	if q.User != 0 {
		body = appendAttr32(body, unix.RTA_UID, q.User)
	}
	response, err := c.query(unix.RTM_GETROUTE, body)
	if err != nil {
		return route{}, err
	}
	return parseRoute(response)
}

// appendPort appends a port unless it is 0, which the kernel refuses.
func appendPort(b []byte, typ uint16, port uint16) []byte {
	if port == 0 {
		return b
	}
	return appendAttr(b, typ, binary.BigEndian.AppendUint16(nil, port))
}
