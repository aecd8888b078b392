package feed

import (
	"cmp"
	"maps"
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Item is a service of one datacenter: an instance that was registered, or an export of
// a cluster. Items are shared and must not be modified.
type Item struct {
	Service *catalog.Service // nil: Export is set
	Export  *Export
}

// Export is an export with its endpoints.
type Export struct {
	catalog.Export
	Slices []catalog.EndpointSlice
}

// Key identifies an item. Instance is empty for exports only.
type Key struct {
	Namespace  string
	Name       string
	Datacenter catalog.DatacenterName
	Instance   string
}

// Compare orders keys by namespace, name, datacenter and instance.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Namespace, o.Namespace), cmp.Compare(k.Name, o.Name),
		cmp.Compare(k.Datacenter, o.Datacenter), cmp.Compare(k.Instance, o.Instance))
}

func (k Key) name() catalog.ServiceName {
	return catalog.ServiceName{Namespace: k.Namespace, Name: k.Name}
}

// Key returns the key of i.
func (i *Item) Key() Key {
	if s := i.Service; s != nil {
		return Key{s.Namespace, s.Name, s.Datacenter, s.Instance}
	}
	e := i.Export
	return Key{Namespace: e.Namespace, Name: e.Name, Datacenter: e.Datacenter}
}

// ModifiedIndex returns the index of the last change of i.
func (i *Item) ModifiedIndex() uint64 {
	if i.Service != nil {
		return i.Service.ModifiedIndex
	}
	index := i.Export.ModifiedIndex
	for _, s := range i.Export.Slices {
		index = max(index, s.ModifiedIndex)
	}
	return index
}

func (i *Item) labels() map[string]string {
	if i.Service != nil {
		return i.Service.Labels
	}
	return i.Export.Labels
}

// size returns about how many records i has, to bound what is kept.
func (i *Item) size() int {
	if i == nil || i.Export == nil {
		return 1
	}
	size := 1
	for _, s := range i.Export.Slices {
		size += 1 + len(s.Endpoints)/4
	}
	return size
}

// Filter selects items; an empty field selects all.
type Filter struct {
	Namespace  string
	Name       string
	Datacenter catalog.DatacenterName
	Labels     Selector
}

// Selects reports whether f selects i, false if i is nil.
func (f Filter) Selects(i *Item) bool {
	return i != nil && f.selectsKey(i.Key()) && f.Labels.Matches(i.labels())
}

func (f Filter) selectsKey(k Key) bool {
	return (f.Namespace == "" || f.Namespace == k.Namespace) &&
		(f.Name == "" || f.Name == k.Name) &&
		(f.Datacenter == "" || f.Datacenter == k.Datacenter)
}

// List returns the items in v that f selects, sorted by key.
func List(v *replica.View, f Filter) []*Item {
	var items []*Item
	for _, s := range v.Services(replica.ServiceFilter{Namespace: f.Namespace, Name: f.Name, Datacenter: f.Datacenter}) {
		if item := (&Item{Service: &s}); f.Labels.Matches(s.Labels) {
			items = append(items, item)
		}
	}
	for _, e := range v.Exports(f.ofExports()) {
		if item := (&Item{Export: &Export{Export: e}}); f.Selects(item) {
			item.Export.Slices = slicesOf(v, e.ExportKey)
			items = append(items, item)
		}
	}
	slices.SortFunc(items, func(a, b *Item) int { return a.Key().Compare(b.Key()) })
	return items
}

// Get returns the item with a key, false if there is none.
func Get(v *replica.View, k Key) (*Item, bool) {
	for _, item := range List(v, Filter{Namespace: k.Namespace, Name: k.Name, Datacenter: k.Datacenter}) {
		if item.Key() == k {
			return item, true
		}
	}
	return nil, false
}

// ofExports returns the filter of the replica; it has no index for a name alone.
func (f Filter) ofExports() replica.ExportFilter {
	of := replica.ExportFilter{Datacenter: f.Datacenter}
	if f.Namespace != "" && f.Name != "" {
		of.Namespace, of.Name = f.Namespace, f.Name
	}
	return of
}

func slicesOf(v *replica.View, k catalog.ExportKey) []catalog.EndpointSlice {
	return v.EndpointSlices(replica.ExportFilter{Datacenter: k.Datacenter, Namespace: k.Namespace, Name: k.Name})
}

// exported returns the export with its endpoints, nil if v has none.
func exported(v *replica.View, k catalog.ExportKey) *Item {
	for _, e := range v.Exports(replica.ExportFilter{Datacenter: k.Datacenter, Namespace: k.Namespace, Name: k.Name}) {
		return &Item{Export: &Export{Export: e, Slices: slicesOf(v, k)}}
	}
	return nil
}

// equal reports whether two versions of one item are the same one.
func equal(a, b *Item) bool {
	switch {
	case a == nil || b == nil:
		return a == b
	case a.Service != nil:
		return a.Service.Equal(*b.Service) && a.Service.ModifiedIndex == b.Service.ModifiedIndex
	}
	return a.ModifiedIndex() == b.ModifiedIndex() && a.Export.Export.Equal(b.Export.Export) &&
		slices.EqualFunc(a.Export.Slices, b.Export.Slices, catalog.EndpointSlice.Equal)
}

// byKey returns the items by their keys.
func byKey(items []*Item) map[Key]*Item {
	set := make(map[Key]*Item, len(items))
	for _, i := range items {
		set[i.Key()] = i
	}
	return set
}

// sortedKeys returns the keys in both.
func sortedKeys(a, b map[Key]*Item) []Key {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.SortedFunc(maps.Keys(all), Key.Compare)
}
