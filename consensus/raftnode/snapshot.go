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

// restoreMargin is how far beyond the log a restored snapshot is put, so that
// its index is known before raft chooses it.
const restoreMargin = 1024

// SaveSnapshot returns an archive of the catalog, as current as mode asks.
func (n *Node) SaveSnapshot(ctx context.Context, mode consensus.ReadMode) ([]byte, archive.Info, error) {
	view, _, err := n.Read(ctx, mode)
	if err != nil {
		return nil, archive.Info{}, fmt.Errorf("save snapshot: %w", err)
	}
	info := archive.Info{Gateway: string(n.conf.ID), SavedAt: time.Now().UTC(), Term: n.Status().Term}
	return archive.Pack(info, view)
}

// Restore replaces the whole catalog of the federation by that of an archive;
// any member may be asked. An archive that is truncated, altered or of another
// federation is refused and changes nothing. A catalog that holds no federation
// yet takes any: that is the way back after a total loss.
//
// Members that joined after the archive was made are members no longer.
// Writes under way are lost or refused. It is tried once; after ErrUncertain
// look before you try again.
func (n *Node) Restore(ctx context.Context, data []byte) error {
	if _, _, err := n.restorable(data); err != nil {
		return err
	}
	return n.operate(ctx, consensus.LeaderOperation{Kind: consensus.RestoreArchive, Archive: data}, true)
}

// restorable verifies an archive and returns its catalog stream.
func (n *Node) restorable(data []byte) (archive.Info, []byte, error) {
	info, stream, err := archive.Unpack(data)
	if err != nil {
		return archive.Info{}, nil, fmt.Errorf("%w: %w", consensus.ErrRejected, err)
	}
	if info.Federation == "" {
		return archive.Info{}, nil, fmt.Errorf("%w: the snapshot holds no federation", consensus.ErrRejected)
	}
	if own := n.federation(); own != "" && own != info.Federation {
		return archive.Info{}, nil, fmt.Errorf("%w: the snapshot is of federation %s (%s), this is %s: "+
			"restore it into a gateway that is in no federation yet", consensus.ErrRejected, info.Federation, info.FederationName, own)
	}
	return info, stream, nil
}

// restoreHere restores as the leader.
func (n *Node) restoreHere(ctx context.Context, inst *instance, data []byte) error {
	archived, stream, err := n.restorable(data)
	if err != nil {
		return err
	}
	n.reconfiguring <- struct{}{}
	defer func() { <-n.reconfiguring }()
	// Raft puts the snapshot at max(meta.Index, last index)+1. The catalog inside
	// must say the same index: copies wait for indices of commands, and theirs
	// must not go backwards.
	at := max(inst.raft.LastIndex(), n.View().Index(), archived.Index) + restoreMargin
	stream, err = reindex(stream, at+1)
	if err != nil {
		return fmt.Errorf("%w: %w", consensus.ErrRejected, err)
	}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: at, Size: int64(len(stream))}
	timeout := n.conf.ProposeTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	err = inst.raft.Restore(meta, bytes.NewReader(stream), timeout)
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return translate(err)
	}
	if err != nil {
		return fmt.Errorf("restore snapshot: %w: %w", consensus.ErrUncertain, err)
	}
	n.log.Info("catalog restored from a snapshot", "index", at+1)
	return nil
}

// reindex gives a catalog stream another index: applying an entry without
// commands does nothing else.
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
