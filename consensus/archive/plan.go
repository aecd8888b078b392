package archive

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Plan is what restoring an archive changes in a catalog.
type Plan struct {
	Changes []Change
	// OtherCA are the datacenters that have another CA in the archive: their gateways
	// could no longer connect.
	OtherCA []catalog.DatacenterName
}

// Change is what happens to one member, or to all records of one kind.
type Change struct {
	Subject string // "datacenter west"
	What    string // "is removed: it is not in the snapshot"
}

// Compare returns the plan for replacing the catalog have by want.
func Compare(have, want *replica.View) Plan {
	var p Plan
	for _, dc := range have.Datacenters() {
		p.datacenter(dc, want)
	}
	for _, dc := range want.Datacenters() {
		if _, found := have.Datacenter(dc.Name); !found {
			p.add("datacenter "+string(dc.Name), "becomes a member again: it is not in the catalog")
		}
	}
	for _, g := range have.Gateways() {
		if _, stays := want.Datacenter(g.Datacenter); stays {
			p.gateway(g, want)
		}
	}
	for _, g := range want.Gateways() {
		if _, found := have.Gateway(g.ID()); !found {
			p.add("gateway "+string(g.ID()), "is added")
		}
	}
	p.count("services", len(have.Services(replica.ServiceFilter{})), len(want.Services(replica.ServiceFilter{})))
	p.count("exports", len(have.Exports(replica.ExportFilter{})), len(want.Exports(replica.ExportFilter{})))
	p.count("tokens", len(have.Tokens()), len(want.Tokens()))
	return p
}

func (p *Plan) add(subject, what string) { p.Changes = append(p.Changes, Change{subject, what}) }

func (p *Plan) datacenter(have catalog.Datacenter, archived *replica.View) {
	subject := "datacenter " + string(have.Name)
	want, found := archived.Datacenter(have.Name)
	if !found {
		p.add(subject, "is removed: it is not in the snapshot, and has to join again")
		return
	}
	if !bytes.Equal(have.CACertificate, want.CACertificate) {
		p.OtherCA = append(p.OtherCA, have.Name)
		p.add(subject, "has another CA in the snapshot")
	}
	if !slices.Equal(have.Prefixes, want.Prefixes) {
		p.add(subject, fmt.Sprintf("gets the prefixes %s instead of %s", prefixes(want), prefixes(have)))
	}
}

func prefixes(dc catalog.Datacenter) string {
	const most = 8
	var list []string
	for i, p := range dc.Prefixes {
		if i == most {
			list = append(list, fmt.Sprintf("and %d more", len(dc.Prefixes)-most))
			break
		}
		list = append(list, p.CIDR.String())
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " ")
}

func (p *Plan) gateway(have catalog.Gateway, archived *replica.View) {
	subject := "gateway " + string(have.ID())
	want, found := archived.Gateway(have.ID())
	if !found {
		p.add(subject, "is removed: it is not in the snapshot")
		return
	}
	for _, field := range []struct {
		name string
		same bool
	}{
		{"WireGuard key", have.PublicKey == want.PublicKey},
		{"overlay address", have.Overlay == want.Overlay},
		{"endpoints", slices.Equal(have.Endpoints, want.Endpoints)},
		{"control addresses", slices.Equal(have.Controls, want.Controls)},
	} {
		if !field.same {
			p.add(subject, "gets its earlier "+field.name+", until it reports the present one")
		}
	}
}

func (p *Plan) count(kind string, have, want int) {
	if have != want {
		p.add(kind, fmt.Sprintf("%d instead of %d", want, have))
	}
}
