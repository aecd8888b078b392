// Package agreement decides how commands change the settings: what the members of a
// federation agreed on. It is pure.
package agreement

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/consensus/catalog/budget"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
)

// After returns the settings after a command of a gateway of a datacenter, or why the
// catalog refuses it.
func After(have catalog.Settings, by catalog.DatacenterName, cmd *catalogpb.Command) (catalog.Settings, *catalog.Refusal) {
	switch body := cmd.GetBody().(type) {
	case *catalogpb.Command_AllowPrefixes:
		return allowlist.Change(have, by, cmd.GetVersion(), body.AllowPrefixes)
	case *catalogpb.Command_SetLimits:
		return quota.Set(have, by, catalog.LimitsFromProto(body.SetLimits.GetLimits()))
	case *catalogpb.Command_TransferLeader, *catalogpb.Command_RemovePeer:
		return budget.Spend(have, budget.Operations, by, cmd.GetAt().AsTime()), nil
	case *catalogpb.Command_RequestRemoval:
		return budget.Request(have, catalog.DatacenterName(body.RequestRemoval.GetDatacenter()), by, cmd.GetAt().AsTime()), nil
	case *catalogpb.Command_RemoveDatacenter:
		if cmd.GetVersion() >= catalog.LevelLimits {
			return budget.Spend(have, budget.Removals, by, cmd.GetAt().AsTime()), nil
		}
	}
	return have, nil
}

// WithBudget returns cmd as one that spends the budget of its author, if it is a removal
// of a datacenter. All gateways must support catalog.LevelLimits.
func WithBudget(cmd *catalogpb.Command) *catalogpb.Command {
	if cmd.GetRemoveDatacenter() == nil {
		return cmd
	}
	cmd = proto.CloneOf(cmd)
	cmd.Version = max(cmd.GetVersion(), catalog.LevelLimits)
	return cmd
}

// Without returns s without what dc allows and has set, and without requests by it and to
// remove it. What it has used up of its requests stays, since it may join again.
func Without(s catalog.Settings, dc catalog.DatacenterName) catalog.Settings {
	s.Allowed = slices.DeleteFunc(slices.Clone(s.Allowed), func(a catalog.AllowedPrefix) bool { return a.AllowedBy == dc })
	s.Limits = slices.DeleteFunc(slices.Clone(s.Limits), func(l catalog.Limit) bool { return l.SetBy == dc })
	s.Removals = slices.DeleteFunc(slices.Clone(s.Removals), func(r catalog.RemovalRequest) bool { return r.By == dc || r.Datacenter == dc })
	return s
}

// Equal reports whether nothing but the index of the last change differs.
func Equal(a, b catalog.Settings) bool {
	return a.FeatureLevel == b.FeatureLevel && slices.Equal(a.Allowed, b.Allowed) && slices.Equal(a.Limits, b.Limits) &&
		slices.EqualFunc(a.Budgets, b.Budgets, func(a, b catalog.Budget) bool {
			return a.Datacenter == b.Datacenter && a.Kind == b.Kind && a.Until.Equal(b.Until)
		}) &&
		slices.EqualFunc(a.Removals, b.Removals, func(a, b catalog.RemovalRequest) bool {
			return a.Datacenter == b.Datacenter && a.By == b.By && a.At.Equal(b.At)
		})
}
