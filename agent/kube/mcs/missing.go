package mcs

import (
	"cmp"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Missing is what has to be written so that the catalog says what it should.
type Missing struct {
	Exports     []catalog.Export
	Slices      []catalog.EndpointSlice
	GoneExports []catalog.ExportKey
	GoneSlices  []catalog.EndpointSliceKey
}

// FindMissing compares what this datacenter should export with what the catalog
// says of it. What held tells of is left as it is: its writes were refused.
func FindMissing(v *catalog.View, dc catalog.DatacenterName, want map[catalog.ServiceName]Publication,
	held func(catalog.ServiceName) bool,
) Missing {
	var m Missing
	haveExports := make(map[catalog.ServiceName]catalog.Export)
	for _, e := range v.Exports(catalog.ExportFilter{Datacenter: dc}) {
		name := catalog.ServiceName{Namespace: e.Namespace, Name: e.Name}
		haveExports[name] = e
		if want[name].Export == nil {
			m.GoneExports = append(m.GoneExports, e.ExportKey)
		}
	}
	haveSlices := make(map[catalog.EndpointSliceKey]catalog.EndpointSlice)
	for _, s := range v.EndpointSlices(catalog.ExportFilter{Datacenter: dc}) {
		haveSlices[s.EndpointSliceKey] = s
	}
	for name, p := range want {
		if p.Export == nil || held(name) {
			continue
		}
		if have, ok := haveExports[name]; !ok || !have.Equal(*p.Export) {
			m.Exports = append(m.Exports, *p.Export)
		}
		for _, s := range p.Slices {
			if have, ok := haveSlices[s.EndpointSliceKey]; !ok || !have.Equal(s) {
				m.Slices = append(m.Slices, s)
			}
		}
	}
	m.GoneSlices = goneSlices(haveSlices, want)
	m.sort()
	return m
}

// goneSlices leaves out those of exports that go: they go with them.
func goneSlices(have map[catalog.EndpointSliceKey]catalog.EndpointSlice, want map[catalog.ServiceName]Publication) []catalog.EndpointSliceKey {
	var gone []catalog.EndpointSliceKey
	for key := range have {
		p := want[catalog.ServiceName{Namespace: key.Namespace, Name: key.Name}]
		stays := slices.ContainsFunc(p.Slices, func(s catalog.EndpointSlice) bool { return s.Slice == key.Slice })
		if p.Export != nil && !stays {
			gone = append(gone, key)
		}
	}
	return gone
}

func (m *Missing) sort() {
	byName := func(a, b catalog.ExportKey) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	}
	bySlice := func(a, b catalog.EndpointSliceKey) int {
		return cmp.Or(byName(a.ExportKey, b.ExportKey), cmp.Compare(a.Slice, b.Slice))
	}
	slices.SortFunc(m.Exports, func(a, b catalog.Export) int { return byName(a.ExportKey, b.ExportKey) })
	slices.SortFunc(m.Slices, func(a, b catalog.EndpointSlice) int { return bySlice(a.EndpointSliceKey, b.EndpointSliceKey) })
	slices.SortFunc(m.GoneExports, byName)
	slices.SortFunc(m.GoneSlices, bySlice)
}

// Commands packs m into as few commands as there can be, in an order in which
// each finds what it needs.
func (m Missing) Commands() []*catalogpb.Command {
	const keys = 256 // of at most some 200 bytes each
	var cmds []*catalogpb.Command
	for gone := range slices.Chunk(m.GoneExports, keys) {
		cmds = append(cmds, catalog.NewDeleteExports(gone))
	}
	cmds = append(cmds, catalog.SplitExports(m.Exports)...)
	cmds = append(cmds, catalog.SplitEndpoints(m.Slices)...)
	for gone := range slices.Chunk(m.GoneSlices, keys) {
		cmds = append(cmds, catalog.NewDeleteEndpoints(gone))
	}
	return cmds
}

// ByName takes m apart, so that what the catalog refuses of one service does not
// hold back the others. Deletions are not in it: they are not refused.
func (m Missing) ByName() map[catalog.ServiceName]Missing {
	parts := make(map[catalog.ServiceName]Missing)
	for _, e := range m.Exports {
		name := catalog.ServiceName{Namespace: e.Namespace, Name: e.Name}
		part := parts[name]
		part.Exports = append(part.Exports, e)
		parts[name] = part
	}
	for _, s := range m.Slices {
		name := catalog.ServiceName{Namespace: s.Namespace, Name: s.Name}
		part := parts[name]
		part.Slices = append(part.Slices, s)
		parts[name] = part
	}
	return parts
}

// Written says whether the catalog has the export of p as it should be. Its
// endpoints may still be on their way.
func Written(v *catalog.View, p Publication) bool {
	if p.Export == nil {
		return false
	}
	k := p.Export.ExportKey
	have := v.Exports(catalog.ExportFilter(k))
	return len(have) == 1 && have[0].Equal(*p.Export)
}

// Equal says whether p and o say the same to the catalog.
func (p Publication) Equal(o Publication) bool {
	if p.Export == nil || o.Export == nil {
		return p.Export == o.Export
	}
	return p.Export.Equal(*o.Export) && slices.EqualFunc(p.Slices, o.Slices, catalog.EndpointSlice.Equal)
}
