package replica

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/agreement"
	"github.com/meshway/meshway/consensus/catalog/allowlist"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/catalog/quota"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/envelope"
	"github.com/meshway/meshway/consensus/catalog/replica/internal/table"
	"github.com/meshway/meshway/consensus/catalog/sponsor"
	"github.com/meshway/meshway/consensus/catalog/succession"
)

// Verdict is what a leader does with a command.
type Verdict struct {
	Command *catalogpb.Command // to append to the log; nil if it would change nothing
	Result  catalog.Result     // of the command if Command is nil
}

// Judge returns, for each of the commands of one entry, whether a leader whose clock
// shows now may append it to the log. It applies them to a copy of the state. A
// command that would be refused, that changes nothing, or that was applied before
// has its result instead, so that a member that repeats such a command writes
// nothing. After a command that is to be appended the state is not certain, and a
// later one of these kinds is appended, too.
//
// Some rules are of Judge only, because Apply must do the same in all versions of
// meshd: that all members support the command, the clock of its author, the parsing of
// certificates, Limits, the number of ranges that datacenters allow, that a witness has no
// prefixes, that a token is revoked by its datacenter, that no export is older than those that
// it conflicts with (see firstSeen), and which records a command stores as they are.
//
// The results are of the current state: a leader must confirm that it still leads
// before it returns one.
func (s *State) Judge(cmds []*catalogpb.Command, limits quota.Limits, now time.Time) []Verdict {
	j := s.newJudge(limits, now)
	verdicts := make([]Verdict, 0, len(cmds))
	for _, cmd := range cmds {
		v := j.judge(cmd)
		j.certain = j.certain && v.Command == nil
		verdicts = append(verdicts, v)
	}
	return verdicts
}

type judge struct {
	db      *table.DB   // a copy, with the commands so far
	tally   quota.Tally // of db
	limits  quota.Limits
	now     time.Time
	index   uint64 // of the state
	certain bool   // no command so far is to be appended

	sponsors func() sponsor.Sponsors // with the commands so far; nil: to be determined
}

func (s *State) newJudge(limits quota.Limits, now time.Time) *judge {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return &judge{
		db: s.db.Snapshot(), tally: s.tally.Clone(), limits: limits, now: now,
		index: appliedIndex(s.db.Read()), certain: true,
	}
}

func (j *judge) judge(cmd *catalogpb.Command) Verdict {
	if r := envelope.Check(cmd, j.now); r != nil {
		return j.refused(r)
	}
	txn := j.db.Write()
	if r := checkLevel(txn, cmd); r != nil {
		return j.refused(r)
	}
	cmd = withOrdinal(txn, firstSeen(txn, cmd, j.now))
	if len(gatewaysBelow(txn, catalog.LevelLimits)) == 0 {
		cmd = agreement.WithBudget(cmd)
	}
	before := settings(txn)
	notAllowed := checkBefore(txn, cmd, j.now)
	w := &writer{txn: txn, index: j.index + 1, clients: j.tally.Clients()}
	result := w.command(cmd)
	changes := txn.Changes()
	if j.certain && (result.Refusal != nil || !changesRecords(changes)) {
		result.Index = min(result.Index, j.index)
		return Verdict{Result: result}
	}
	notAllowed = cmp.Or(notAllowed, allowlist.CheckNumber(before, settings(txn)))
	if notAllowed != nil && result.Refusal == nil {
		return j.refused(notAllowed)
	}
	if r := j.count(txn, changes); r != nil {
		return j.refused(r)
	}
	txn.Commit()
	return Verdict{Command: cmd}
}

// checkBefore compares a command with the records before it.
func checkBefore(txn *table.Txn, cmd *catalogpb.Command, now time.Time) *catalog.Refusal {
	return cmp.Or(checkAllowed(txn, cmd, now), succession.CheckCommand(federation(txn), cmd), checkWitness(txn, cmd), checkRevocation(txn, cmd))
}

func (j *judge) refused(r *catalog.Refusal) Verdict {
	return Verdict{Result: catalog.Result{Index: j.index, Refusal: r}}
}

// count adds changes to the tally, unless a datacenter would exceed a limit.
func (j *judge) count(txn *table.Txn, changes []table.Change) *catalog.Refusal {
	more := quota.NewTally()
	tally(&more, changes)
	if j.sponsors == nil || slices.ContainsFunc(changes, func(c table.Change) bool { return c.Table == tableTokens }) {
		j.sponsors = sync.OnceValue(func() sponsor.Sponsors { return sponsors(txn, j.now) })
	}
	r := j.limits.Check(j.tally, more, settings(txn), j.sponsors)
	if r == nil {
		r = cmp.Or(quota.CheckShared(j.tally, more), quota.CheckContent(j.tally, more))
	}
	if r != nil {
		j.sponsors = nil // txn is not committed
		return r
	}
	j.tally.Add(more)
	return nil
}

// changesRecords reports whether there are changes besides those of clients, and of the
// index of the last change of a record, or the time of an observation, alone.
func changesRecords(changes []table.Change) bool {
	for _, c := range changes {
		if c.Table != tableClients && !changesNothing(c) {
			return true
		}
	}
	return false
}

// changesNothing reports whether a change leaves its record as it is. Apply stores such
// records, in all versions of meshd.
func changesNothing(c table.Change) bool {
	return table.Same[catalog.Token](c) || table.Same[catalog.Observation](c) || table.Same[catalog.Service](c) ||
		table.Same[catalog.Export](c) || table.Same[catalog.EndpointSlice](c)
}
