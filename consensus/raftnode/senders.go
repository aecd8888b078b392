package raftnode

import (
	"bytes"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
	"github.com/meshway/meshway/consensus/raftnode/internal/transport"
)

// refused records a message of raft that was not passed to it.
func (n *Node) refused(from catalog.GatewayID, why *transport.Refusal) {
	if why.Code == consensus.CodeNotAVoter {
		n.safeguards.senders.Unknown()
	}
	if n.safeguards.senders.Count(from, why, time.Now()) {
		n.log.Warn("refused a message of raft", "from", from, "code", why.Code, "err", why)
	}
}

// knowledge returns the state by which received messages are judged.
func (n *Node) knowledge(inst *instance) transport.Knowledge {
	return n.safeguards.senders.Extend(transport.Knowledge{
		Term:          inst.raft.CurrentTerm(),
		Applied:       inst.raft.AppliedIndex(),
		Leader:        inst.leader(),
		Configuration: inst.raft.GetConfiguration().Configuration(),
		InCatalog: func(id catalog.GatewayID) bool {
			view := n.View()
			_, has := view.Federation()
			_, ok := view.Gateway(id)
			return ok || !has // without a catalog there is nothing to protect
		},
	}, time.Now())
}

// Admits reports whether a gateway may connect for raft: it is in the catalog, or a
// member of a configuration that this member or others have. The catalog alone does
// not suffice: the local copy may be behind, and then the gateways that could send
// the rest may not be in it yet.
func (n *Node) Admits(id catalog.GatewayID) bool {
	if _, ok := n.View().Gateway(id); ok {
		return true
	}
	if inst := n.instance.Load(); inst != nil {
		for _, s := range inst.servers() {
			if s.ID == raft.ServerID(id) {
				return true
			}
		}
	}
	if n.safeguards.senders.Names(id, time.Now()) {
		return true
	}
	n.safeguards.senders.Unknown()
	return false
}

// CA returns the certificate (DER) of the CA of a datacenter that is not in the local
// copy of the catalog but has a vote, as other members report it.
func (n *Node) CA(dc catalog.DatacenterName) ([]byte, bool) {
	ca, ok := n.safeguards.senders.CA(dc, time.Now())
	if !ok {
		n.safeguards.senders.Unknown()
	}
	return ca, ok
}

// verifySnapshot returns why a snapshot that another member sent must not replace the
// local copy.
func (n *Node) verifySnapshot(data []byte) error {
	sent, err := replica.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("read the catalog: %w", err)
	}
	own, _ := n.View().Federation()
	if other, _ := sent.View().Federation(); own.ID != "" && other.ID != own.ID {
		return fmt.Errorf("the snapshot is of federation %q, and this gateway is in %s", other.ID, own.ID)
	}
	return n.cfg.Verify(n.View(), sent.View())
}
