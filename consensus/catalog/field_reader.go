package catalog

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// fieldReader parses the fields of one wire message and keeps the refusal of the
// first field that it could not parse.
type fieldReader struct{ refusal *Refusal }

func (r *fieldReader) fail(code, field, message, remedy string) {
	if r.refusal == nil {
		r.refusal = &Refusal{Code: code, Field: field, Message: message, Remedy: remedy}
	}
}

func (r *fieldReader) prefix(field, text string) netip.Prefix {
	if text == "" {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		r.fail(CodePrefixInvalid, field, fmt.Sprintf("%q is not a prefix", Shorten(text)),
			"write it as address/length: 10.1.0.0/16")
	}
	return p
}

func (r *fieldReader) addr(field, text string) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		r.fail(CodeAddressInvalid, field, fmt.Sprintf("%q is not an IP address", Shorten(text)),
			"write it as 10.1.0.5 or fd00::5")
	}
	return a
}

func (r *fieldReader) addrPort(field, text string) netip.AddrPort {
	if text == "" {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		r.fail(CodeEndpointInvalid, field, fmt.Sprintf("%q is not an IP address with a port", Shorten(text)),
			"write it as 192.0.2.1:51820 or [2001:db8::1]:51820")
	}
	return a
}

func (r *fieldReader) port(field string, number uint32) uint16 {
	if number > math.MaxUint16 {
		r.fail(CodePortInvalid, field, fmt.Sprintf("%d is not a valid port number", number), "use 1 to 65535")
		return 0
	}
	return uint16(number)
}

func (r *fieldReader) bytes32(field string, b []byte) (out [32]byte) {
	if len(b) != 0 && len(b) != len(out) {
		r.fail(CodeMalformed, field, fmt.Sprintf("the value has %d bytes instead of %d", len(b), len(out)),
			defectRemedy)
		return out
	}
	copy(out[:], b)
	return out
}

func (r *fieldReader) time(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if err := t.CheckValid(); err != nil {
		r.fail(CodeMalformed, field, "the value is not a time between the years 1 and 9999", defectRemedy)
		return time.Time{}
	}
	return t.AsTime()
}

func (r *fieldReader) kind(field string, k catalogpb.PrefixKind) PrefixKind {
	switch k {
	case catalogpb.PrefixKind_PREFIX_KIND_POD:
		return PodPrefix
	case catalogpb.PrefixKind_PREFIX_KIND_SERVICE:
		return ServicePrefix
	case catalogpb.PrefixKind_PREFIX_KIND_NODE:
		return NodePrefix
	case catalogpb.PrefixKind_PREFIX_KIND_UNSPECIFIED: // refused as an unknown kind
	}
	r.fail(CodePrefixInvalid, field, "the kind of the prefix is unknown", "use pod, service or node")
	return ""
}
