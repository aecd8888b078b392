package replica

import (
	"slices"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/keys"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
)

// Tables and their indexes. Every table has the index "id". An index is iterated in
// the order of its keys, so that reads and snapshots are sorted.
const (
	tableMeta         = "meta"
	tableFederation   = "federation"
	tableSettings     = "settings"
	tableDatacenters  = "datacenters"
	tableGateways     = "gateways"
	tableTokens       = "tokens"
	tableServices     = "services"
	tableObservations = "observations"
	tableClients      = "clients"
	tableExports      = "exports"
	tableEndpoints    = "endpoints"

	indexID        = "id"
	indexPublicKey = "public_key"
	indexOverlay   = "overlay"
	indexExpires   = "expires"
	indexName      = "name"
	indexOwner     = "owner"
	indexPeer      = "peer"
	indexSeen      = "seen"
)

// meta is the only record of its table.
type meta struct {
	Index uint64 // of the last entry that was applied
}

func schema() []table.Table { return slices.Concat(memberTables(), contentTables(), exportTables()) }

func memberTables() []table.Table {
	return []table.Table{
		table.New(tableMeta, index(indexID, func(*meta) keys.Key { return keys.Of() })),
		table.New(tableFederation, index(indexID, func(*catalog.Federation) keys.Key { return keys.Of() })),
		table.New(tableSettings, index(indexID, func(*catalog.Settings) keys.Key { return keys.Of() })),
		table.New(tableDatacenters, index(indexID, func(d *catalog.Datacenter) keys.Key { return keys.Of(string(d.Name)) })),
		table.New(tableGateways,
			index(indexID, func(g *catalog.Gateway) keys.Key { return keys.Of(string(g.Datacenter), g.Name) }),
			index(indexPublicKey, func(g *catalog.Gateway) keys.Key { return keys.Of(string(g.PublicKey[:])) }),
			index(indexOverlay, func(g *catalog.Gateway) keys.Key { return keys.Of(string(g.Overlay.AsSlice())) }),
		),
		table.New(tableTokens,
			index(indexID, func(t *catalog.Token) keys.Key { return keys.Of(t.ID) }),
			index(indexExpires, func(t *catalog.Token) keys.Key { return keys.At(t.ExpiresAt, t.ID) }),
		),
	}
}

// The keys of indexes in which several records have one value end with the id.

func contentTables() []table.Table {
	return []table.Table{
		table.New(tableServices,
			index(indexID, func(s *catalog.Service) keys.Key {
				return keys.Of(string(s.Datacenter), s.Namespace, s.Name, s.Instance)
			}),
			index(indexName, func(s *catalog.Service) keys.Key {
				return keys.Of(s.Namespace, s.Name, string(s.Datacenter), s.Instance)
			}),
			index(indexOwner, func(s *catalog.Service) keys.Key {
				return keys.Of(string(s.Owner), string(s.Datacenter), s.Namespace, s.Name, s.Instance)
			}),
		),
		table.New(tableObservations,
			index(indexID, func(o *catalog.Observation) keys.Key { return keys.Of(string(o.Observer), string(o.Peer)) }),
			index(indexPeer, func(o *catalog.Observation) keys.Key { return keys.Of(string(o.Peer), string(o.Observer)) }),
		),
		table.New(tableClients,
			index(indexID, func(c *catalog.Client) keys.Key { return keys.Of(string(c.Author), c.ID) }),
			index(indexSeen, func(c *catalog.Client) keys.Key { return keys.At(c.LastSeen, string(c.Author), c.ID) }),
		),
	}
}

func exportTables() []table.Table {
	return []table.Table{
		table.New(tableExports,
			index(indexID, func(e *catalog.Export) keys.Key { return keys.Of(string(e.Datacenter), e.Namespace, e.Name) }),
			index(indexName, func(e *catalog.Export) keys.Key { return keys.Of(e.Namespace, e.Name, string(e.Datacenter)) }),
		),
		table.New(tableEndpoints,
			index(indexID, func(s *catalog.EndpointSlice) keys.Key {
				return keys.Of(string(s.Datacenter), s.Namespace, s.Name, s.Slice)
			}),
			index(indexName, func(s *catalog.EndpointSlice) keys.Key {
				return keys.Of(s.Namespace, s.Name, string(s.Datacenter), s.Slice)
			}),
		),
	}
}

func index[T any](name string, key func(*T) keys.Key) table.Index[T] {
	return table.Index[T]{Name: name, Key: key}
}

func newDB() *table.DB { return table.NewDB(schema()...) }
