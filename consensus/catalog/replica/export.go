package replica

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
)

// putExports stores exports, all of the command or none.
func (w *writer) putExports(req request, body *catalogpb.PutExports) (catalog.Result, *catalog.Refusal) {
	exports, r := readAll("exports", body.GetExports(), catalog.ExportFromProto, func(e *catalog.Export) *catalog.Refusal { return checkExport(req, *e) })
	if r != nil {
		return catalog.Result{}, r
	}
	for _, e := range exports {
		if have := export(w.txn, e.ExportKey); have != nil && have.Equal(*e) {
			continue // ModifiedIndex stays, so that readers can skip the record
		}
		e.ModifiedIndex = w.index
		insert(w.txn, tableExports, e)
	}
	return catalog.Result{}, nil
}

func checkExport(req request, e catalog.Export) *catalog.Refusal {
	if r := checkExportKey(req, e.ExportKey); r != nil {
		return r
	}
	return e.Check()
}

// firstSeen returns cmd with exports that are not older than the catalog can
// confirm. The oldest of several exports of one name decides their conflicts, that
// of several with one mirror name has it, and an exporter could choose any age: so
// the first one that the catalog has is the oldest, and one that it has does not
// become older.
func firstSeen(txn *table.Txn, cmd *catalogpb.Command, now time.Time) *catalogpb.Command {
	body, ok := cmd.GetBody().(*catalogpb.Command_PutExports)
	if !ok {
		return cmd
	}
	copied := false
	for i, p := range body.PutExports.GetExports() {
		e, err := catalog.ExportFromProto(p)
		if err != nil || e.CreatedAt.IsZero() {
			continue // refused by Apply
		}
		created := earliestCreation(txn, e, now)
		if created.Equal(e.CreatedAt) {
			continue
		}
		if !copied {
			cmd, copied = proto.CloneOf(cmd), true
		}
		cmd.GetPutExports().GetExports()[i].CreatedAt = timestamppb.New(created)
	}
	return cmd
}

// earliestCreation returns the creation time of e, or the earliest one that e may
// have, if that is later. A time in the future counts as soon, or as the one that the
// catalog has.
func earliestCreation(txn *table.Txn, e catalog.Export, now time.Time) time.Time {
	soon := now.Add(catalog.MaxClockSkew)
	created := earliest(e.CreatedAt, soon)
	have := export(txn, e.ExportKey)
	switch {
	case have != nil && e.CreatedAt.After(soon): // or each repetition would change it
		created = have.CreatedAt
	case have != nil:
		created = latest(created, have.CreatedAt)
	default:
		for other := range each[catalog.Export](txn, tableExports, indexName, e.Namespace, e.Name) {
			created = latest(created, earliest(other.CreatedAt, soon).Add(1))
		}
	}
	if e.Mirror && (have == nil || !have.Mirror) {
		for _, key := range catalog.MirrorKeys(e.Namespace, e.MirrorName()) {
			if other := export(txn, key); other != nil && other.Mirror {
				created = latest(created, earliest(other.CreatedAt, soon).Add(1))
			}
		}
	}
	return created
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func checkExportKey(req request, k catalog.ExportKey) *catalog.Refusal {
	if r := req.checkOwner("datacenter", k.Datacenter); r != nil {
		return r
	}
	return k.Check()
}

// deleteExports removes exports and their endpoint slices.
func (w *writer) deleteExports(req request, body *catalogpb.DeleteExports) (catalog.Result, *catalog.Refusal) {
	if r := checkOwners(req, "exports", body.GetExports()); r != nil {
		return catalog.Result{}, r
	}
	for _, p := range body.GetExports() {
		k := catalog.ExportKeyFromProto(p)
		e := export(w.txn, k)
		if e == nil {
			continue
		}
		remove(w.txn, tableExports, e)
		removeAll[catalog.EndpointSlice](w.txn, tableEndpoints, indexID, string(k.Datacenter), k.Namespace, k.Name)
	}
	return catalog.Result{}, nil
}
