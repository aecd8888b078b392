package main

import (
	"time"

	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The views are what -o json and -o yaml print. They are stable: fields are
// only added. Times are RFC 3339, durations nanoseconds (…Ns). The outputs of
// status and routes are agent/status.Snapshot and agent/status.RoutesReport,
// as meshd sends them.

type versionView struct {
	Client buildView  `json:"client"`
	Server *buildView `json:"server,omitempty"`
}

type buildView struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

type federationView struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Overlay   string    `json:"overlay"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
}

type initView struct {
	Federation     federationView `json:"federation"`
	Gateway        string         `json:"gateway"`
	OverlayAddress string         `json:"overlayAddress"`
}

type createdTokenView struct {
	Token     string    `json:"token"` // a secret
	ID        string    `json:"id"`
	ExpiresAt time.Time `json:"expiresAt"`
	Endpoints []string  `json:"endpoints"`
}

type freshnessView struct {
	Index       uint64        `json:"index"`
	Leader      string        `json:"leader"`
	LastContact time.Duration `json:"lastContactNs"`
}

type tokensView struct {
	Freshness freshnessView `json:"freshness"`
	Tokens    []tokenView   `json:"tokens"`
}

type tokenView struct {
	ID         string    `json:"id"`
	State      string    `json:"state"` // valid, used, expired, revoked
	Datacenter string    `json:"datacenter,omitempty"`
	CreatedBy  string    `json:"createdBy"`
	CreatedAt  time.Time `json:"createdAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
	UsedBy     string    `json:"usedBy,omitempty"`
	UsedAt     time.Time `json:"usedAt,omitzero"`
}

type stepsView struct {
	Steps []stepView `json:"steps"`
}

type stepView struct {
	Step    string        `json:"step"`
	Message string        `json:"message"`
	Took    time.Duration `json:"tookNs"`
}

type membersView struct {
	Federation  *status.Federation  `json:"federation,omitempty"`
	Datacenters []status.Datacenter `json:"datacenters"`
}

type servicesView struct {
	Freshness freshnessView `json:"freshness"`
	Services  []serviceView `json:"services"`
}

type serviceView struct {
	Datacenter string            `json:"datacenter"`
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	Instance   string            `json:"instance"`
	Owner      string            `json:"owner"`
	Address    string            `json:"address"`
	Ports      []portView        `json:"ports"`
	Labels     map[string]string `json:"labels,omitempty"`
	Index      uint64            `json:"modifiedIndex"`
}

type portView struct {
	Name     string `json:"name,omitempty"`
	Port     uint32 `json:"port"`
	Protocol string `json:"protocol"`
}

type registeredView struct {
	Index  uint64 `json:"index"`
	Queued bool   `json:"queued"`
}

type deregisteredView struct {
	Removed uint32 `json:"removed"`
	Queued  bool   `json:"queued"`
}

type savedView struct {
	File  string `json:"file"`
	Index uint64 `json:"index"`
	Bytes int    `json:"bytes"`
}

type restoredView struct {
	Index uint64 `json:"index"`
}

type peersView struct {
	Freshness freshnessView `json:"freshness"`
	Peers     []peerView    `json:"peers"`
}

type peerView struct {
	ID          string         `json:"id"`
	Address     string         `json:"address"`
	Suffrage    string         `json:"suffrage"`
	Leader      bool           `json:"leader"`
	Healthy     bool           `json:"healthy"`
	LastContact *time.Duration `json:"lastContactNs,omitempty"` // set on the leader only
	LastIndex   uint64         `json:"lastIndex"`
}

// doneView is the output of commands without another result.
type doneView struct {
	Done bool `json:"done"`
}

func newFreshnessView(f *controlpb.Freshness) freshnessView {
	return freshnessView{
		Index:       f.GetIndex(),
		Leader:      f.GetLeader(),
		LastContact: f.GetLastContact().AsDuration(),
	}
}

func newTokensView(r *controlpb.ListTokensResponse, now time.Time) tokensView {
	view := tokensView{Freshness: newFreshnessView(r.GetFreshness()), Tokens: []tokenView{}}
	for _, token := range r.GetTokens() {
		view.Tokens = append(view.Tokens, listedToken(token, now))
	}
	return view
}

func listedToken(t *catalogpb.Token, now time.Time) tokenView {
	view := tokenView{
		ID:         t.GetId(),
		Datacenter: t.GetDatacenter(),
		CreatedBy:  t.GetCreatedBy(),
		CreatedAt:  timeOf(t.GetCreatedAt()),
		ExpiresAt:  timeOf(t.GetExpiresAt()),
		UsedBy:     t.GetUsedBy(),
		UsedAt:     timeOf(t.GetUsedAt()),
	}
	switch {
	case view.UsedBy != "":
		view.State = "used"
	case t.GetRevoked():
		view.State = "revoked"
	case !view.ExpiresAt.After(now):
		view.State = "expired"
	default:
		view.State = "valid"
	}
	return view
}

func newServicesView(r *controlpb.ListServicesResponse) servicesView {
	view := servicesView{Freshness: newFreshnessView(r.GetFreshness()), Services: []serviceView{}}
	for _, s := range r.GetServices() {
		service := serviceView{
			Datacenter: s.GetDatacenter(),
			Namespace:  s.GetNamespace(),
			Name:       s.GetName(),
			Instance:   s.GetInstance(),
			Owner:      s.GetOwner(),
			Address:    s.GetAddress(),
			Ports:      []portView{},
			Labels:     s.GetLabels(),
			Index:      s.GetModifiedIndex(),
		}
		for _, p := range s.GetPorts() {
			service.Ports = append(service.Ports, portView{
				Name:     p.GetName(),
				Port:     p.GetNumber(),
				Protocol: p.GetProtocol(),
			})
		}
		view.Services = append(view.Services, service)
	}
	return view
}

func newPeersView(r *controlpb.ListPeersResponse) peersView {
	view := peersView{Freshness: newFreshnessView(r.GetFreshness()), Peers: []peerView{}}
	for _, p := range r.GetPeers() {
		view.Peers = append(view.Peers, peerView{
			ID:          p.GetId(),
			Address:     p.GetAddress(),
			Suffrage:    p.GetSuffrage(),
			Leader:      p.GetLeader(),
			Healthy:     p.GetHealthy(),
			LastContact: durationOf(p.GetLastContact()),
			LastIndex:   p.GetLastIndex(),
		})
	}
	return view
}

// timeOf returns the zero time for nil, for which AsTime returns 1970.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func durationOf(d *durationpb.Duration) *time.Duration {
	if d == nil {
		return nil
	}
	duration := d.AsDuration()
	return &duration
}
