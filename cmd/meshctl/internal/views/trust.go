package views

import (
	"cmp"
	"strings"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
)

// Trust is the document of trust show.
type Trust struct {
	Datacenters []TrustedDatacenter `json:"datacenters"`
}

// TrustedDatacenter is a datacenter whose CA the gateway remembers.
type TrustedDatacenter struct {
	Name               string   `json:"name"`
	Fingerprint        string   `json:"fingerprint"`                  // of the CA that is trusted
	CatalogFingerprint string   `json:"catalogFingerprint,omitempty"` // absent: the datacenter is not in the catalog
	State              string   `json:"state"`                        // signed, unsigned, broken or absent
	Version            uint64   `json:"version,omitempty"`            // of the newest signed record
	UnsignedGateways   []string `json:"unsignedGateways"`
}

// AcceptedTrust is the document of trust accept.
type AcceptedTrust struct {
	Datacenter        string `json:"datacenter"`
	Fingerprint       string `json:"fingerprint"`
	FormerFingerprint string `json:"formerFingerprint,omitempty"`
}

// NewTrust returns the document of a response.
func NewTrust(r *controlpb.ShowTrustResponse) Trust {
	view := Trust{Datacenters: []TrustedDatacenter{}}
	for _, dc := range r.GetDatacenters() {
		view.Datacenters = append(view.Datacenters, TrustedDatacenter{
			Name: dc.GetName(), Fingerprint: dc.GetFingerprint(), CatalogFingerprint: dc.GetCatalogFingerprint(),
			State: trustState(dc), Version: dc.GetVersion(), UnsignedGateways: append([]string{}, dc.GetUnsignedGateways()...),
		})
	}
	return view
}

func trustState(dc *controlpb.TrustedDatacenter) string {
	switch {
	case dc.GetCatalogFingerprint() == "":
		return "absent"
	case dc.GetCatalogFingerprint() != dc.GetFingerprint():
		return "broken"
	case !dc.GetSigned() || len(dc.GetUnsignedGateways()) > 0:
		return "unsigned"
	}
	return "signed"
}

// TrustTable returns one row for each datacenter.
func TrustTable(datacenters []TrustedDatacenter) human.Table {
	table := human.Table{Columns: []human.Column{
		{Title: "DATACENTER", Min: 10}, {Title: "STATE"}, {Title: "FINGERPRINT", Min: 64}, {Title: "UNSIGNED", Drop: 1},
	}}
	for _, dc := range datacenters {
		color := human.Dim
		switch dc.State {
		case "signed":
			color = human.Good
		case "broken":
			color = human.Bad
		}
		table.Rows = append(table.Rows, []human.Cell{
			{Text: dc.Name}, {Text: dc.State, Color: color}, {Text: dc.Fingerprint}, {Text: cmp.Or(strings.Join(dc.UnsignedGateways, ", "), "-")},
		})
	}
	return table
}
