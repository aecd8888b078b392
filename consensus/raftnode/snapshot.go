package raftnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/archive"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// restoreMargin is how far beyond the log a restored snapshot is placed, so that
// its index is known before raft chooses it.
const restoreMargin = 1024

// SaveSnapshot returns an archive of the catalog that is as current as mode
// requires.
func (n *Node) SaveSnapshot(ctx context.Context, mode consensus.ReadMode) ([]byte, archive.Info, error) {
	view, _, err := n.Read(ctx, mode)
	if err != nil {
		return nil, archive.Info{}, fmt.Errorf("save snapshot: %w", err)
	}
	info := archive.Info{Gateway: string(n.cfg.ID), SavedAt: time.Now().UTC(), Term: n.Status().Term}
	return archive.Pack(info, view, n.cfg.SignArchive)
}

// Restore replaces the catalog of the federation by that of an archive. Only the
// leader can do so, for an operator of its own host: no message of a member replaces
// the records of others. An archive that is truncated, modified or of another
// federation, or in which a present datacenter has another CA, is rejected and
// changes nothing. A catalog without a federation accepts any archive, which is the
// way to restore one after a total loss.
//
// Members that joined after the archive was saved are removed. Writes in progress
// are lost or refused. After consensus.ErrUncertain, check the catalog before
// another attempt.
func (n *Node) Restore(ctx context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProposeTimeout)
	defer cancel()
	err := n.callLeader(ctx, leaderCall{
		once: true,
		local: func(ctx context.Context) error {
			_, lead := n.serving()
			if lead == nil {
				return consensus.ErrNotLeader
			}
			return lead.restore(ctx, data)
		},
		remote: func(_ context.Context, leader catalog.GatewayID) error {
			return fmt.Errorf("%w: gateway %s leads the catalog, and only the leader can restore it: run the command there, "+
				"or first run meshctl raft transfer-leader %s", consensus.ErrRejected, leader, n.cfg.ID)
		},
	})
	if err != nil {
		return fmt.Errorf("restore the catalog: %w", err)
	}
	return nil
}

// PlanRestore verifies an archive and returns what Restore would change here.
func (n *Node) PlanRestore(data []byte) (archive.Plan, error) {
	archived, err := n.openArchive(data)
	if err != nil {
		return archive.Plan{}, err
	}
	return archive.Compare(n.View(), archived.View()), nil
}

// checkPlan rejects an archive that would give a member another CA. That member
// could no longer connect, and the holder of the other CA could in its place.
func (n *Node) checkPlan(archived *replica.View) error {
	plan := archive.Compare(n.View(), archived)
	if len(plan.OtherCA) == 0 {
		return nil
	}
	return fmt.Errorf("%w: datacenter %s has another CA in the snapshot: it left and joined again since, or the snapshot is forged; "+
		"choose a newer snapshot, or first remove that datacenter with meshctl leave or meshctl datacenter remove",
		consensus.ErrRejected, plan.OtherCA[0])
}

// openArchive verifies an archive and decodes its catalog, in this order.
func (n *Node) openArchive(data []byte) (*replica.State, error) {
	opened, err := archive.Open(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", consensus.ErrRejected, err)
	}
	info := opened.Info()
	if info.Federation == "" {
		return nil, fmt.Errorf("%w: the snapshot contains no federation", consensus.ErrRejected)
	}
	federation, _ := n.View().Federation()
	if own := federation.ID; own != "" && own != info.Federation {
		return nil, fmt.Errorf("%w: the snapshot is of federation %s (%s), this is %s: "+
			"restore it on a gateway that is in no federation yet", consensus.ErrRejected, catalog.Shorten(info.Federation), catalog.Shorten(info.FederationName), own)
	}
	archived, err := opened.Catalog()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", consensus.ErrRejected, err)
	}
	return archived, nil
}

func (l *leadership) restore(ctx context.Context, data []byte) error {
	n := l.node
	n.reconfiguration.lock()
	defer n.reconfiguration.unlock()
	archived, err := n.openArchive(data)
	if err != nil {
		return err
	}
	if err := n.checkPlan(archived.View()); err != nil {
		return err
	}
	// Raft places the snapshot at max(meta.Index, last index)+1, and the catalog in it must
	// have that index: copies wait for indexes of commands, and theirs must not decrease.
	at := max(l.inst.raft.LastIndex(), n.View().Index(), archived.View().Index()) + restoreMargin
	stream, err := archive.Reindex(archived, at+1)
	if err != nil {
		return fmt.Errorf("%w: %w", consensus.ErrRejected, err)
	}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: at, Size: int64(len(stream))}
	timeout := n.cfg.ProposeTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	err = l.inst.raft.Restore(meta, bytes.NewReader(stream), timeout)
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return translate(err)
	}
	if err != nil {
		return fmt.Errorf("restore snapshot: %w: %w", consensus.ErrUncertain, err)
	}
	n.log.Info("restored the catalog from a snapshot", "index", at+1)
	return nil
}
