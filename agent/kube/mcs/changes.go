package mcs

import (
	"cmp"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/batch"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Changes are the writes that bring the records of a datacenter in the catalog to
// what it publishes.
type Changes struct {
	Exports        []catalog.Export
	Slices         []catalog.EndpointSlice
	DeletedExports []catalog.ExportKey
	DeletedSlices  []catalog.EndpointSliceKey
}

// Diff compares the publications of dc with its records in the catalog. It skips the
// publication of a name for which held reports true: the publisher holds names whose
// writes the catalog refused.
func Diff(v *replica.View, dc catalog.DatacenterName, want map[catalog.ServiceName]Publication,
	held func(catalog.ServiceName) bool,
) Changes {
	var c Changes
	haveExports := make(map[catalog.ServiceName]catalog.Export)
	for _, e := range v.Exports(replica.ExportFilter{Datacenter: dc}) {
		name := catalog.ServiceName{Namespace: e.Namespace, Name: e.Name}
		haveExports[name] = e
		if want[name].Export == nil {
			c.DeletedExports = append(c.DeletedExports, e.ExportKey)
		}
	}
	haveSlices := make(map[catalog.EndpointSliceKey]catalog.EndpointSlice)
	for _, s := range v.EndpointSlices(replica.ExportFilter{Datacenter: dc}) {
		haveSlices[s.EndpointSliceKey] = s
	}
	for name, p := range want {
		if p.Export == nil || held(name) {
			continue
		}
		if have, ok := haveExports[name]; !ok || !holds(have, *p.Export) {
			c.Exports = append(c.Exports, *p.Export)
		}
		for _, s := range p.Slices {
			if have, ok := haveSlices[s.EndpointSliceKey]; !ok || !have.Equal(s) {
				c.Slices = append(c.Slices, s)
			}
		}
	}
	c.DeletedSlices = deletedSlices(haveSlices, want)
	c.sort()
	return c
}

// deletedSlices returns the slices to delete, without those of deleted exports, which
// the catalog deletes with their export.
func deletedSlices(have map[catalog.EndpointSliceKey]catalog.EndpointSlice, want map[catalog.ServiceName]Publication) []catalog.EndpointSliceKey {
	var deleted []catalog.EndpointSliceKey
	for key := range have {
		p := want[catalog.ServiceName{Namespace: key.Namespace, Name: key.Name}]
		kept := slices.ContainsFunc(p.Slices, func(s catalog.EndpointSlice) bool { return s.Slice == key.Slice })
		if p.Export != nil && !kept {
			deleted = append(deleted, key)
		}
	}
	return deleted
}

func (c *Changes) sort() {
	byName := func(a, b catalog.ExportKey) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	}
	bySlice := func(a, b catalog.EndpointSliceKey) int {
		return cmp.Or(byName(a.ExportKey, b.ExportKey), cmp.Compare(a.Slice, b.Slice))
	}
	slices.SortFunc(c.Exports, func(a, b catalog.Export) int { return byName(a.ExportKey, b.ExportKey) })
	slices.SortFunc(c.Slices, func(a, b catalog.EndpointSlice) int { return bySlice(a.EndpointSliceKey, b.EndpointSliceKey) })
	slices.SortFunc(c.DeletedExports, byName)
	slices.SortFunc(c.DeletedSlices, bySlice)
}

// Commands encodes c in as few commands as possible. An export precedes its slices.
func (c Changes) Commands() []*catalogpb.Command {
	const maxKeys = 256 // each of at most about 200 bytes
	var cmds []*catalogpb.Command
	for keys := range slices.Chunk(c.DeletedExports, maxKeys) {
		cmds = append(cmds, catalog.NewDeleteExports(keys))
	}
	cmds = append(cmds, batch.Exports(c.Exports)...)
	cmds = append(cmds, batch.Endpoints(c.Slices)...)
	for keys := range slices.Chunk(c.DeletedSlices, maxKeys) {
		cmds = append(cmds, catalog.NewDeleteEndpoints(keys))
	}
	return cmds
}

// ByName splits c by service, so that a refusal of one service does not hold back
// the others. It omits deletions, which the catalog does not refuse.
func (c Changes) ByName() map[catalog.ServiceName]Changes {
	parts := make(map[catalog.ServiceName]Changes)
	for _, e := range c.Exports {
		name := catalog.ServiceName{Namespace: e.Namespace, Name: e.Name}
		part := parts[name]
		part.Exports = append(part.Exports, e)
		parts[name] = part
	}
	for _, s := range c.Slices {
		name := catalog.ServiceName{Namespace: s.Namespace, Name: s.Name}
		part := parts[name]
		part.Slices = append(part.Slices, s)
		parts[name] = part
	}
	return parts
}

// Written reports whether the catalog holds the export of p. It does not compare
// the endpoints.
func Written(v *replica.View, p Publication) bool {
	if p.Export == nil {
		return false
	}
	k := p.Export.ExportKey
	have := v.Exports(replica.ExportFilter(k))
	return len(have) == 1 && holds(have[0], *p.Export)
}

// holds reports whether the export of the catalog is want. The leader may
// have given it a later creation time: the first export of a name is the oldest.
func holds(have, want catalog.Export) bool {
	if have.CreatedAt.After(want.CreatedAt) {
		want.CreatedAt = have.CreatedAt
	}
	return have.Equal(want)
}

// Equal reports whether p and o produce the same records.
func (p Publication) Equal(o Publication) bool {
	if p.Export == nil || o.Export == nil {
		return p.Export == o.Export
	}
	return p.Export.Equal(*o.Export) && slices.EqualFunc(p.Slices, o.Slices, catalog.EndpointSlice.Equal)
}
