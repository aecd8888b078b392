package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode"
)

// prospect is what a recovery would do, as it is printed.
type prospect struct {
	Index       uint64              `json:"index"`
	WrittenAt   *time.Time          `json:"writtenAt,omitempty"`
	Committed   uint64              `json:"committed"`
	Unusable    uint64              `json:"unusable,omitempty"`
	Voters      []catalog.GatewayID `json:"voters"`
	NonVoters   []catalog.GatewayID `json:"nonVoters"`
	Datacenters []content           `json:"datacenters"`
}

// content is what the catalog has of a datacenter.
type content struct {
	Name     catalog.DatacenterName `json:"name"`
	Gateways int                    `json:"gateways"`
	Prefixes int                    `json:"prefixes"`
	Services int                    `json:"services"`
	Exports  int                    `json:"exports"`
}

func newProspect(p raftnode.Prospect, voters []catalog.GatewayID) prospect {
	out := prospect{Index: p.Index, Committed: p.Committed, Unusable: p.Unusable, Voters: voters, NonVoters: []catalog.GatewayID{}, Datacenters: []content{}}
	if !p.WrittenAt.IsZero() {
		at := p.WrittenAt.UTC()
		out.WrittenAt = &at
	}
	services, exports := p.View.CountServices(), map[catalog.DatacenterName]int{}
	for _, e := range p.View.Exports(replica.ExportFilter{}) {
		exports[e.Datacenter]++
	}
	gateways := map[catalog.DatacenterName]int{}
	for _, g := range p.View.Gateways() {
		gateways[g.Datacenter]++
		if !slices.Contains(voters, g.ID()) {
			out.NonVoters = append(out.NonVoters, g.ID())
		}
	}
	for _, id := range p.Former {
		if !slices.Contains(voters, id) && !slices.Contains(out.NonVoters, id) {
			out.NonVoters = append(out.NonVoters, id)
		}
	}
	slices.Sort(out.NonVoters)
	for _, dc := range p.View.Datacenters() {
		out.Datacenters = append(out.Datacenters, content{dc.Name, gateways[dc.Name], len(dc.Prefixes), services[dc.Name], exports[dc.Name]})
	}
	return out
}

// print writes one fact a line, or one line of JSON.
func (p prospect) print(to io.Writer, former []catalog.GatewayID, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(to).Encode(p)
	}
	written := "at a time that is not known"
	if p.WrittenAt != nil {
		written = "at " + p.WrittenAt.Format(time.RFC3339)
	}
	lost := slices.DeleteFunc(slices.Clone(former), func(id catalog.GatewayID) bool { return slices.Contains(p.Voters, id) })
	lines := []string{
		fmt.Sprintf("index of the last entry that is kept: %d, newest write %s", p.Index, written),
		"voters: " + join(p.Voters),
		"no longer voters: " + cmp.Or(join(lost), "none"),
	}
	if p.Index > p.Committed {
		lines = append(lines, fmt.Sprintf("kept although they may not have been acknowledged: entries %d to %d", p.Committed+1, p.Index))
	}
	if p.Unusable > 0 {
		lines = append(lines, fmt.Sprintf("removed, because this version of meshd cannot apply it: entry %d and those after it", p.Unusable))
	}
	for _, dc := range p.Datacenters {
		lines = append(lines, fmt.Sprintf("datacenter %s: %d gateways, %d prefixes, %d registered services, %d exported services", dc.Name, dc.Gateways, dc.Prefixes, dc.Services, dc.Exports))
	}
	lines = append(lines,
		"lost: writes that only other gateways have; they are not in this directory, so run this on each gateway",
		"that remains and compare the indexes: the highest has the newest catalog",
		"nothing was changed")
	_, err := fmt.Fprintln(to, strings.Join(lines, "\n"))
	return err
}

func join(ids []catalog.GatewayID) string {
	var words []string
	for _, id := range ids {
		words = append(words, string(id))
	}
	return strings.Join(words, ", ")
}
