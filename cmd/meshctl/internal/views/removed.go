package views

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// RemovedDatacenter lists what a removal has released.
type RemovedDatacenter struct {
	Datacenter string   `json:"datacenter"`
	Prefixes   []string `json:"prefixes"` // CIDRs
	Gateways   []string `json:"gateways"` // ids
	Index      uint64   `json:"index"`
}

// NewRemovedDatacenter returns the document of an answer.
func NewRemovedDatacenter(r *controlpb.RemoveDatacenterResponse) RemovedDatacenter {
	view := RemovedDatacenter{
		Datacenter: r.GetDatacenter().GetName(),
		Index:      r.GetIndex(),
		Prefixes:   []string{},
		Gateways:   append([]string{}, r.GetGateways()...),
	}
	for _, p := range r.GetDatacenter().GetPrefixes() {
		view.Prefixes = append(view.Prefixes, p.GetCidr())
	}
	return view
}

// Table writes the document as a sentence.
func (v RemovedDatacenter) Table(w io.Writer) error {
	released := strings.Join(append([]string{"its name"}, v.Prefixes...), ", ")
	_, err := fmt.Fprintln(w, human.Clean(fmt.Sprintf("datacenter %s removed; released: %s; removed from Raft: %s",
		v.Datacenter, released, cmp.Or(strings.Join(v.Gateways, ", "), "no gateways"))))
	return err
}
