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
	return archive.Pack(info, view)
}

// Restore replaces the catalog of the federation by that of an archive. It may be
// called on any member. An archive that is truncated, modified or of another
// federation is rejected and changes nothing. A catalog without a federation
// accepts any archive, which is the way to restore one after a total loss.
//
// Members that joined after the archive was saved are removed. Writes in progress
// are lost or refused. Restore does not retry; after consensus.ErrUncertain,
// check the catalog before another attempt.
func (n *Node) Restore(ctx context.Context, data []byte) error {
	if _, _, err := n.openArchive(data); err != nil {
		return err
	}
	return n.operate(ctx, consensus.LeaderOperation{Kind: consensus.RestoreArchive, Archive: data}, true)
}

// openArchive verifies an archive and returns its catalog stream.
func (n *Node) openArchive(data []byte) (archive.Info, []byte, error) {
	info, stream, err := archive.Unpack(data)
	if err != nil {
		return archive.Info{}, nil, fmt.Errorf("%w: %w", consensus.ErrRejected, err)
	}
	if info.Federation == "" {
		return archive.Info{}, nil, fmt.Errorf("%w: the snapshot contains no federation", consensus.ErrRejected)
	}
	if own := n.fsm.Federation(); own != "" && own != info.Federation {
		return archive.Info{}, nil, fmt.Errorf("%w: the snapshot is of federation %s (%s), this is %s: "+
			"restore it on a gateway that is in no federation yet", consensus.ErrRejected, info.Federation, info.FederationName, own)
	}
	return info, stream, nil
}

func (l *leadership) restore(ctx context.Context, data []byte) error {
	n := l.node
	archived, stream, err := n.openArchive(data)
	if err != nil {
		return err
	}
	n.reconfiguration.lock()
	defer n.reconfiguration.unlock()
	// Raft places the snapshot at max(meta.Index, last index)+1. The catalog in it
	// must have the same index: copies wait for the indexes of commands, and
	// their own must not decrease.
	at := max(l.inst.raft.LastIndex(), n.View().Index(), archived.Index) + restoreMargin
	stream, err = reindex(stream, at+1)
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

// reindex gives a catalog stream another index, by applying an entry without
// commands.
func reindex(stream []byte, index uint64) ([]byte, error) {
	state, err := catalog.Decode(bytes.NewReader(stream))
	if err != nil {
		return nil, fmt.Errorf("reindex the catalog: %w", err)
	}
	nothing, err := catalog.Marshal()
	if err != nil {
		return nil, fmt.Errorf("reindex the catalog: %w", err)
	}
	if _, err := state.Apply(index, nothing); err != nil {
		return nil, fmt.Errorf("reindex the catalog: %w", err)
	}
	var out bytes.Buffer
	if err := state.View().Encode(&out); err != nil {
		return nil, fmt.Errorf("reindex the catalog: %w", err)
	}
	return out.Bytes(), nil
}
