package replica

import (
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/keys"
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

func schema() *memdb.DBSchema {
	s := &memdb.DBSchema{Tables: make(map[string]*memdb.TableSchema)}
	for _, t := range slices.Concat(memberTables(), contentTables(), exportTables()) {
		s.Tables[t.Name] = t
	}
	return s
}

func memberTables() []*memdb.TableSchema {
	return []*memdb.TableSchema{
		keys.Table(tableMeta, keys.Unique(indexID, func(*meta) []byte { return keys.Of("") })),
		keys.Table(tableFederation, keys.Unique(indexID, func(*catalog.Federation) []byte { return keys.Of("") })),
		keys.Table(tableSettings, keys.Unique(indexID, func(*catalog.Settings) []byte { return keys.Of("") })),
		keys.Table(tableDatacenters, keys.Unique(indexID, func(d *catalog.Datacenter) []byte { return keys.Of(string(d.Name)) })),
		keys.Table(tableGateways,
			keys.Unique(indexID, func(g *catalog.Gateway) []byte { return keys.Of(string(g.Datacenter), g.Name) }),
			keys.Unique(indexPublicKey, func(g *catalog.Gateway) []byte { return g.PublicKey[:] }),
			keys.Unique(indexOverlay, func(g *catalog.Gateway) []byte { return g.Overlay.AsSlice() }),
		),
		keys.Table(tableTokens,
			keys.Unique(indexID, func(t *catalog.Token) []byte { return keys.Of(t.ID) }),
			keys.NonUnique(indexExpires, func(t *catalog.Token) []byte { return keys.Time(t.ExpiresAt) }),
		),
	}
}

func contentTables() []*memdb.TableSchema {
	return []*memdb.TableSchema{
		keys.Table(tableServices,
			keys.Unique(indexID, func(s *catalog.Service) []byte {
				return keys.Of(string(s.Datacenter), s.Namespace, s.Name, s.Instance)
			}),
			keys.Unique(indexName, func(s *catalog.Service) []byte {
				return keys.Of(s.Namespace, s.Name, string(s.Datacenter), s.Instance)
			}),
			keys.NonUnique(indexOwner, func(s *catalog.Service) []byte { return keys.Of(string(s.Owner)) }),
		),
		keys.Table(tableObservations,
			keys.Unique(indexID, func(o *catalog.Observation) []byte { return keys.Of(string(o.Observer), string(o.Peer)) }),
			keys.NonUnique(indexPeer, func(o *catalog.Observation) []byte { return keys.Of(string(o.Peer)) }),
		),
		keys.Table(tableClients,
			keys.Unique(indexID, func(c *catalog.Client) []byte { return keys.Of(string(c.Author), c.ID) }),
			keys.NonUnique(indexSeen, func(c *catalog.Client) []byte { return keys.Time(c.LastSeen) }),
		),
	}
}

func exportTables() []*memdb.TableSchema {
	return []*memdb.TableSchema{
		keys.Table(tableExports,
			keys.Unique(indexID, func(e *catalog.Export) []byte { return keys.Of(string(e.Datacenter), e.Namespace, e.Name) }),
			keys.Unique(indexName, func(e *catalog.Export) []byte { return keys.Of(e.Namespace, e.Name, string(e.Datacenter)) }),
		),
		keys.Table(tableEndpoints,
			keys.Unique(indexID, func(s *catalog.EndpointSlice) []byte {
				return keys.Of(string(s.Datacenter), s.Namespace, s.Name, s.Slice)
			}),
			keys.Unique(indexName, func(s *catalog.EndpointSlice) []byte {
				return keys.Of(s.Namespace, s.Name, string(s.Datacenter), s.Slice)
			}),
		),
	}
}

// newDB panics if the schema is invalid, which makes every test fail.
func newDB() *memdb.MemDB {
	db, err := memdb.NewMemDB(schema())
	must(err)
	return db
}
