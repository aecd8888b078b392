package replica

import "github.com/meshway/meshway/consensus/catalog"

// readAll parses and checks the records of a command, of which all are written or none. It
// returns why the first one that is refused is.
func readAll[P, T any](field string, list []P, parse func(P) (T, error), check func(*T) *catalog.Refusal) ([]*T, *catalog.Refusal) {
	records := make([]*T, 0, len(list))
	for i, p := range list {
		record, err := parse(p)
		if err != nil {
			return nil, catalog.AsRefusal(err).In(catalog.At(field, i))
		}
		if r := check(&record); r != nil {
			return nil, r.In(catalog.At(field, i))
		}
		records = append(records, &record)
	}
	return records, nil
}

// checkOwners returns why the author of a command must not delete the records that it names,
// or nil.
func checkOwners[P interface{ GetDatacenter() string }](req request, field string, list []P) *catalog.Refusal {
	for i, p := range list {
		if r := req.checkOwner("datacenter", catalog.DatacenterName(p.GetDatacenter())); r != nil {
			return r.In(catalog.At(field, i))
		}
	}
	return nil
}
