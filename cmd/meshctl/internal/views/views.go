package views

import (
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meshway/meshway/agent/build"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/status"
	"github.com/meshway/meshway/cmd/meshctl/internal/human"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
)

// Version is the document of version.
type Version struct {
	Client build.Info  `json:"client"`
	Server *build.Info `json:"server,omitempty"`
}

// Federation is a federation without its members.
type Federation struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Overlay   string    `json:"overlay"`
	CreatedAt time.Time `json:"createdAt,omitzero"`
}

// Init is the document of init.
type Init struct {
	Federation     Federation `json:"federation"`
	Gateway        string     `json:"gateway"`
	OverlayAddress string     `json:"overlayAddress"`
}

// CreatedToken is the document of token create.
type CreatedToken struct {
	Token     string    `json:"token"` // a secret
	ID        string    `json:"id"`
	ExpiresAt time.Time `json:"expiresAt"`
	Endpoints []string  `json:"endpoints"`
}

// Freshness is how current a read was.
type Freshness struct {
	Index       uint64        `json:"index"`
	Leader      string        `json:"leader"`
	LastContact time.Duration `json:"lastContactNs"`
}

// Tokens is the document of token list.
type Tokens struct {
	Freshness Freshness `json:"freshness"`
	Tokens    []Token   `json:"tokens"`
}

// Token is a join token without its secret.
type Token struct {
	ID         string    `json:"id"`
	State      string    `json:"state"` // valid, used, expired, revoked
	Datacenter string    `json:"datacenter,omitempty"`
	CreatedBy  string    `json:"createdBy"`
	CreatedAt  time.Time `json:"createdAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
	UsedBy     string    `json:"usedBy,omitempty"`
	UsedAt     time.Time `json:"usedAt,omitzero"`
}

// Steps is the document of the commands that report steps.
type Steps struct {
	Steps []Step `json:"steps"`
}

// Step is a step that is done.
type Step struct {
	Step    string        `json:"step"`
	Message string        `json:"message"`
	Took    time.Duration `json:"tookNs"`
}

// Members is the document of members.
type Members struct {
	Federation  *status.Federation  `json:"federation,omitempty"`
	Datacenters []status.Datacenter `json:"datacenters"`
}

// Services is the document of services.
type Services struct {
	Freshness Freshness         `json:"freshness"`
	Services  []Service         `json:"services"`
	Exports   []ExportedService `json:"exports"`
}

// ExportedService is a service that a Kubernetes cluster exports.
type ExportedService struct {
	Datacenter string            `json:"datacenter"`
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	Type       string            `json:"type"` // ClusterSetIP or Headless
	Ports      []Port            `json:"ports"`
	Endpoints  uint32            `json:"endpoints"`
	Ready      uint32            `json:"readyEndpoints"`
	Labels     map[string]string `json:"labels,omitempty"`
	Index      uint64            `json:"modifiedIndex"`
}

// Service is a registered service.
type Service struct {
	Datacenter string            `json:"datacenter"`
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	Instance   string            `json:"instance"`
	Owner      string            `json:"owner"`
	Address    string            `json:"address"`
	Ports      []Port            `json:"ports"`
	Labels     map[string]string `json:"labels,omitempty"`
	Index      uint64            `json:"modifiedIndex"`
}

// Port is a port of a service.
type Port struct {
	Name     string `json:"name,omitempty"`
	Port     uint32 `json:"port"`
	Protocol string `json:"protocol"`
}

// Registered is the document of service register.
type Registered struct {
	Index  uint64 `json:"index"`
	Queued bool   `json:"queued"`
}

// Deregistered is the document of service deregister.
type Deregistered struct {
	Removed uint32 `json:"removed"`
	Queued  bool   `json:"queued"`
}

// Saved is the document of snapshot save.
type Saved struct {
	File  string `json:"file"`
	Index uint64 `json:"index"`
	Bytes int    `json:"bytes"`
}

// Restored is the document of snapshot restore.
type Restored struct {
	Index uint64 `json:"index"`
}

// RestorePlan is the document of snapshot restore --dry-run.
type RestorePlan struct {
	Changes []RestoreChange `json:"changes"`
}

// RestoreChange is what a restore changes of one member or kind of records.
type RestoreChange struct {
	Subject string `json:"subject"`
	What    string `json:"what"`
}

// NewRestorePlan returns the document of a response.
func NewRestorePlan(r *controlpb.PlanRestoreResponse) RestorePlan {
	p := RestorePlan{Changes: make([]RestoreChange, 0, len(r.GetChanges()))}
	for _, c := range r.GetChanges() {
		p.Changes = append(p.Changes, RestoreChange{Subject: c.GetSubject(), What: c.GetWhat()})
	}
	return p
}

// Table writes one line for each change.
func (p RestorePlan) Table(w io.Writer) error {
	if len(p.Changes) == 0 {
		_, err := fmt.Fprintln(w, "the snapshot changes no member")
		return err
	}
	for _, c := range p.Changes {
		if _, err := fmt.Fprintf(w, "%s: %s\n", human.Clean(c.Subject), human.Clean(c.What)); err != nil {
			return err
		}
	}
	return nil
}

// Peers is the document of raft list-peers.
type Peers struct {
	Freshness Freshness `json:"freshness"`
	Peers     []Peer    `json:"peers"`
}

// Peer is a Raft member.
type Peer struct {
	ID          string         `json:"id"`
	Address     string         `json:"address"`
	Suffrage    string         `json:"suffrage"`
	Leader      bool           `json:"leader"`
	Healthy     bool           `json:"healthy"`
	LastContact *time.Duration `json:"lastContactNs,omitempty"` // set on the leader only
	LastIndex   uint64         `json:"lastIndex"`
}

// Done is the output of commands without another result.
type Done struct {
	Done bool `json:"done"`
}

func newFreshness(f *controlpb.Freshness) Freshness {
	return Freshness{
		Index:       f.GetIndex(),
		Leader:      f.GetLeader(),
		LastContact: f.GetLastContact().AsDuration(),
	}
}

// NewTokens returns the document of an answer; now decides which tokens are expired.
func NewTokens(r *controlpb.ListTokensResponse, now time.Time) Tokens {
	view := Tokens{Freshness: newFreshness(r.GetFreshness()), Tokens: []Token{}}
	for _, token := range r.GetTokens() {
		view.Tokens = append(view.Tokens, listedToken(token, now))
	}
	return view
}

func listedToken(t *catalogpb.Token, now time.Time) Token {
	view := Token{
		ID:         t.GetId(),
		Datacenter: t.GetDatacenter(),
		CreatedBy:  t.GetCreatedBy(),
		CreatedAt:  TimeOf(t.GetCreatedAt()),
		ExpiresAt:  TimeOf(t.GetExpiresAt()),
		UsedBy:     t.GetUsedBy(),
		UsedAt:     TimeOf(t.GetUsedAt()),
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

// NewServices returns the document of an answer.
func NewServices(r *controlpb.ListServicesResponse) Services {
	view := Services{Freshness: newFreshness(r.GetFreshness()), Services: []Service{}, Exports: []ExportedService{}}
	for _, e := range r.GetExports() {
		view.Exports = append(view.Exports, newExportedService(e))
	}
	for _, s := range r.GetServices() {
		service := Service{
			Datacenter: s.GetDatacenter(),
			Namespace:  s.GetNamespace(),
			Name:       s.GetName(),
			Instance:   s.GetInstance(),
			Owner:      s.GetOwner(),
			Address:    s.GetAddress(),
			Ports:      []Port{},
			Labels:     s.GetLabels(),
			Index:      s.GetModifiedIndex(),
		}
		for _, p := range s.GetPorts() {
			service.Ports = append(service.Ports, Port{
				Name:     p.GetName(),
				Port:     p.GetNumber(),
				Protocol: p.GetProtocol(),
			})
		}
		view.Services = append(view.Services, service)
	}
	return view
}

func newExportedService(e *controlpb.ExportedService) ExportedService {
	exported := ExportedService{
		Datacenter: e.GetExport().GetDatacenter(),
		Namespace:  e.GetExport().GetNamespace(),
		Name:       e.GetExport().GetName(),
		Type:       e.GetExport().GetType(),
		Ports:      []Port{},
		Endpoints:  e.GetEndpoints(),
		Ready:      e.GetReady(),
		Labels:     e.GetExport().GetLabels(),
		Index:      e.GetExport().GetModifiedIndex(),
	}
	for _, p := range e.GetExport().GetPorts() {
		exported.Ports = append(exported.Ports, Port{Name: p.GetName(), Port: p.GetNumber(), Protocol: p.GetProtocol()})
	}
	return exported
}

// NewPeers returns the document of an answer.
func NewPeers(r *controlpb.ListPeersResponse) Peers {
	view := Peers{Freshness: newFreshness(r.GetFreshness()), Peers: []Peer{}}
	for _, p := range r.GetPeers() {
		view.Peers = append(view.Peers, Peer{
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

// TimeOf returns the zero time for nil, for which AsTime returns 1970.
func TimeOf(t *timestamppb.Timestamp) time.Time {
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
