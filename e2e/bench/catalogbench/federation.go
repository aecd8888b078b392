//go:build linux

package catalogbench

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"os"
	"path/filepath"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// members is the number of members and of etcd servers.
const members = 3

// leading is the number of the member that leads during measurements, following that
// of the one whose callers are measured, and calling that of the one as which the
// bench calls the leader from outside.
const (
	leading = iota
	following
	calling
)

const (
	// batchSize is the number of registrations in one call.
	batchSize = 256
	// settleTimeout bounds the time until all members vote.
	settleTimeout = 2 * time.Minute
)

// federation is a federation of three processes.
type federation struct {
	dir     string
	cfgs    [members]memberConfig
	procs   [members]*process
	calls   [members]*rpc.Client
	proxies []*proxy
	client  *client
}

// federationOptions are the properties of a federation.
type federationOptions struct {
	delay             time.Duration // one way between members
	snapshotThreshold uint64        // 0: the default
	countSyncs        bool
}

// newFederation starts a federation, in which all members vote and the first leads.
func newFederation(ctx context.Context, dir string, o federationOptions) (*federation, error) {
	f := &federation{dir: dir}
	if err := f.start(ctx, o); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *federation) start(ctx context.Context, o federationOptions) error {
	for i := range members {
		if err := f.configure(i, o); err != nil {
			return err
		}
		if err := f.spawn(ctx, i); err != nil {
			return err
		}
	}
	if err := f.calls[leading].Call("Member.Init", Nothing{}, &Nothing{}); err != nil {
		return fmt.Errorf("create the federation: %w", err)
	}
	for i := 1; i < members; i++ {
		if err := f.join(ctx, i); err != nil {
			return fmt.Errorf("join member %d: %w", i, err)
		}
	}
	for _, call := range f.calls {
		if err := call.Call("Member.Tune", 2*o.delay, &Nothing{}); err != nil {
			return err
		}
	}
	if err := f.settle(ctx); err != nil {
		return err
	}
	var err error
	f.client, err = newClient(f.cfgs[calling], f.cfgs)
	return err
}

func (f *federation) configure(i int, o federationOptions) error {
	cfg := memberConfig{
		Number: i, Dir: filepath.Join(f.dir, nameOf(i)), SnapshotThreshold: o.snapshotThreshold, CountSyncs: o.countSyncs,
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	var err error
	if cfg.Listen, err = freePort(); err != nil {
		return err
	}
	cfg.Advertise = cfg.Listen.String()
	if o.delay > 0 {
		p, err := newProxy(cfg.Advertise, o.delay)
		if err != nil {
			return err
		}
		f.proxies = append(f.proxies, p)
		cfg.Advertise = p.addr().String()
	}
	f.cfgs[i] = cfg
	return nil
}

// spawn starts the process of a member, which does not take part yet.
func (f *federation) spawn(ctx context.Context, i int) error {
	var err error
	if f.procs[i], err = spawn(ctx, roleMember, f.cfgs[i].Dir, f.cfgs[i]); err != nil {
		return err
	}
	return await(ctx, time.Millisecond, func() (bool, error) {
		if err := f.procs[i].failed(); err != nil {
			return false, err
		}
		f.calls[i], err = rpc.Dial("unix", f.cfgs[i].socket())
		return err == nil, nil
	})
}

func (f *federation) join(ctx context.Context, i int) error {
	return await(ctx, 200*time.Millisecond, func() (bool, error) {
		var token string
		if err := f.calls[leading].Call("Member.Token", Nothing{}, &token); err != nil {
			return false, nil // it does not lead yet
		}
		return true, f.calls[i].Call("Member.Join", token, &Nothing{})
	})
}

// await calls check until it reports true or returns an error.
func await(ctx context.Context, pause time.Duration, check func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, errors.New("the members did not get ready in time"))
	defer cancel()
	for {
		if done, err := check(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// settle waits until all members vote, and makes the first one the leader.
func (f *federation) settle(ctx context.Context) error {
	want := string(catalog.NewGatewayID(catalog.DatacenterName(nameOf(leading)), gatewayName))
	return await(ctx, 200*time.Millisecond, func() (bool, error) {
		for i := range members {
			s, err := f.state(i)
			if err != nil || s.Voters < members || s.Leader == "" {
				return false, errors.Join(f.procs[i].failed(), err)
			}
			if s.Leader != want {
				_ = f.calls[i].Call("Member.Transfer", want, &Nothing{}) // checked by the next turn
				return false, nil
			}
		}
		return true, nil
	})
}

func (f *federation) state(i int) (s State, err error) {
	err = f.calls[i].Call("Member.State", Nothing{}, &s)
	return s, err
}

// run runs a load in the process of a member.
func (f *federation) run(i int, l Load) (s Sample, err error) {
	err = f.calls[i].Call("Member.Run", l, &s)
	return s, err
}

// close ends the processes.
func (f *federation) close() error {
	for i, p := range f.procs {
		if p == nil {
			continue
		}
		p.kill()
		if f.calls[i] != nil {
			_ = f.calls[i].Close() // the other end is gone
		}
	}
	for _, p := range f.proxies {
		p.close()
	}
	return nil
}
