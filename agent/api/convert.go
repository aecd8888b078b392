package api

import (
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/feed"
)

const defaultNamespace = "default"

// selection is the part of a request that selects services.
type selection interface {
	GetNamespace() string
	GetName() string
	GetDatacenter() string
	GetLabels() string
}

func filterOf(r selection) (feed.Filter, error) {
	labels, err := feed.ParseSelector(r.GetLabels())
	if err != nil {
		return feed.Filter{}, invalid("labels", err.Error(), "write requirements such as app=web,tier!=back,zone,!old")
	}
	return feed.Filter{
		Namespace: r.GetNamespace(), Name: r.GetName(),
		Datacenter: catalog.DatacenterName(r.GetDatacenter()), Labels: labels,
	}, nil
}

func modeOf(text string) (consensus.ReadMode, error) {
	switch text {
	case "", "lease":
		return consensus.LeaseRead, nil
	case "consistent":
		return consensus.ConsistentRead, nil
	case "stale":
		return consensus.StaleRead, nil
	}
	return 0, invalid("read", fmt.Sprintf("%q is not a read mode", text), "use lease, consistent or stale")
}

func freshness(f consensus.Freshness) *apipb.Freshness {
	p := &apipb.Freshness{Index: f.Index, Leader: string(f.Leader)}
	if f.LastContact >= 0 {
		p.Age = durationpb.New(f.LastContact)
	}
	return p
}

func itemProto(i *feed.Item) *apipb.Item {
	p := &apipb.Item{ModifiedIndex: i.ModifiedIndex()}
	if i.Service != nil {
		p.Kind = &apipb.Item_Service{Service: i.Service.Proto()}
		return p
	}
	exported := &apipb.ExportedService{Export: i.Export.Proto()}
	for _, s := range i.Export.Slices {
		exported.Slices = append(exported.Slices, s.Proto())
	}
	p.Kind = &apipb.Item_Export{Export: exported}
	return p
}

// changeProto returns the wire form of a change, which all watchers share.
func changeProto(c feed.Change) *apipb.Change {
	form := c.Form(func() any {
		item := c.After
		if c.Deleted {
			item = c.Before
		}
		return &apipb.Change{Deleted: c.Deleted, Item: itemProto(item)}
	})
	change, _ := form.(*apipb.Change)
	return change
}
