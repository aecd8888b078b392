package replica

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/meshway/meshway/consensus/catalog"
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

// keyIndex builds the keys of one index of records of type T. A key consists of
// parts, each terminated by a NUL, so that the first parts of a key are a prefix of
// the key and a query may omit the last parts.
type keyIndex[T any] struct {
	key func(*T) []byte
}

// FromObject implements memdb.SingleIndexer.
func (i keyIndex[T]) FromObject(raw any) (bool, []byte, error) {
	record, ok := raw.(*T)
	if !ok {
		return false, nil, fmt.Errorf("index %T: not a %T", raw, record)
	}
	return true, i.key(record), nil
}

// FromArgs implements memdb.Indexer. A string is a part, bytes are a whole key.
func (i keyIndex[T]) FromArgs(args ...any) ([]byte, error) {
	var key []byte
	for _, arg := range args {
		switch part := arg.(type) {
		case string:
			key = appendPart(key, part)
		case []byte:
			key = append(key, part...)
		default:
			return nil, fmt.Errorf("index argument %T: neither string nor bytes", arg)
		}
	}
	return key, nil
}

func appendPart(key []byte, part string) []byte {
	return append(append(key, part...), 0)
}

func keyOf(parts ...string) []byte {
	size := len(parts)
	for _, p := range parts {
		size += len(p)
	}
	key := make([]byte, 0, size)
	for _, p := range parts {
		key = appendPart(key, p)
	}
	return key
}

// timeKey returns a key that sorts by time.
func timeKey(t time.Time) []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 12), uint64(t.Unix())^(1<<63))
	return binary.BigEndian.AppendUint32(key, uint32(t.Nanosecond()))
}

func unique[T any](name string, key func(*T) []byte) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, Unique: true, Indexer: keyIndex[T]{key}}
}

func nonUnique[T any](name string, key func(*T) []byte) *memdb.IndexSchema {
	return &memdb.IndexSchema{Name: name, Indexer: keyIndex[T]{key}}
}

func table(name string, indexes ...*memdb.IndexSchema) *memdb.TableSchema {
	t := &memdb.TableSchema{Name: name, Indexes: make(map[string]*memdb.IndexSchema, len(indexes))}
	for _, i := range indexes {
		t.Indexes[i.Name] = i
	}
	return t
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
		table(tableMeta, unique(indexID, func(*meta) []byte { return keyOf("") })),
		table(tableFederation, unique(indexID, func(*catalog.Federation) []byte { return keyOf("") })),
		table(tableSettings, unique(indexID, func(*catalog.Settings) []byte { return keyOf("") })),
		table(tableDatacenters, unique(indexID, func(d *catalog.Datacenter) []byte { return keyOf(string(d.Name)) })),
		table(tableGateways,
			unique(indexID, func(g *catalog.Gateway) []byte { return keyOf(string(g.Datacenter), g.Name) }),
			unique(indexPublicKey, func(g *catalog.Gateway) []byte { return g.PublicKey[:] }),
			unique(indexOverlay, func(g *catalog.Gateway) []byte { return g.Overlay.AsSlice() }),
		),
		table(tableTokens,
			unique(indexID, func(t *catalog.Token) []byte { return keyOf(t.ID) }),
			nonUnique(indexExpires, func(t *catalog.Token) []byte { return timeKey(t.ExpiresAt) }),
		),
	}
}

func contentTables() []*memdb.TableSchema {
	return []*memdb.TableSchema{
		table(tableServices,
			unique(indexID, func(s *catalog.Service) []byte {
				return keyOf(string(s.Datacenter), s.Namespace, s.Name, s.Instance)
			}),
			unique(indexName, func(s *catalog.Service) []byte {
				return keyOf(s.Namespace, s.Name, string(s.Datacenter), s.Instance)
			}),
			nonUnique(indexOwner, func(s *catalog.Service) []byte { return keyOf(string(s.Owner)) }),
		),
		table(tableObservations,
			unique(indexID, func(o *catalog.Observation) []byte { return keyOf(string(o.Observer), string(o.Peer)) }),
			nonUnique(indexPeer, func(o *catalog.Observation) []byte { return keyOf(string(o.Peer)) }),
		),
		table(tableClients,
			unique(indexID, func(c *catalog.Client) []byte { return keyOf(string(c.Author), c.ID) }),
			nonUnique(indexSeen, func(c *catalog.Client) []byte { return timeKey(c.LastSeen) }),
		),
	}
}

func exportTables() []*memdb.TableSchema {
	return []*memdb.TableSchema{
		table(tableExports,
			unique(indexID, func(e *catalog.Export) []byte { return keyOf(string(e.Datacenter), e.Namespace, e.Name) }),
			unique(indexName, func(e *catalog.Export) []byte { return keyOf(e.Namespace, e.Name, string(e.Datacenter)) }),
		),
		table(tableEndpoints,
			unique(indexID, func(s *catalog.EndpointSlice) []byte {
				return keyOf(string(s.Datacenter), s.Namespace, s.Name, s.Slice)
			}),
			unique(indexName, func(s *catalog.EndpointSlice) []byte {
				return keyOf(s.Namespace, s.Name, string(s.Datacenter), s.Slice)
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
