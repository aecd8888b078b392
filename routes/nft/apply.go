//go:build linux

package nft

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"sigs.k8s.io/knftables"

	"github.com/meshway/meshway/routes"
)

// Filter implements routes.Filter with the nft binary, in the network namespace of
// the calling thread. Its methods may be called concurrently.
//
// The table is intact if nft lists it exactly as right after the last write,
// without counter values, so that a change of any chain, rule or element is
// detected. The first Apply of a process always writes. One transaction updates the
// table, or replaces it, so that there is no moment without a table.
type Filter struct {
	mu       sync.Mutex // guards the fields up to listing
	nft      knftables.Interface
	list     func(context.Context) (string, error) // the table as text; empty: there is none
	open     func() (knftables.Interface, error)
	rendered string // the transaction that was last applied
	listing  string // the result of list right after it

	others others
}

var _ routes.Filter = (*Filter)(nil)

// New returns a filter. It does not run nft yet.
func New() *Filter {
	return &Filter{list: listTable, open: func() (knftables.Interface, error) {
		return knftables.New(knftables.InetFamily, routes.FirewallTable)
	}}
}

// Apply implements routes.Filter. Counters keep their values.
func (f *Filter) Apply(ctx context.Context, fw routes.Firewall) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return err
	}
	want := f.nft.NewTransaction()
	wanted := Render(want, fw, nil)
	listing, err := f.listed(ctx)
	if err != nil || listing != "" && listing == f.listing && want.String() == f.rendered {
		return err
	}
	f.rendered, f.listing = "", "" // unknown until the table is listed again
	before, beforeErr := generation()
	listing, writes, err := f.write(ctx, fw, contentsOf(listing), wanted)
	if err != nil {
		return err
	}
	// If another program made a change meanwhile, the listing may contain it. The table
	// is written again by the next call, for which the event of that change is a reason.
	if after, err := generation(); errors.Join(beforeErr, err) == nil && after != before+writes {
		return nil
	}
	f.rendered, f.listing = want.String(), listing
	return nil
}

// State implements routes.Filter.
func (f *Filter) State(ctx context.Context) (routes.TableState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return routes.TableAbsent, err
	}
	return f.state(ctx)
}

// Remove implements routes.Filter.
func (f *Filter) Remove(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return err
	}
	f.rendered, f.listing = "", ""
	tx := f.nft.NewTransaction()
	tx.Add(&knftables.Table{}) // ensures that the deletion succeeds
	tx.Delete(&knftables.Table{})
	if err := f.nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("remove firewall table %s: %w", routes.FirewallTable, err)
	}
	return nil
}

// Counters implements routes.Filter.
func (f *Filter) Counters(ctx context.Context) ([]routes.Counter, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return nil, err
	}
	return f.counters(ctx)
}

// write updates the table with the contents found and returns its listing and the number
// of transactions. What cannot be updated is replaced: another program may have given an
// object another definition, or added objects of other kinds.
func (f *Filter) write(ctx context.Context, fw routes.Firewall, found, wanted Contents) (listing string, transactions uint32, err error) {
	tx := f.nft.NewTransaction()
	RenderUpdate(tx, fw, found, wanted)
	if f.nft.Run(ctx, tx) == nil {
		transactions++
		if listing, err := f.listed(ctx); err != nil || contentsOf(listing).equal(wanted) {
			return listing, transactions, err
		}
	}
	listing, err = f.replace(ctx, fw)
	return listing, transactions + 1, err
}

// replace replaces the table and returns its listing.
func (f *Filter) replace(ctx context.Context, fw routes.Firewall) (string, error) {
	counters, err := f.counters(ctx)
	if err != nil {
		return "", err
	}
	tx := f.nft.NewTransaction()
	Render(tx, fw, counters)
	if err := f.nft.Run(ctx, tx); err != nil {
		return "", fmt.Errorf("write firewall table %s: %w", routes.FirewallTable, err)
	}
	return f.listed(ctx)
}

func (f *Filter) state(ctx context.Context) (routes.TableState, error) {
	listing, err := f.listed(ctx)
	switch {
	case err != nil:
		return routes.TableAbsent, err
	case listing == "":
		return routes.TableAbsent, nil
	case listing == f.listing:
		return routes.TableIntact, nil
	default:
		return routes.TableOther, nil
	}
}

func (f *Filter) listed(ctx context.Context) (string, error) {
	listing, err := f.list(ctx)
	if err != nil {
		return "", fmt.Errorf("list firewall table %s: %w", routes.FirewallTable, err)
	}
	return listing, nil
}

func (f *Filter) counters(ctx context.Context) ([]routes.Counter, error) {
	found, err := f.nft.ListCounters(ctx)
	if knftables.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list counters of firewall table %s: %w", routes.FirewallTable, err)
	}
	counters := make([]routes.Counter, 0, len(found))
	for _, c := range found {
		if c.Packets != nil && c.Bytes != nil {
			counters = append(counters, routes.Counter{Name: c.Name, Packets: *c.Packets, Bytes: *c.Bytes})
		}
	}
	return counters, nil
}

// ready opens nft if it is not open yet.
func (f *Filter) ready() error {
	if f.nft != nil {
		return nil
	}
	nft, err := f.open()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("open firewall: the nft program is missing: install it (Debian, Ubuntu: apt install nftables): %w", err)
	}
	if err != nil {
		return fmt.Errorf("open firewall: %w", err)
	}
	f.nft = nft
	return nil
}

// listTable returns the table as nft prints it without state, "" if there is none.
func listTable(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "nft", "--stateless", "list", "table", "inet", routes.FirewallTable)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		message := strings.TrimSpace(string(exit.Stderr))
		if strings.Contains(message, "No such file or directory") {
			return "", nil
		}
		return "", fmt.Errorf("nft: %s: %w", message, err)
	}
	return string(out), err
}
