package inventory

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/meshway/meshway/agent"
	"github.com/meshway/meshway/agent/kube"
	"github.com/meshway/meshway/agent/plan"
	"github.com/meshway/meshway/agent/wake"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/tunnel"
)

// ReaderConfig is what a Reader needs.
type ReaderConfig struct {
	Client dynamic.Interface
	Dir    string // keeps what was read last
	Log    *slog.Logger
}

// Reader tells a node of the federation, from the Datacenter objects.
type Reader struct {
	cfg    ReaderConfig
	source *kube.Source
	cache  kube.CacheFile[plan.Inventory]
	wake   wake.One
	latest wake.Latest[readerState]
}

// readerState is what a Reader knows.
type readerState struct {
	inventory plan.Inventory
	synced    bool // the API server has said so since the start
}

var _ agent.Inventory = (*Reader)(nil)

// NewReader knows already what an earlier one read.
func NewReader(cfg ReaderConfig) (*Reader, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Reader{
		cfg: cfg, wake: wake.NewOne(),
		cache: kube.CacheFile[plan.Inventory]{Path: filepath.Join(cfg.Dir, "inventory.json")},
	}
	last, _ := r.cache.Load()
	r.latest.Set(readerState{inventory: last})
	var err error
	r.source, err = kube.NewObjects(cfg.Client, Resource(), "", r.wake)
	return r, err
}

// Run reads until ctx ends.
func (r *Reader) Run(ctx context.Context) error {
	defer r.source.Start(ctx)()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
			r.refresh()
		}
	}
}

func (r *Reader) refresh() {
	if err := r.source.Refusal(); err != nil {
		r.cfg.Log.Warn("the inventory of the cluster cannot be read", "err", err,
			"remedy", "install the CRD of datacenters.meshway.io, and give the service account the right to get, list and watch it")
	}
	if !r.source.Synced() {
		return
	}
	var objects []Datacenter
	for _, object := range kube.Items[*unstructured.Unstructured](r.source) {
		dc, err := Decode(object.Object)
		if err != nil {
			r.cfg.Log.Warn("a datacenter cannot be read", "name", object.GetName(), "err", err)
			continue
		}
		objects = append(objects, dc)
	}
	now := ToInventory(objects)
	if !r.latest.Set(readerState{inventory: now, synced: true}) {
		return
	}
	if err := r.cache.Save(now); err != nil {
		r.cfg.Log.Warn("the next start will depend on the API server", "err", err)
	}
}

// Current implements agent.Inventory.
func (r *Reader) Current() (plan.Inventory, bool) {
	latest := r.latest.Get()
	return latest.inventory, latest.synced
}

// Changed implements agent.Inventory.
func (r *Reader) Changed() <-chan struct{} { return r.latest.Changed() }

// ToInventory takes from the objects what a node needs. It is sorted. An object
// without status is one that is just being made: it is left out.
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
				own.PublicKey, _ = tunnel.ParsePublicKey(t.Tunnel.PublicKey) // the planner takes zero for none
				own.Port = uint16(t.Tunnel.Port)                             //nolint:gosec // the CRD bounds it
			}
		}
		if g.Reachable { // else it has never told of itself, or is gone
			out = append(out, own)
		}
	}
	return out
}
