package replica

import (
	"iter"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
)

// The following functions are typed access to the tables. Records are pointers and
// must not change once they are inserted: a change inserts a new record.

// first returns the first record whose key in an index begins with parts, nil if there
// is none.
func first[T any](txn *table.Txn, of, index string, parts ...string) *T {
	return table.First[T](txn, of, index, parts...)
}

// each yields the records with the given leading parts of a key, in the order of
// the keys. It iterates over the table as it was at the start of the iteration.
func each[T any](txn *table.Txn, of, index string, parts ...string) iter.Seq[*T] {
	return table.Each[T](txn, of, index, parts...)
}

func insert[T any](txn *table.Txn, to string, record *T) { table.Insert(txn, to, record) }

func remove[T any](txn *table.Txn, from string, record *T) { table.Delete(txn, from, record) }

func removeAll[T any](txn *table.Txn, from, index string, parts ...string) {
	table.DeleteAll[T](txn, from, index, parts...)
}

func federation(txn *table.Txn) *catalog.Federation {
	return first[catalog.Federation](txn, tableFederation, indexID)
}

// settings returns the zero value before the first command that changes them.
func settings(txn *table.Txn) catalog.Settings {
	s, _ := found(first[catalog.Settings](txn, tableSettings, indexID), catalog.Settings.Clone)
	return s
}

func datacenter(txn *table.Txn, name catalog.DatacenterName) *catalog.Datacenter {
	return first[catalog.Datacenter](txn, tableDatacenters, indexID, string(name))
}

func gateway(txn *table.Txn, id catalog.GatewayID) *catalog.Gateway {
	return first[catalog.Gateway](txn, tableGateways, indexID, string(id.Datacenter()), id.Name())
}

func token(txn *table.Txn, id string) *catalog.Token {
	return first[catalog.Token](txn, tableTokens, indexID, id)
}

func service(txn *table.Txn, k catalog.ServiceKey) *catalog.Service {
	return first[catalog.Service](txn, tableServices, indexID,
		string(k.Datacenter), k.Namespace, k.Name, k.Instance)
}

func export(txn *table.Txn, k catalog.ExportKey) *catalog.Export {
	return first[catalog.Export](txn, tableExports, indexID, string(k.Datacenter), k.Namespace, k.Name)
}

func endpointSlice(txn *table.Txn, k catalog.EndpointSliceKey) *catalog.EndpointSlice {
	return first[catalog.EndpointSlice](txn, tableEndpoints, indexID,
		string(k.Datacenter), k.Namespace, k.Name, k.Slice)
}

func appliedIndex(txn *table.Txn) uint64 {
	if m := first[meta](txn, tableMeta, indexID); m != nil {
		return m.Index
	}
	return 0
}
