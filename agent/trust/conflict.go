package trust

import (
	"net/netip"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
)

// settleConflicts undoes the acceptance of records that claim what another record
// has had since before: prefixes, a WireGuard key or an overlay address. The catalog
// refuses such writes, hence they were not made by its rules. What its holder has
// released may be claimed.
func (j *judge) settleConflicts() {
	prefixes := j.heldPrefixes()
	keys := j.heldKeys()
	for name, next := range j.next.Datacenters {
		was := j.before.Datacenters[name]
		if holder := claimed(prefixes, name, was.Record, next.Record); holder != "" {
			j.report(RecordConflict, name, "", string(holder))
			next.Record, next.Version, next.Signed = was.Record, was.Version, was.Signed
			j.next.Datacenters[name] = next
		}
		for gateway, g := range next.Gateways {
			if g.Record == nil {
				continue
			}
			for _, key := range keysOf(*g.Record) {
				if holder, held := keys[key]; held && holder != g.Record.ID() {
					j.report(RecordConflict, name, gateway, string(holder))
					restore(next.Gateways, was.Gateways, gateway)
					break
				}
			}
		}
	}
}

// restore sets what is remembered of a gateway to what it was before.
func restore(next, was map[string]Gateway, name string) {
	if before, known := was[name]; known {
		next[name] = before
		return
	}
	delete(next, name)
}

// heldPrefix is a prefix that a datacenter had before and still has.
type heldPrefix struct {
	holder catalog.DatacenterName
	prefix netip.Prefix
}

func (j *judge) heldPrefixes() []heldPrefix {
	var held []heldPrefix
	for name, next := range j.next.Datacenters {
		was := j.before.Datacenters[name].Record
		if was == nil || next.Record == nil {
			continue
		}
		for _, p := range next.Record.Prefixes {
			if hasPrefix(was, p.CIDR) {
				held = append(held, heldPrefix{name, p.CIDR})
			}
		}
	}
	return held
}

// claimed returns the holder of a prefix that a datacenter adds, empty if it adds
// only what is free.
func claimed(held []heldPrefix, name catalog.DatacenterName, was, next *catalog.Datacenter) catalog.DatacenterName {
	if next == nil || next == was {
		return ""
	}
	for _, p := range next.Prefixes {
		if hasPrefix(was, p.CIDR) {
			continue
		}
		for _, h := range held {
			if h.holder != name && h.prefix.Overlaps(p.CIDR) {
				return h.holder
			}
		}
	}
	return ""
}

func hasPrefix(dc *catalog.Datacenter, cidr netip.Prefix) bool {
	return dc != nil && slices.ContainsFunc(dc.Prefixes, func(p catalog.Prefix) bool { return p.CIDR == cidr })
}

// keysOf returns what no two gateways may share.
func keysOf(g catalog.Gateway) []any { return []any{g.PublicKey, g.Overlay} }

// heldKeys returns the keys that a gateway had before and still has.
func (j *judge) heldKeys() map[any]catalog.GatewayID {
	held := map[any]catalog.GatewayID{}
	for name, next := range j.next.Datacenters {
		for gateway, g := range next.Gateways {
			was := j.before.Datacenters[name].Gateways[gateway].Record
			if was == nil || g.Record == nil {
				continue
			}
			for _, key := range keysOf(*g.Record) {
				if slices.Contains(keysOf(*was), key) {
					held[key] = g.Record.ID()
				}
			}
		}
	}
	return held
}
