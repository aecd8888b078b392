package transport

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/meshway/meshway/consensus"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/entrycheck"
)

// maxTermLead is how far the term of a message may be ahead of that of this member.
// Elections raise the term by one, at most about one in a second, and with pre-vote
// only if a majority would vote: a million take years. Without a limit one message
// sets the term to its maximum on disk, after which no election is possible.
const maxTermLead = 1 << 20

// admittedTermLead is maxTermLead for a member that has just joined, and has the term from
// the one that admitted it.
const admittedTermLead = 64

// maxConfiguration bounds a configuration: a gateway takes up to about 300 bytes in it.
const maxConfiguration = 8 << 20

// Knowledge is the state by which a member judges whether a gateway may send it a message.
type Knowledge struct {
	Term          uint64              // of this member, or a later one that a majority reports
	Own           uint64              // of raft on this member; set by Senders.Extend
	Applied       uint64              // index of the last entry that raft has applied
	Leader        catalog.GatewayID   // of the current term; empty: unknown
	Configuration raft.Configuration  // the latest; empty: this member has just joined
	Named         []catalog.GatewayID // voters of a later configuration, as others report it
	Admitted      []catalog.GatewayID // voters when this member was admitted; none: it has a configuration, or its admission did not name them
	InCatalog     func(catalog.GatewayID) bool
}

// errLaterTerm is the reason why a message of a former leader is refused. The loop of raft
// that sends the log may not have ended yet, and reads what the next leader has added.
var errLaterTerm = errors.New("it is of a later term")

// Refusal is why a message is not passed to raft. Code is one of those of package
// consensus; empty: honest members send such messages too, and it is not recorded.
type Refusal struct {
	Code    string
	message string
}

// Error returns the reason, which the sender receives.
func (r *Refusal) Error() string { return r.message }

func refuse(code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, message: fmt.Sprintf(format, args...)}
}

// message is what the messages of raft have in common.
type message struct {
	kind   string
	header raft.RPCHeader
	sender []byte // the name in its body; empty: none
	term   uint64 // 0: it has none
}

func read(command any) (message, bool) {
	switch m := command.(type) {
	case *raft.AppendEntriesRequest:
		return message{"AppendEntries", m.RPCHeader, m.Leader, m.Term}, true //nolint:staticcheck // older raft reads it
	case *raft.InstallSnapshotRequest:
		return message{"InstallSnapshot", m.RPCHeader, m.Leader, max(m.Term, m.LastLogTerm)}, true
	case *raft.RequestVoteRequest:
		return message{"RequestVote", m.RPCHeader, m.Candidate, max(m.Term, m.LastLogTerm)}, true //nolint:staticcheck // as above
	case *raft.RequestPreVoteRequest:
		return message{"RequestPreVote", m.RPCHeader, nil, max(m.Term, m.LastLogTerm)}, true
	case *raft.TimeoutNowRequest:
		return message{"TimeoutNow", m.RPCHeader, nil, 0}, true
	}
	return message{}, false
}

// check returns why a message of the gateway from is refused, or nil. TLS has proved
// that from sent it; raft itself believes the name in the message.
func (k Knowledge) check(from catalog.GatewayID, command any) *Refusal {
	m, ok := read(command)
	if !ok {
		return refuse(consensus.CodeMalformed, "unknown message %T", command)
	}
	for _, name := range [][]byte{m.header.ID, m.header.Addr, m.sender} {
		if len(name) > 0 && string(name) != string(from) {
			return refuse(consensus.CodeSenderDiffers, "%s of gateway %s names %q as its sender", m.kind, from, name)
		}
	}
	if len(m.header.ID) == 0 || len(m.header.Addr) == 0 {
		return refuse(consensus.CodeSenderDiffers, "%s of gateway %s names no sender", m.kind, from)
	}
	if !k.votes(from) && !(m.kind == "AppendEntries" && from == k.Leader && m.term == k.Term) {
		return refuse(consensus.CodeNotAVoter, "gateway %s sent %s and is not a voter in the configuration of this member", from, m.kind)
	}
	if r := k.checkTerm(from, m.kind, m.term); r != nil {
		return r
	}
	err := checkContent(command)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLaterTerm):
		return refuse("", "%s of gateway %s: %s", m.kind, from, err)
	case errors.Is(err, catalog.ErrUnknownCommand):
		return refuse(consensus.CodeUnknownEntry, "%s of gateway %s: %s", m.kind, from, err)
	}
	return refuse(consensus.CodeMalformed, "%s of gateway %s: %s", m.kind, from, err)
}

// votes reports whether a gateway votes, as far as this member can see. One that has
// just joined has no configuration yet, only what the member that admitted it reported:
// the voters, or, if that one is of an earlier build, the catalog.
func (k Knowledge) votes(id catalog.GatewayID) bool {
	if len(k.Configuration.Servers) == 0 && len(k.Admitted) == 0 {
		return k.InCatalog(id)
	}
	return slices.Contains(k.Named, id) || slices.Contains(k.Admitted, id) || k.suffrage(id) == raft.Voter
}

func (k Knowledge) suffrage(id catalog.GatewayID) raft.ServerSuffrage {
	for _, s := range k.Configuration.Servers {
		if s.ID == raft.ServerID(id) {
			return s.Suffrage
		}
	}
	return raft.Nonvoter
}

func (k Knowledge) checkTerm(from catalog.GatewayID, kind string, term uint64) *Refusal {
	lead := uint64(maxTermLead)
	if len(k.Admitted) > 0 {
		lead = admittedTermLead
	}
	if term > k.Term && term-k.Term > lead {
		return refuse(consensus.CodeTermAhead, "%s of gateway %s has term %d, this member has %d: no honest member is that far ahead",
			kind, from, term, k.Term)
	}
	return nil
}

// checkContent finds content that no honest leader sends, and on which raft panics
// or that it stores although no later leader can replace it.
func checkContent(command any) error {
	switch m := command.(type) {
	case *raft.InstallSnapshotRequest:
		if m.LastLogTerm > m.Term {
			return fmt.Errorf("the snapshot: %w", errLaterTerm)
		}
		return checkConfiguration(m.Configuration)
	case *raft.AppendEntriesRequest:
		for i, entry := range m.Entries {
			if err := checkEntry(entry, m.PrevLogEntry+1+uint64(i), m.Term); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
		}
	}
	return nil
}

func checkEntry(entry *raft.Log, index, term uint64) error {
	switch {
	case entry == nil:
		return errors.New("it is empty")
	case entry.Index != index:
		return fmt.Errorf("it has index %d instead of %d", entry.Index, index)
	case entry.Term > term:
		return errLaterTerm
	}
	if len(entry.Extensions) > 0 {
		return errors.New("it has extensions")
	}
	switch entry.Type {
	case raft.LogCommand:
		return entrycheck.Check(entry.Data)
	case raft.LogNoop, raft.LogBarrier:
		if len(entry.Data) > 0 {
			return errors.New("it has data, and is none of those that have")
		}
		return nil
	case raft.LogConfiguration:
		return checkConfiguration(entry.Data)
	case raft.LogAddPeerDeprecated, raft.LogRemovePeerDeprecated:
	}
	return fmt.Errorf("it has type %d", entry.Type)
}

// checkConfiguration decodes a configuration. Raft panics if it cannot, and no longer checks
// one that it has from another member.
func checkConfiguration(data []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read the configuration: %v", r)
		}
	}()
	if len(data) > maxConfiguration {
		return fmt.Errorf("the configuration has %d bytes, the maximum is %d", len(data), maxConfiguration)
	}
	return checkServers(raft.DecodeConfiguration(data).Servers)
}

// checkServers returns what raft refuses in a change of the configuration, or that an
// address is not that of its gateway. No voter of it could be elected.
func checkServers(servers []raft.Server) error {
	voters, seen := 0, make(map[raft.ServerID]bool, len(servers))
	for _, s := range servers {
		switch {
		case s.ID == "" || string(s.Address) != string(s.ID):
			return fmt.Errorf("the configuration has address %q of gateway %q", s.Address, s.ID)
		case seen[s.ID]:
			return fmt.Errorf("the configuration has gateway %q twice", s.ID)
		case s.Suffrage == raft.Voter:
			voters++
		case s.Suffrage != raft.Nonvoter:
			return fmt.Errorf("the configuration has suffrage %d of gateway %q", s.Suffrage, s.ID)
		}
		seen[s.ID] = true
	}
	if voters == 0 {
		return errors.New("the configuration has no voter")
	}
	return nil
}
