package raftnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
)

// Node is one member's copy of the catalog and its part in consensus.
type Node struct {
	conf     Config
	log      *slog.Logger
	store    *store
	machine  *machine
	contacts *contacts
	session  *session
	queue    chan *proposal // from callers to the batcher

	timers   atomic.Pointer[Timers]
	instance atomic.Pointer[instance]   // raft; nil while it does not run
	leading  atomic.Pointer[leadership] // set while this member leads and knows all that is committed

	retimed chan struct{} // size 1: the timers changed
	failed  chan error    // size 1: the first fatal error
	done    chan struct{} // closed when Run has ended or Close was called
	started atomic.Bool
	closing sync.Once

	// reconfiguring is held over each change of the raft configuration, from
	// looking at who is healthy until the change is committed: that takes
	// round trips, hence no mutex.
	reconfiguring chan struct{} // size 1
}

// Open opens the data directory and loads what it knows. Nothing runs yet, and
// View serves the newest state that was known to be committed. An error names
// the path and the remedy; a directory is never emptied or begun anew.
func Open(conf Config) (*Node, error) {
	conf = conf.withDefaults()
	if err := conf.validate(); err != nil {
		return nil, err
	}
	return openNode(conf)
}

func openNode(conf Config) (*Node, error) {
	n := &Node{
		conf: conf, log: conf.Log, contacts: newContacts(), session: newSession(conf.ID),
		queue: make(chan *proposal), retimed: make(chan struct{}, 1),
		failed: make(chan error, 1), done: make(chan struct{}), reconfiguring: make(chan struct{}, 1),
	}
	n.timers.Store(&conf.Timers)
	n.machine = newMachine(n.fail)
	s, err := openStore(conf.Dir, newBridge(conf.Log))
	if err != nil {
		return nil, err
	}
	n.store = s
	if err := n.load(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return n, nil
}

func (c Config) validate() error {
	switch {
	case c.ID == "":
		return errors.New("raftnode: ID is empty: set the gateway id")
	case c.Dir == "":
		return errors.New("raftnode: Dir is empty: set the data directory")
	case c.Network == nil:
		return errors.New("raftnode: Network is nil")
	case c.Remote == nil:
		return errors.New("raftnode: Remote is nil")
	}
	return c.Timers.validate()
}

// load replays what the directory holds and checks that it is ours.
func (n *Node) load() error {
	// A foreign directory is told apart before its content is read.
	if err := claim(n.conf, ""); err != nil {
		return err
	}
	if err := n.replay(); err != nil {
		return err
	}
	return claim(n.conf, n.federation())
}

func (n *Node) federation() string {
	f, _ := n.machine.state.View().Federation()
	return f.ID
}

// replay brings the machine to the applied mark: the newest snapshot, then the
// entries that are known to be committed. See machine.
func (n *Node) replay() error {
	meta, err := n.store.newestSnapshot()
	if err != nil {
		return err
	}
	var from uint64
	if meta != nil {
		from = meta.Index
		if err := n.loadSnapshot(meta); err != nil {
			return err
		}
	}
	if err := n.store.verifyLog(from); err != nil {
		return err
	}
	mark, err := n.store.appliedMark()
	if err != nil {
		return err
	}
	for index := from + 1; index <= mark; index++ {
		var entry raft.Log
		if err := n.store.bolt.GetLog(index, &entry); err != nil {
			if errors.Is(err, raft.ErrLogNotFound) { // the mark may lie behind a restored snapshot
				break
			}
			return corrupt(filepath.Join(n.conf.Dir, logFile), err)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		if err, ok := n.machine.Apply(&entry).(error); ok {
			return err
		}
	}
	return nil
}

func (n *Node) loadSnapshot(meta *raft.SnapshotMeta) error {
	path := filepath.Join(n.conf.Dir, snapshotsDir, meta.ID)
	_, source, err := n.store.snaps.Open(meta.ID)
	if err != nil {
		return corrupt(path, err)
	}
	if err := n.machine.Restore(source); err != nil {
		return corrupt(path, err)
	}
	return nil
}

// Bootstrap makes this member the only voter of a new catalog. It must come
// before Run, and refuses a directory that holds anything.
func (n *Node) Bootstrap() error {
	if n.started.Load() {
		return errors.New("bootstrap the catalog: it runs already")
	}
	has, err := n.store.hasState()
	if err != nil {
		return err
	}
	if has {
		return fmt.Errorf("bootstrap the catalog: %s holds one already: "+
			"start without bootstrapping, or leave that federation first", n.conf.Dir)
	}
	servers := raft.Configuration{Servers: []raft.Server{voter(n.conf.ID)}}
	trans := offlineTransport(n.conf.ID)
	err = raft.BootstrapCluster(n.raftConfig(), n.store.bolt, n.store.bolt, n.store.snaps, trans, servers)
	if err != nil {
		return fmt.Errorf("bootstrap the catalog: %w", explain(n.conf.Dir, err))
	}
	return nil
}

func voter(id catalog.GatewayID) raft.Server {
	return raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id)}
}

// offlineTransport stands in where raft wants a transport but sends nothing.
func offlineTransport(id catalog.GatewayID) raft.Transport {
	_, trans := raft.NewInmemTransport(raft.ServerAddress(id))
	return trans
}

// fail notes the first fatal error and ends Run.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}

// Close releases the directory of a node that was opened and never run. Run
// closes its node itself.
func (n *Node) Close() error {
	if n.started.Load() {
		return nil
	}
	return n.close()
}

func (n *Node) close() error {
	var err error
	n.closing.Do(func() {
		close(n.done)
		err = errors.Join(n.closeNetwork(), n.store.Close())
	})
	return err
}

// closeNetwork ends Accept. Recover has no network; closing twice is no error.
func (n *Node) closeNetwork() error {
	if n.conf.Network == nil {
		return nil
	}
	if err := n.conf.Network.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close network: %w", err)
	}
	return nil
}

// View returns the own copy of the catalog as it is now.
func (n *Node) View() *catalog.View { return n.machine.state.View() }

// Changed returns a channel that is closed at the next change of View. Take the
// channel first, then the view: so no change is missed.
func (n *Node) Changed() <-chan struct{} {
	_, changed := n.machine.applied()
	return changed
}

// Seed gives a newcomer the catalog as the member that admitted it encoded it
// (View.Encode), so that it knows its peers before they send it the log. It
// does nothing when the directory holds newer state, and must come before Run.
func (n *Node) Seed(view *catalog.View) error {
	if n.started.Load() {
		return errors.New("seed the catalog: it runs already")
	}
	return n.machine.seed(view)
}

// waitApplied waits until the own copy has the command with that index.
func (n *Node) waitApplied(ctx context.Context, index uint64) error {
	for {
		have, changed := n.machine.applied()
		if have >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for index %d, have %d: %w", index, have, ctx.Err())
		case <-n.done:
			return consensus.ErrClosed
		}
	}
}
