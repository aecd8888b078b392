package member

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/meshway/meshway/agent/config"
	"github.com/meshway/meshway/agent/control"
	"github.com/meshway/meshway/agent/control/controlpb"
	"github.com/meshway/meshway/agent/identity"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode"
)

// Admission obtains, opens and forgets the membership of one gateway on this
// host. It does not run a membership.
type Admission struct {
	File    config.Config
	Store   *identity.Store
	Sockets func(overlay func() netip.Prefix) control.Sockets
	Process Process // that runs the gateway
	// Refuse returns why this host cannot be in a federation with a datacenter
	// that requests admission, or nil.
	Refuse func(dc catalog.Datacenter, first catalog.Gateway) error
	Log    *slog.Logger
}

// copyAgain is the remedy for a gateway without its copy of the catalog. It gives up the
// membership only if the others can admit the gateway again.
const copyAgain = "run meshctl raft list-peers on another gateway, and only if it shows a leader, run meshd uninstall --force here and join again"

// Current returns the stored membership of this gateway; false: it has none.
func (a *Admission) Current() (identity.Membership, bool, error) {
	stored, ok, err := a.Store.Membership()
	if err != nil || !ok {
		return identity.Membership{}, false, err
	}
	if err := a.Store.Check(stored, a.File.Datacenter, a.File.Gateway); err != nil {
		return identity.Membership{}, false, err
	}
	has, err := raftnode.HasState(a.Store.RaftDir())
	if err != nil {
		return identity.Membership{}, false, err
	}
	if !has && !seedOf(a.Store.RaftDir()).exists() {
		return identity.Membership{}, false, fmt.Errorf("the gateway is a member of federation %s, but its catalog in %s is missing: "+
			"restore the directory; or %s", stored.FederationName, a.Store.RaftDir(), copyAgain)
	}
	return stored, true, nil
}

// Init creates a federation with this datacenter. The membership is stored
// last, so that an interrupted init has no effect.
func (a *Admission) Init(ctx context.Context, options InitOptions, request JoinRequest) error {
	overlay := options.Overlay
	if !overlay.IsValid() {
		var err error
		if overlay, err = randomULA(); err != nil {
			return err
		}
	}
	if err := request.CheckOverlay(overlay); err != nil {
		return err
	}
	ca, err := a.Store.CA(a.File.Datacenter, a.Store.Now())
	if err != nil {
		return err
	}
	if err := a.Store.DiscardRaft(); err != nil {
		return err
	}
	federation := catalog.Federation{
		ID: uuid.NewString(), Name: options.Name, Overlay: overlay, CreatedAt: time.Now().UTC().Truncate(time.Second),
	}
	datacenter := catalog.Datacenter{
		Name: a.File.Datacenter, CACertificate: ca.Certificate(), Prefixes: request.Prefixes,
		JoinedAt: federation.CreatedAt,
	}
	commands := []*catalogpb.Command{catalog.NewInit(federation, datacenter, request.Gateway)}
	if len(options.Allow) > 0 {
		commands = append(commands, catalog.NewAllowPrefixes(options.Allow))
	}
	gateway, err := a.bootstrap(ctx, federation, commands)
	if err != nil {
		return errors.Join(err, a.Store.DiscardRaft())
	}
	return a.Store.SaveMembership(a.membership(federation, gateway))
}

// bootstrap runs the new catalog, with this gateway only, until it contains its
// first commands. It returns the gateway that the first one has created.
func (a *Admission) bootstrap(ctx context.Context, f catalog.Federation, commands []*catalogpb.Command) (catalog.Gateway, error) {
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
	results, err := member.Propose(ctx, commands...)
	stop()
	if err := errors.Join(err, <-ended); err != nil {
		return catalog.Gateway{}, fmt.Errorf("initialize the federation: %w", err)
	}
	for _, result := range results {
		if result.Refusal != nil {
			return catalog.Gateway{}, result.Refusal
		}
	}
	return results[0].Gateway, nil
}

// Join requests that the federation of the token admits this datacenter. A
// refusal is a *catalog.Refusal and changes nothing on either side.
func (a *Admission) Join(ctx context.Context, text string, request JoinRequest, progress Progress) error {
	token, err := identity.ParseToken(text)
	if err != nil {
		return err
	}
	ca, err := a.Store.CA(a.File.Datacenter, a.Store.Now())
	if err != nil {
		return err
	}
	sockets := a.Sockets(nil)
	if err := a.checkControlPort(ctx, sockets); err != nil {
		return err
	}
	joiner := control.Joiner{CA: ca, Sockets: sockets, Sentinels: Sentinels(), Now: a.Store.Now, CheckOverlay: request.CheckOverlay, Progress: progress}
	response, err := joiner.Join(ctx, token, &controlpb.JoinRequest{
		Datacenter: catalog.Datacenter{Prefixes: request.Prefixes}.Proto(),
		Gateway:    request.Gateway.Proto(),
	})
	if err == nil {
		err = a.admitted(response, pinInviter(token.Pin), progress)
	}
	return remedyForLostDisk(err, a.File.Datacenter)
}

// remedyForLostDisk completes the refusal of a name that is taken: the name may be
// this datacenter's own, whose data directory is lost.
func remedyForLostDisk(err error, dc catalog.DatacenterName) error {
	var refusal *catalog.Refusal
	if !errors.As(err, &refusal) || refusal.Code != catalog.CodeNameTaken {
		return err
	}
	better := *refusal
	better.Remedy = fmt.Sprintf("choose another name; if that datacenter is this one, and its data directory is lost, run meshctl datacenter remove %s "+
		"in another datacenter, which refuses while the former one still answers, then join again", dc)
	return &better
}

// checkControlPort reports a control port that is in use before anything
// changes.
func (a *Admission) checkControlPort(ctx context.Context, sockets control.Sockets) error {
	listener, err := sockets.Listen(ctx, a.File.Control.Listen, control.Underlay)
	if err != nil {
		return fmt.Errorf("control.listen: %w", err)
	}
	return listener.Close()
}

// admitted stores the membership, the catalog of the response, and the pins and
// versions that the admitting gateway has seen, to which bind adds the pins that this
// gateway has from elsewhere.
func (a *Admission) admitted(response *controlpb.JoinResponse, bind binding, progress Progress) error {
	result, err := catalog.ResultFromProto(response.GetResult())
	if err != nil {
		return fmt.Errorf("read the response of the federation: %w", err)
	}
	if result.Refusal != nil {
		return result.Refusal
	}
	state, err := replica.Decode(bytes.NewReader(response.GetSnapshot()))
	if err != nil {
		return fmt.Errorf("read the catalog of the federation: %w", err)
	}
	federation, ok := state.View().Federation()
	if !ok {
		return errors.New("read the catalog of the federation: it is empty")
	}
	ledger, err := initialLedger(response.GetTrust(), state.View(), bind)
	if err != nil {
		return err
	}
	if err := a.Store.DiscardRaft(); err != nil {
		return err
	}
	if err := seedOf(a.Store.RaftDir()).save(response.GetSnapshot(), electorateOf(response.GetElectorate())); err != nil {
		return err
	}
	if err := ledgerFile(a.Store.RaftDir()).Save(ledger); err != nil {
		return err
	}
	if err := a.Store.SaveMembership(a.membership(federation, result.Gateway)); err != nil {
		return err
	}
	progress("admitted", fmt.Sprintf("admitted to federation %s as %s, overlay address %s",
		federation.Name, result.Gateway.ID(), result.Gateway.Overlay))
	return nil
}

func (a *Admission) membership(f catalog.Federation, g catalog.Gateway) identity.Membership {
	return identity.Membership{
		FederationID: f.ID, FederationName: f.Name, Datacenter: a.File.Datacenter, Gateway: a.File.Gateway,
		Overlay: f.Overlay, OverlayAddress: g.Overlay,
	}
}

// Open returns the member that the stored membership describes, not running
// yet.
func (a *Admission) Open() (*Member, error) {
	stored, ok, err := a.Store.Membership()
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
	if err := seedOf(a.Store.RaftDir()).plant(member.node); err != nil {
		return nil, errors.Join(err, member.close())
	}
	member.port.SetOverlay(stored.OverlayAddress)
	return member, nil
}

func (a *Admission) openMember(federationID string, overlay func() netip.Prefix) (*Member, error) {
	ca, err := a.Store.CA(a.File.Datacenter, a.Store.Now())
	if err != nil {
		return nil, err
	}
	certifier := identity.NewCertifier(ca, a.File.Gateway, a.Store.Now)
	certifier.SetFederation(federationID)
	return open(memberConfig{
		file: a.File, federationID: federationID, dir: a.Store.RaftDir(), certifier: certifier,
		sockets: a.Sockets(overlay), process: a.Process, refuse: a.Refuse, log: a.Log,
	})
}

// Recover gives the catalog of this gateway other voters (raftnode.Recover) and
// returns the directory with a copy of its former state. The member must not run.
func (a *Admission) Recover(voters []catalog.GatewayID) (backup string, err error) {
	return raftnode.Recover(raftnode.Recovery{
		Dir: a.Store.RaftDir(), ID: a.File.GatewayID(), Voters: voters, Now: time.Now(), Log: a.Log,
	})
}

// Forget removes the membership and the local copy of the catalog.
func (a *Admission) Forget() error { return a.Store.ClearMembership() }

// randomULA returns a random unique local /48 (RFC 4193, section 3.2).
func randomULA() (netip.Prefix, error) {
	addr := [16]byte{0: 0xfd}
	if _, err := rand.Read(addr[1:6]); err != nil {
		return netip.Prefix{}, fmt.Errorf("choose an overlay prefix: %w", err)
	}
	return netip.PrefixFrom(netip.AddrFrom16(addr), 48), nil
}
