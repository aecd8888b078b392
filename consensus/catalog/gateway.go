package catalog

import "fmt"

// Check returns why the catalog refuses k, or nil.
func (k Key) Check() *Refusal {
	if k != (Key{}) {
		return nil
	}
	return &Refusal{
		Code: CodePublicKeyInvalid, Message: "the public key is missing",
		Remedy: "send the WireGuard public key of the gateway",
	}
}

// Check returns why the catalog refuses the fields that g sets itself, or nil. It
// does not check name and key.
func (g Gateway) Check() *Refusal {
	if len(g.Version) > maxVersionLength || !onlyBytes(g.Version, func(c byte) bool { return ' ' <= c && c < 0x7f }) {
		return &Refusal{
			Code: CodeVersionInvalid, Field: "version",
			Message: fmt.Sprintf("the version is longer than %d bytes or not printable", maxVersionLength), Remedy: "use a shorter version",
		}
	}
	if r := g.Signature.Check(); r != nil {
		return r
	}
	if r := checkHostPorts("endpoints", g.Endpoints); r != nil {
		return r
	}
	return checkHostPorts("controls", g.Controls)
}
