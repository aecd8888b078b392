package membership

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/raftnode"
)

// seedFile holds the catalog as the admitting gateway sent it, until raft has
// sent it too. It is in the directory of raft, so that it is removed with it.
const seedFile = "join.snapshot"

// admission obtains, opens and forgets the membership of one gateway on this
// host. It does not run a membership.
type admission struct {
	file    config.Config
	store   *identity.Store
	sockets func(overlay func() netip.Prefix) control.Sockets
	log     *slog.Logger
}

// current returns the stored membership of this gateway; false: it has none.
func (a *admission) current() (identity.Membership, bool, error) {
	stored, ok, err := a.store.Membership()
	if err != nil || !ok {
		return identity.Membership{}, false, err
	}
	if err := a.store.Check(stored, a.file.Datacenter, a.file.Gateway); err != nil {
		return identity.Membership{}, false, err
	}
	has, err := raftnode.HasState(a.store.RaftDir())
	if err != nil {
		return identity.Membership{}, false, err
	}
	if _, err := os.Stat(a.seedPath()); !has && errors.Is(err, os.ErrNotExist) {
		return identity.Membership{}, false, fmt.Errorf("the gateway is a member of federation %s, but its catalog in %s is missing: "+
			"restore the directory, or leave with meshd uninstall --force and join again", stored.FederationName, a.store.RaftDir())
	}
	return stored, true, nil
}

// init creates a federation with this datacenter. The membership is stored
// last, so that an interrupted init has no effect.
func (a *admission) init(ctx context.Context, options InitOptions, request JoinRequest) error {
	overlay := options.Overlay
	if !overlay.IsValid() {
		var err error
		if overlay, err = randomULA(); err != nil {
			return err
		}
	}
	ca, err := a.store.CA(a.file.Datacenter, time.Now())
	if err != nil {
		return err
	}
	if err := a.store.DiscardRaft(); err != nil {
		return err
	}
	federation := catalog.Federation{
		ID: uuid.NewString(), Name: options.Name, Overlay: overlay, CreatedAt: time.Now().UTC().Truncate(time.Second),
	}
	datacenter := catalog.Datacenter{
		Name: a.file.Datacenter, CACertificate: ca.Certificate(), Prefixes: request.Prefixes,
		JoinedAt: federation.CreatedAt,
	}
	gateway, err := a.bootstrap(ctx, federation, datacenter, request.Gateway)
	if err != nil {
		return errors.Join(err, a.store.DiscardRaft())
	}
	return a.store.SaveMembership(a.membership(federation, gateway))
}

// bootstrap runs the new catalog, with this gateway only, until it contains its
// first command.
func (a *admission) bootstrap(ctx context.Context, f catalog.Federation, dc catalog.Datacenter, g catalog.Gateway) (catalog.Gateway, error) {
	member, err := a.openMember(f.ID, func() netip.Prefix { return f.Overlay })
	if err != nil {
		return catalog.Gateway{}, err
	}
	if err := errors.Join(member.port.Listen(ctx), member.node.Bootstrap()); err != nil {
		return catalog.Gateway{}, errors.Join(err, member.close())
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- member.Run(running) }()
	results, err := member.Propose(ctx, catalog.NewInit(f, dc, g))
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		return catalog.Gateway{}, fmt.Errorf("initialize the federation: %w", err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return catalog.Gateway{}, refusal
	}
	return results[0].Gateway, nil
}

// join requests that the federation of the token admits this datacenter. A
// refusal is a *catalog.Refusal and changes nothing on either side.
func (a *admission) join(ctx context.Context, text string, request JoinRequest, progress Progress) error {
	token, err := identity.ParseToken(text)
	if err != nil {
		return err
	}
	ca, err := a.store.CA(a.file.Datacenter, time.Now())
	if err != nil {
		return err
	}
	sockets := a.sockets(nil)
	if err := a.checkControlPort(ctx, sockets); err != nil {
		return err
	}
	joiner := control.Joiner{CA: ca, Sockets: sockets, Sentinels: Sentinels(), Progress: progress}
	response, err := joiner.Join(ctx, token, &controlpb.JoinRequest{
		Datacenter: catalog.Datacenter{Prefixes: request.Prefixes}.Proto(),
		Gateway:    request.Gateway.Proto(),
	})
	if err != nil {
		return err
	}
	return a.admitted(response, progress)
}

// checkControlPort reports a control port that is in use before anything
// changes.
func (a *admission) checkControlPort(ctx context.Context, sockets control.Sockets) error {
	listener, err := sockets.Listen(ctx, a.file.Control.Listen, control.Underlay)
	if err != nil {
		return fmt.Errorf("control.listen: %w", err)
	}
	return listener.Close()
}

// admitted stores the membership and the catalog of the response.
func (a *admission) admitted(response *controlpb.JoinResponse, progress Progress) error {
	result, err := catalog.ResultFromProto(response.GetResult())
	if err != nil {
		return fmt.Errorf("read the response of the federation: %w", err)
	}
	if result.Refusal != nil {
		return result.Refusal
	}
	state, err := catalog.Decode(bytes.NewReader(response.GetSnapshot()))
	if err != nil {
		return fmt.Errorf("read the catalog of the federation: %w", err)
	}
	federation, ok := state.View().Federation()
	if !ok {
		return errors.New("read the catalog of the federation: it is empty")
	}
	if err := a.store.DiscardRaft(); err != nil {
		return err
	}
	if err := a.saveSeed(response.GetSnapshot()); err != nil {
		return err
	}
	if err := a.store.SaveMembership(a.membership(federation, result.Gateway)); err != nil {
		return err
	}
	progress("admitted", fmt.Sprintf("admitted to federation %s as %s, overlay address %s",
		federation.Name, result.Gateway.ID(), result.Gateway.Overlay))
	return nil
}

func (a *admission) membership(f catalog.Federation, g catalog.Gateway) identity.Membership {
	return identity.Membership{
		FederationID: f.ID, FederationName: f.Name, Datacenter: a.file.Datacenter, Gateway: a.file.Gateway,
		Overlay: f.Overlay, OverlayAddress: g.Overlay,
	}
}

// open returns the member that the stored membership describes, not running
// yet.
func (a *admission) open() (*Member, error) {
	stored, ok, err := a.store.Membership()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("open the membership: this gateway has none")
	}
	member, err := a.openMember(stored.FederationID, func() netip.Prefix { return stored.Overlay })
	if err != nil {
		return nil, err
	}
	if err := a.seed(member.node); err != nil {
		return nil, errors.Join(err, member.close())
	}
	member.port.SetOverlay(stored.OverlayAddress)
	return member, nil
}

func (a *admission) openMember(federationID string, overlay func() netip.Prefix) (*Member, error) {
	ca, err := a.store.CA(a.file.Datacenter, time.Now())
	if err != nil {
		return nil, err
	}
	certifier := identity.NewCertifier(ca, a.file.Gateway, nil)
	certifier.SetFederation(federationID)
	return openMember(memberConfig{
		file: a.file, federationID: federationID, dir: a.store.RaftDir(), certifier: certifier,
		sockets: a.sockets(overlay), log: a.log,
	})
}

// forget removes the membership and the local copy of the catalog.
func (a *admission) forget() error { return a.store.ClearMembership() }

func (a *admission) seedPath() string { return filepath.Join(a.store.RaftDir(), seedFile) }

func (a *admission) saveSeed(snapshot []byte) error {
	if err := os.MkdirAll(a.store.RaftDir(), 0o700); err != nil {
		return fmt.Errorf("store the catalog of the federation: %w", err)
	}
	if err := os.WriteFile(a.seedPath(), snapshot, 0o600); err != nil {
		return fmt.Errorf("store the catalog of the federation: %w", err)
	}
	return nil
}

// seed initializes the catalog of a gateway that was just admitted with the copy
// that the admitting gateway sent, if there is one.
func (a *admission) seed(node *raftnode.Node) error {
	data, err := os.ReadFile(a.seedPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the catalog of the federation: %w", err)
	}
	state, err := catalog.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the copy of the catalog in %s is corrupt: %w: leave with meshd uninstall --force and join again", a.seedPath(), err)
	}
	return node.Seed(state.View())
}

// randomULA returns a random unique local /48 (RFC 4193, section 3.2).
func randomULA() (netip.Prefix, error) {
	addr := [16]byte{0: 0xfd}
	if _, err := rand.Read(addr[1:6]); err != nil {
		return netip.Prefix{}, fmt.Errorf("choose an overlay prefix: %w", err)
	}
	return netip.PrefixFrom(netip.AddrFrom16(addr), 48), nil
}
