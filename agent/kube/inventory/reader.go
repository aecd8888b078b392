package inventory

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent/dataplane"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/notify"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/state"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

// ReaderConfig configures a Reader.
type ReaderConfig struct {
	Client dynamic.Interface
	Dir    string       // of the cache file
	Log    *slog.Logger // nil: discarded
}

// Reader derives the inventory of a node from the Datacenter objects.
type Reader struct {
	cfg     ReaderConfig
	objects *kube.Objects[Datacenter]
	cache   state.File[plan.Inventory]
	wake    notify.Signal
	latest  notify.Latest[readerState]
}

// readerState is the last inventory and its origin.
type readerState struct {
	inventory plan.Inventory
	synced    bool // from the API server, not from the cache file
}

var _ dataplane.Inventory = (*Reader)(nil)

// NewReader returns a reader that has the inventory of the cache file until it runs.
func NewReader(cfg ReaderConfig) (*Reader, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reader{
		cfg:   cfg,
		cache: state.File[plan.Inventory]{Path: filepath.Join(cfg.Dir, "inventory.json"), What: "cached Datacenter objects"},
		wake:  notify.NewSignal(),
	}
	if last, found, _ := r.cache.Load(); found {
		r.latest.Set(readerState{inventory: last})
	}
	var err error
	r.objects, err = kube.NewObjects(cfg.Client, Kind(), "", r.wake)
	return r, err
}

// Run reads until ctx ends.
func (r *Reader) Run(ctx context.Context) error {
	defer r.objects.Start(ctx)()
	notify.Loop(ctx, func(context.Context) time.Duration {
		r.refresh()
		return 0
	}, r.wake.Changed)
	return nil
}

func (r *Reader) refresh() {
	if err := r.objects.Refusal(); err != nil {
		r.cfg.Log.Warn("failed to read the Datacenter objects of the cluster", "err", err,
			"remedy", "install the CRD of datacenters.meshway.io, and grant the service account the right to get, list and watch it")
	}
	if !r.objects.Synced() {
		return
	}
	datacenters, err := r.objects.List()
	if err != nil {
		r.cfg.Log.Warn("failed to decode Datacenter objects", "err", err)
	}
	now := ToInventory(slices.Collect(maps.Values(datacenters)))
	if !r.latest.Set(readerState{inventory: now, synced: true}) {
		return
	}
	if err := r.cache.Save(now); err != nil {
		r.cfg.Log.Warn("failed to cache the Datacenter objects; the next start needs the API server", "err", err)
	}
}

// Current implements dataplane.Inventory.
func (r *Reader) Current() (plan.Inventory, bool) {
	latest := r.latest.Get()
	return latest.inventory, latest.synced
}

// Changed implements dataplane.Inventory.
func (r *Reader) Changed() <-chan struct{} { return r.latest.Changed() }

// ToInventory converts Datacenter objects to the inventory of a node, with sorted
// members. It ignores objects without an entry in status.through: they have just
// been created.
func ToInventory(objects []Datacenter) plan.Inventory {
	var out plan.Inventory
	for _, dc := range objects {
		if len(dc.Status.Through) == 0 {
			continue
		}
		if overlay, err := netip.ParsePrefix(dc.Status.Overlay); err == nil {
			out.Overlay = overlay.Masked()
		}
		out.Members = append(out.Members, memberOf(dc))
		if dc.Status.Self {
			out.Gateways = append(out.Gateways, gatewaysOf(dc)...)
			if c := meta.FindStatusCondition(dc.Status.Conditions, ConditionReady); c != nil && c.Reason == ReasonDeparted {
				out.Left = dc.Status.Federation
			}
		}
	}
	slices.SortFunc(out.Members, func(a, b plan.Member) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func memberOf(dc Datacenter) plan.Member {
	m := plan.Member{Name: catalog.DatacenterName(dc.Name), Ordinal: uint32(max(0, dc.Status.Ordinal))} //nolint:gosec // the planner refuses what is too large
	for _, p := range dc.Status.Prefixes {
		if cidr, err := netip.ParsePrefix(p.CIDR); err == nil {
			m.Prefixes = append(m.Prefixes, catalog.Prefix{CIDR: cidr, Kind: catalog.PrefixKind(p.Kind)})
		}
	}
	for _, t := range dc.Status.Through {
		if slices.ContainsFunc(t.Peers, func(p Peer) bool { return p.Reachable }) {
			m.Through = append(m.Through, t.Gateway)
		}
	}
	return m
}

func gatewaysOf(dc Datacenter) []plan.OwnGateway {
	var out []plan.OwnGateway
	for _, g := range dc.Status.Gateways {
		own := plan.OwnGateway{Name: g.Name, Index: uint32(max(0, g.Index))} //nolint:gosec // the planner refuses what is too large
		for _, ip := range g.NodeIPs {
			if a, err := netip.ParseAddr(ip); err == nil {
				own.Addresses = append(own.Addresses, a)
			}
		}
		for _, t := range dc.Status.Through {
			if t.Gateway == g.Name && t.Tunnel != nil {
				own.PublicKey, _ = tunnel.ParsePublicKey(t.Tunnel.PublicKey) // zero for the planner: no key
				own.Port = uint16(t.Tunnel.Port)                             //nolint:gosec // the CRD bounds it
			}
		}
		if g.Reachable { // else it has no entry in status.through
			out = append(out, own)
		}
	}
	return out
}
