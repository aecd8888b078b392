package catalog

import "slices"

// Level is the feature level of this build: it applies the commands whose version is
// not above. Raise it with each new kind of command, and when a command, or a record in
// it, gains a field or a rule, so that members that would apply the command differently
// stop instead of diverging. The table in consensus/DESIGN.md has what each level brings.
//
// Fields that no rule of Apply reads do not raise it: a build without them drops them,
// and the other members miss them when they get a record from that build. Signatures are
// such fields, and the level of a gateway itself.
const Level = 8

// A command carries the level that defined its meaning, so that the leader refuses only
// what an older member would apply differently.
const (
	levelFirst      = 1
	levelAddGateway = 2 // AddGateway may be repeated, and its author may be the gateway itself
	levelAllow      = 3 // AllowPrefixes
	levelDisallow   = 5 // AllowPrefixes may remove ranges
)

// LevelOrdinal is the level from which ordinals are assigned again: a Join may have one.
const LevelOrdinal = 4

// LevelSuccession is the level from which UpdateDatacenter may replace the CA.
const LevelSuccession = 5

// LevelLimits is the level from which SetLimits exists and the catalog records how many
// requests each datacenter has used up: TransferLeader, RemovePeer and RemoveDatacenter.
const LevelLimits = 6

// LevelRemoval is the level of RequestRemoval.
const LevelRemoval = 7

// LevelWitness is the level from which a gateway may be a witness: the leader refuses its
// record before, and earlier builds neither store nor verify it.
const LevelWitness = 8

// LevelAllowed is the level from which the leader refuses prefixes that are not allowed.
const LevelAllowed = levelAllow

// levelOldest is the level of the oldest builds that run together with this one, whose
// gateways state none. A lower one does not count, whatever a gateway states. Raise it with
// the minor version, to the level of the one before: it bounds what a hostile gateway
// that states a low level holds back.
const levelOldest = 2

// Level returns the feature level of the program of g, not below levelOldest and not above
// Level. A gateway states its level itself: one above Level is at least
// its own, and makes no other gateway too old.
func (g Gateway) Level() uint32 { return min(max(g.FeatureLevel, levelOldest), Level) }

// needs returns the level of a command with the record g, which without g is level.
func (g Gateway) needs(level uint32) uint32 {
	if g.Witness {
		return max(level, LevelWitness)
	}
	return level
}

// Levels are the feature levels of the gateways of a federation.
type Levels struct {
	Common uint32      // that all have: the leader accepts commands up to it; 0 if there is no gateway
	Newest uint32      // that one has, of those up to Level
	Behind []GatewayID // the gateways below Newest, sorted
}

// LevelsOf returns the levels of gateways.
func LevelsOf(gateways []Gateway) Levels {
	var l Levels
	for _, g := range gateways {
		l.Newest = max(l.Newest, g.Level())
	}
	l.Common = l.Newest
	for _, g := range gateways {
		if g.Level() < l.Newest {
			l.Behind = append(l.Behind, g.ID())
		}
		l.Common = min(l.Common, g.Level())
	}
	slices.Sort(l.Behind)
	return l
}
