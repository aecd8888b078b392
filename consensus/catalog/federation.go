package catalog

import (
	"fmt"
	"net/netip"
)

// Check returns why the catalog refuses f, or nil.
func (f Federation) Check() *Refusal {
	if !isUUID(f.ID) {
		return &Refusal{
			Code: CodeFederationInvalid, Field: "id", Message: fmt.Sprintf("%q is not a UUID", Shorten(f.ID)),
			Remedy: "use lower-case hexadecimal: 123e4567-e89b-12d3-a456-426614174000",
		}
	}
	if r := CheckName("name", f.Name); r != nil {
		return r
	}
	return checkOverlay("overlay", f.Overlay)
}

// checkOverlay requires room for several gateways: 3 host bits are enough for six
// in IPv4.
func checkOverlay(field string, p netip.Prefix) *Refusal {
	const leastBits, leastHostBits = 8, 3
	refuse := func(message string) *Refusal {
		return &Refusal{
			Code: CodeOverlayInvalid, Field: field, Message: message,
			Remedy: "use a ULA /48 such as fd12:3456:789a::/48, or a private IPv4 prefix that no datacenter uses",
		}
	}
	if r := CheckPrefix(Prefix{CIDR: p, Kind: NodePrefix}); r != nil {
		return refuse(r.Message)
	}
	if p.Bits() < leastBits || p.Addr().BitLen()-p.Bits() < leastHostBits {
		return refuse(fmt.Sprintf("prefix %s is too large or too small for the overlay", p))
	}
	return nil
}
