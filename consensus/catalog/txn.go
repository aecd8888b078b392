package catalog

import (
	"iter"

	"github.com/hashicorp/go-memdb"
)

// The typed way to the tables. Records are pointers and immutable once they are
// in: a change inserts a new record.
//
// memdb answers with errors only for a table, index or argument that the schema
// does not know, and for deleting what is not there. None depends on input, so
// they are not returned through every function of this package.
func bug(err error) {
	if err != nil {
		panic("catalog: " + err.Error())
	}
}

// first finds the record with exactly this key of a unique index; nil if there
// is none.
func first[T any](txn *memdb.Txn, table, index string, parts ...any) *T {
	raw, err := txn.First(table, index, parts...)
	bug(err)
	record, _ := raw.(*T)
	return record
}

// each gives the records with these leading parts of a key, in its order. It
// shows the table as it was when the iteration began.
func each[T any](txn *memdb.Txn, table, index string, parts ...any) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		records, err := txn.Get(table, index, parts...)
		bug(err)
		for raw := records.Next(); raw != nil; raw = records.Next() {
			if record, ok := raw.(*T); !ok || !yield(record) {
				return
			}
		}
	}
}

func insert[T any](txn *memdb.Txn, table string, record *T) {
	bug(txn.Insert(table, record))
}

func remove[T any](txn *memdb.Txn, table string, record *T) {
	bug(txn.Delete(table, record))
}

func removeAll(txn *memdb.Txn, table, index string, parts ...any) {
	_, err := txn.DeleteAll(table, index, parts...)
	bug(err)
}

func federation(txn *memdb.Txn) *Federation {
	return first[Federation](txn, tableFederation, indexID, "")
}

func datacenter(txn *memdb.Txn, name DatacenterName) *Datacenter {
	return first[Datacenter](txn, tableDatacenters, indexID, string(name))
}

func gateway(txn *memdb.Txn, id GatewayID) *Gateway {
	return first[Gateway](txn, tableGateways, indexID, string(id.Datacenter()), id.Name())
}

func token(txn *memdb.Txn, id string) *Token {
	return first[Token](txn, tableTokens, indexID, id)
}

func service(txn *memdb.Txn, k ServiceKey) *Service {
	return first[Service](txn, tableServices, indexID,
		string(k.Datacenter), k.Namespace, k.Name, k.Instance)
}

func export(txn *memdb.Txn, k ExportKey) *Export {
	return first[Export](txn, tableExports, indexID, string(k.Datacenter), k.Namespace, k.Name)
}

func endpointSlice(txn *memdb.Txn, k EndpointSliceKey) *EndpointSlice {
	return first[EndpointSlice](txn, tableEndpoints, indexID,
		string(k.Datacenter), k.Namespace, k.Name, k.Slice)
}

func appliedIndex(txn *memdb.Txn) uint64 {
	if m := first[meta](txn, tableMeta, indexID, ""); m != nil {
		return m.Index
	}
	return 0
}
