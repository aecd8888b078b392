package replica

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/meshway/meshway/consensus/catalog"
)

// The following functions are typed access to the tables. Records are pointers and
// must not change once they are inserted: a change inserts a new record.

// must panics if err is not nil. memdb returns errors only for a table, an index or
// an argument that is not in the schema and for the deletion of a missing record.
// None of them depends on input, so functions of this package do not return them.
func must(err error) {
	if err != nil {
		panic("catalog: " + err.Error())
	}
}

// first returns the record with the given key of a unique index, nil if there is
// none.
func first[T any](txn *memdb.Txn, table, index string, parts ...any) *T {
	raw, err := txn.First(table, index, parts...)
	must(err)
	record, _ := raw.(*T)
	return record
}

// each yields the records with the given leading parts of a key, in the order of
// the keys. It iterates over the table as it was at the start of the iteration.
func each[T any](txn *memdb.Txn, table, index string, parts ...any) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		records, err := txn.Get(table, index, parts...)
		must(err)
		for raw := records.Next(); raw != nil; raw = records.Next() {
			if record, ok := raw.(*T); !ok || !yield(record) {
				return
			}
		}
	}
}

func insert[T any](txn *memdb.Txn, table string, record *T) {
	must(txn.Insert(table, record))
}

func remove[T any](txn *memdb.Txn, table string, record *T) {
	must(txn.Delete(table, record))
}

func removeAll(txn *memdb.Txn, table, index string, parts ...any) {
	_, err := txn.DeleteAll(table, index, parts...)
	must(err)
}

func federation(txn *memdb.Txn) *catalog.Federation {
	return first[catalog.Federation](txn, tableFederation, indexID, "")
}

// settings returns the zero value before the first command that changes them.
func settings(txn *memdb.Txn) catalog.Settings {
	s, _ := found(first[catalog.Settings](txn, tableSettings, indexID, ""), catalog.Settings.Clone)
	return s
}

func datacenter(txn *memdb.Txn, name catalog.DatacenterName) *catalog.Datacenter {
	return first[catalog.Datacenter](txn, tableDatacenters, indexID, string(name))
}

func gateway(txn *memdb.Txn, id catalog.GatewayID) *catalog.Gateway {
	return first[catalog.Gateway](txn, tableGateways, indexID, string(id.Datacenter()), id.Name())
}

func token(txn *memdb.Txn, id string) *catalog.Token {
	return first[catalog.Token](txn, tableTokens, indexID, id)
}

func service(txn *memdb.Txn, k catalog.ServiceKey) *catalog.Service {
	return first[catalog.Service](txn, tableServices, indexID,
		string(k.Datacenter), k.Namespace, k.Name, k.Instance)
}

func export(txn *memdb.Txn, k catalog.ExportKey) *catalog.Export {
	return first[catalog.Export](txn, tableExports, indexID, string(k.Datacenter), k.Namespace, k.Name)
}

func endpointSlice(txn *memdb.Txn, k catalog.EndpointSliceKey) *catalog.EndpointSlice {
	return first[catalog.EndpointSlice](txn, tableEndpoints, indexID,
		string(k.Datacenter), k.Namespace, k.Name, k.Slice)
}

func appliedIndex(txn *memdb.Txn) uint64 {
	if m := first[meta](txn, tableMeta, indexID, ""); m != nil {
		return m.Index
	}
	return 0
}
